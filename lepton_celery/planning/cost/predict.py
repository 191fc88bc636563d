"""What a stage will cost: the cost model's figures on the pixels and bytes of its middle block, times its blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.entries import Entry, Iterated, Labelling, Local, Reduction
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.shared.labels import DECIDED, LABELS
from lepton_celery.catalogue.source import SOURCE
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.planning.cost.model import CostModel, Figure
from lepton_celery.planning.plan import Part, Plan, PlanNode, Prediction, Stage, entry_of, on_grid, reads_of
from lepton_celery.stores.chunk_cache import CACHE_BYTES
from lepton_celery.stores.formats import ARRAY_SUFFIXES

ROUNDS = 4
"""Rounds that a stage is expected to take where it is repeated until nothing changes."""
_DECODED = frozenset({"zarr", "tiff", "packed"})
"""Stores that decode a chunk whole when one pixel of it is wanted."""
_CACHED = frozenset({"zarr", "packed"})
"""Those of them that keep decoded chunks for the next block, …"""
_AGAIN = 1.25
"""… so that a chunk is decoded so many times on average; measured with halos, see the data path in docs/benchmarks.md."""


@dataclass(frozen=True)
class Places:
    """Where a plan's images are, as far as the time depends on it."""

    chunks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Chunk shapes of the inputs, by URL."""
    in_memory: bool = False
    """Outputs are arrays of this process, and so is what passes between stages."""

    def source(self, url: str) -> str:
        """The kind of store that an input is read from; what cannot be read by region is copied to a .npy first."""
        if url == "memory:":
            return "memory" if self.in_memory else "npy"
        kind = _kind(url)
        return "npy" if kind == "picture" else kind

    def outputs(self, plan: Plan, index: int) -> list[str]:
        """The kinds of store that an image is written to for the user."""
        return [self.output(name) for name, node in plan.outputs.items() if node == index]

    def output(self, name: str) -> str:
        """The kind of store that an output of that name is written to."""
        return "memory" if self.in_memory else _kind(name)

    def kept(self, node: PlanNode) -> str:
        """The kind of store that keeps an image between stages."""
        if self.in_memory:
            return "memory"
        return "packed" if node.operation in (LABELS, DECIDED) else "npy"


def _kind(path: str) -> str:
    path = path.rstrip("/")
    found = ARRAY_SUFFIXES.get(PurePath(path).suffix.lower(), "zarr" if ".zarr/" in path.lower() else "npy")
    return "picture" if found in ("png", "jpeg") else found


# ------------------------------------------------------------------------------------------------ functions


def cost_name(node: PlanNode) -> str:
    """The name under which the cost model knows a node's function: functions of the user's own, and the properties of
    tables, differ among each other."""
    function, properties = node.arguments.get("function"), node.arguments.get("properties")
    if isinstance(function, str):
        return f"{node.operation}({function})"
    if isinstance(properties, list | tuple):
        return f"{node.operation}[{','.join(sorted(map(str, properties)))}]"
    return node.operation


def taps_of(entry: Entry, shape: tuple[int, ...], arguments: Mapping[str, Any]) -> float:
    """Pixels that the kernel reaches, as far as the time of a pixel depends on it; `arguments` are complete."""
    if entry.taps is not None:
        return entry.taps(len(shape), arguments)
    if not entry.tap_ns or not isinstance(entry, Local) or not isinstance(entry.geometry, Stencil):
        return 0.0
    return float(sum(2 * h + 1 for h in entry.geometry.halo_px(len(shape), arguments) if h))


def function_figure(cost: CostModel, plan: Plan, index: int) -> tuple[Figure, float]:
    """What a node's function costs, and its taps."""
    node, entry = plan.nodes[index], entry_of(plan.nodes[index])
    assert entry is not None
    otherwise = Figure(entry.cost_ns, cost.overheads.call_s * 1e9, entry.tap_ns)
    figure = cost.figure("compute", cost_name(node), dtype_of(plan, index), otherwise)
    return figure, taps_of(entry, node.shape, plan.shown(index))


def dtype_of(plan: Plan, index: int) -> str:
    """The dtype that the time of a node's function depends on: that of its first image."""
    first = next(iter(plan.images_of(plan.nodes[index]).values()), index)
    return plan.nodes[first].dtype


# ------------------------------------------------------------------------------------------------ a stage


def predict(
    plan: Plan, at: int, needed: Mapping[int, Region], memory: int, *, cost: CostModel, places: Places
) -> tuple[int, int, Prediction]:
    """How many blocks stage `at` should do in a batch, how many towards its end at the least, and what it will take.

    `needed` are the regions of its middle box of blocks done at once, which is whole (ragged ones are smaller); `memory` is
    what that takes at its peak.
    """
    stage = plan.stages[at]
    middle = middle_box(stage)
    blocks = len(stage.grid) * (ROUNDS if any(isinstance(_entry(plan, i), Iterated) for i in stage.stores) else 1)
    share = math.prod(stage.shape) / middle.size * blocks / len(stage.grid)
    at_once = math.prod(stage.together)
    boxes = -(-blocks // at_once)
    found = _Parts(cost, boxes, share)
    asked = once = 0.0
    for index, region in needed.items():
        node = plan.nodes[index]
        if plan.is_read(index, at):
            decoded = _read(plan, index, region, places, found)
            asked += region.size * node.itemsize
            once += math.prod(node.shape) * node.itemsize * middle.size / math.prod(stage.shape)
            found.decoded += decoded
        else:
            figure, taps = function_figure(cost, plan, index)
            found.add("compute", _key(plan, index), index, figure, 1, region.size, taps)
    by_themselves = sum(read_by_themselves(plan, at, needed).values())
    for index in stage.reduces:
        figure, _ = function_figure(cost, plan, index)
        found.add("compute", _key(plan, index), index, figure, at_once, middle.size)
        name = cost_name(plan.nodes[index])
        found.add("partial", name, index, cost.figure("partial", name), at_once, middle.size)
    write_bytes = 0.0
    for index in stage.stores:
        node = plan.nodes[index]
        if isinstance(_entry(plan, index), Iterated):
            figure, _ = function_figure(cost, plan, index)
            found.add("compute", _key(plan, index), index, figure, 1, middle.size)
        size = on_grid(middle, node.shape).size * node.itemsize
        for kind in _sinks(plan, at, index, places):
            figure = cost.figure("write", kind, node.dtype)
            calls = at_once if kind in _DECODED else 1
            found.add("write", f"{kind} {node.dtype}", index, figure, calls, size)
            write_bytes += size
    per_block = (found.seconds + boxes * cost.overheads.block_s) / blocks + cost.overheads.receipt_s
    batch = cost.batch_blocks(per_block, len(stage.grid), plan.workers, is_measured=found.is_measured)
    batches = -(-len(stage.grid) // batch) * blocks // len(stage.grid)
    waves = -(-batches // WAVE_BATCHES)
    each = cost.overheads
    overhead_s = each.block_s * boxes + each.receipt_s * blocks + each.batch_s * batches + each.wave_s * waves
    merge = _merge_parts(plan, at, cost, places)
    merge_s = sum(part.seconds for part in merge)
    compute_s = sum(part.seconds for part in found.parts if part.kind == "compute")
    work_s = found.seconds + overhead_s
    rounds = blocks // len(stage.grid)
    return (
        batch,
        cost.least_blocks(per_block, batch, is_measured=found.is_measured),
        Prediction(
            compute_s=compute_s,
            communication_s=work_s - compute_s,
            read_bytes=int((asked + by_themselves) * share),
            write_bytes=int(write_bytes * share),
            memory_bytes=memory,
            halo=_halo(plan, at, middle, needed),
            merge_s=merge_s,
            wall_s=rounds * cost.stage_wall_s(work_s / rounds, batches // rounds, plan.workers, merge_s),
            halo_times=asked / once if once else 1.0,
            chunk_times=found.decoded / asked if asked else 1.0,
            blocks=blocks,
            parts=(*found.parts, *merge),
        ),
    )


WAVE_BATCHES = 16
"""Batches of a wave, unless the settings say otherwise."""


class _Parts:
    """The lines that add up to a stage's work, which is done in so many boxes of blocks."""

    def __init__(self, cost: CostModel, boxes: int, share: float) -> None:
        self.cost, self.boxes, self.share = cost, boxes, share
        self.parts: list[Part] = []
        self.decoded = 0.0
        self.seconds = 0.0
        self.is_measured = True
        """Whether jobs or a calibration have measured all functions among them."""

    def add(self, kind: str, key: str, node: int, figure: Figure, calls: float, units: float, taps: float = 0) -> None:
        """So many calls and units for each box."""
        calls, units = calls * self.boxes, units * self.share
        seconds = figure.seconds_for(units, calls=calls, taps=taps)
        self.parts.append(Part(kind, key, node, calls, units, taps, seconds))
        self.seconds += seconds
        self.is_measured &= kind != "compute" or figure.seconds > 0


def _read(plan: Plan, index: int, region: Region, places: Places, found: _Parts) -> float:
    """Adds what reading a region of a stored image costs; the bytes decoded."""
    node = plan.nodes[index]
    kind = places.source(str(node.arguments["url"])) if node.operation == SOURCE else places.kept(node)
    units, calls = float(region.size), 1.0
    if kind in _DECODED:
        units, calls = touched(chunks_of(plan, index, places), node.shape, region)
        if kind in _CACHED and units > _AGAIN * region.size:
            units, calls = _AGAIN * region.size, calls * _AGAIN * region.size / units
    figure = found.cost.figure("read", kind, node.dtype)
    found.add("read", f"{kind} {node.dtype}", index, figure, calls, units * node.itemsize)
    return units * node.itemsize


def chunks_of(plan: Plan, index: int, places: Places) -> tuple[int, ...] | None:
    """The chunks that an image is stored in; None: it is read pixel by pixel."""
    node = plan.nodes[index]
    if node.operation == SOURCE:
        url = str(node.arguments["url"])
        return places.chunks.get(url) if places.source(url) in _DECODED else None
    return plan.block_of(index) if places.kept(node) in _DECODED else None


def touched(chunks: tuple[int, ...] | None, shape: tuple[int, ...], region: Region) -> tuple[float, float]:
    """Pixels of all chunks that a region touches, and how many chunks those are."""
    if chunks is None:
        return float(region.size), 1.0
    lengths = [
        (-(-stop // chunk) - start // chunk, min(-(-stop // chunk) * chunk, n) - start // chunk * chunk)
        for start, stop, chunk, n in zip(region.start, region.stop, chunks, shape, strict=True)
    ]
    return float(math.prod(length for _, length in lengths)), float(math.prod(count for count, _ in lengths))


def _sinks(plan: Plan, at: int, index: int, places: Places) -> list[str]:
    """Where a stage writes an image: the kinds of its stores."""
    node = plan.nodes[index]
    sinks = [] if isinstance(_entry(plan, index), Labelling | Iterated) else places.outputs(plan, index)
    if plan.kept.get(index) == at or isinstance(_entry(plan, index), Iterated):
        sinks.append(places.kept(node))
    return sinks


def _merge_parts(plan: Plan, at: int, cost: CostModel, places: Places) -> list[Part]:
    """What one process does alone when a stage's blocks are done."""
    stage, parts = plan.stages[at], []
    for index in stage.reduces:
        name = cost_name(plan.nodes[index])
        figure = cost.figure("merge", name)
        pixels = float(math.prod(stage.shape))
        seconds = figure.seconds_for(pixels, calls=len(stage.grid))
        parts.append(Part("merge", name, index, len(stage.grid), pixels, 0, seconds))
    if at == len(plan.stages) - 1 and not places.in_memory:
        for name, index in plan.outputs.items():
            node = plan.nodes[index]
            if node.gives == "image":
                kind, size = places.output(name), float(math.prod(node.shape) * node.itemsize)
                seconds = cost.figure("publish", kind).seconds_for(size)
                parts.append(Part("publish", kind, index, 1, size, 0, seconds))
    return parts


def begin_s(plan: Plan, cost: CostModel, places: Places) -> float:
    """Seconds from the call to the first stage: planning, recording, making the outputs, copying inputs."""
    seconds = cost.overheads.job_s
    if places.in_memory:
        return 0.0
    for name, index in plan.outputs.items():
        node = plan.nodes[index]
        if node.gives == "image":
            size = math.prod(node.shape) * node.itemsize
            # by this process, while workers are at their first blocks already
            seconds += cost.figure("reserve", places.output(name)).seconds_for(size) / (plan.workers + 1)
    for node in plan.nodes:
        if node.operation == SOURCE and _kind(str(node.arguments["url"])) == "picture":
            size = math.prod(node.shape) * node.itemsize
            seconds += cost.figure("read", "picture").seconds_for(size) + cost.figure("write", "npy").seconds_for(size)
    return seconds


def _entry(plan: Plan, index: int) -> Entry | None:
    return entry_of(plan.nodes[index])


def _key(plan: Plan, index: int) -> str:
    return f"{cost_name(plan.nodes[index])} {dtype_of(plan, index)}"


# ------------------------------------------------------------------------------------------------ its middle block


def middle_of(grid: BlockGrid) -> Region:
    """A block that others surround on all sides, where the grid has one."""
    return grid.region(grid.index([(count - 1) // 2 for count in grid.counts]))


def middle_box(stage: Stage) -> Region:
    """The blocks that are done at once with the one in the middle, that one first."""
    middle, together = middle_of(stage.grid), stage.together or (1,) * len(stage.shape)
    lengths = [b * n for b, n in zip(stage.block_shape, together, strict=True)]
    stop = tuple(min(a + length, n) for a, length, n in zip(middle.start, lengths, stage.shape, strict=True))
    start = tuple(max(0, z - length) for z, length in zip(stop, lengths, strict=True))
    return Region(start, stop)


def _halo(plan: Plan, at: int, block: Region, needed: Mapping[int, Region]) -> tuple[int, ...]:
    """The widest halo of a block on each axis, over the images that lie on the stage's grid pixel by pixel."""
    shape = plan.stages[at].shape
    ndim = len(shape)
    halo = [0] * ndim
    for index, region in needed.items():
        if plan.nodes[index].shape[:ndim] == shape:
            for axis in range(ndim):
                before, after = block.start[axis] - region.start[axis], region.stop[axis] - block.stop[axis]
                halo[axis] = max(halo[axis], before, after)
    return tuple(halo)


def read_by_themselves(plan: Plan, at: int, needed: Mapping[int, Region]) -> dict[int, int]:
    """Bytes of each image that a block's functions read for themselves, as far as their geometry can tell beforehand."""
    found: dict[int, int] = {}
    for index in needed:
        entry = entry_of(plan.nodes[index])
        if isinstance(entry, Local) and entry.reads_itself and not plan.is_read(index, at):
            for image, region in zip(*reads_of(plan, index, needed[index]), strict=True):
                found[image] = max(found.get(image, 0), region.size * plan.nodes[image].itemsize)
    return found


def peak_bytes(plan: Plan, at: int, needed: Mapping[int, Region]) -> int:
    """The most that one block's arrays take at a time, counting a function's own temporaries as two more results."""
    uses: dict[int, int] = {}
    for index in needed:
        if not plan.is_read(index, at):
            for image in plan.pixels_of(plan.nodes[index]).values():
                uses[image] = uses.get(image, 0) + 1
    for index in (*plan.stages[at].reduces, *plan.stages[at].stores):
        entry = None if plan.nodes[index].operation == SOURCE else get_entry(plan.nodes[index].operation)
        images = plan.pixels_of(plan.nodes[index]).values() if isinstance(entry, Reduction | Labelling) else [index]
        for image in images:
            uses[image] = uses.get(image, 0) + 1
    live = peak = sum(read_by_themselves(plan, at, needed).values())
    sizes = {index: region.size * plan.nodes[index].itemsize for index, region in needed.items()}
    live += sum(
        min(CACHE_BYTES, plan.nodes[i].itemsize * math.prod(plan.nodes[i].shape)) for i in _chunked(plan, needed, at)
    )
    for index in sorted(needed):
        live += sizes[index]
        peak = max(peak, live + (0 if plan.is_read(index, at) else 2 * sizes[index]))
        if not plan.is_read(index, at):
            for image in plan.pixels_of(plan.nodes[index]).values():
                uses[image] -= 1
                live -= sizes.get(image, 0) if uses[image] == 0 else 0
    partial = max((sizes.get(i, 0) for r in plan.stages[at].reduces for i in plan.nodes[r].refs()), default=0)
    return max(peak, live + 3 * partial)


def _chunked(plan: Plan, needed: Mapping[int, Region], at: int) -> list[int]:
    """The images that a stage reads of which decoded chunks are kept for the next block."""
    read = [(index, plan.nodes[index]) for index in needed if plan.is_read(index, at)]
    return [i for i, node in read if ".zarr" in str(node.arguments.get("url")) or node.operation in (LABELS, DECIDED)]
