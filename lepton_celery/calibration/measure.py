"""Measures the cost model's figures on this machine, in seconds: real functions, stores and steps on small images.

What is measured is what jobs measure of themselves (`tally`), by the same lines of the same predictions, so that a figure
means the same wherever it comes from. Each is the best of a few runs on one thread, functions by processor time:
what others do meanwhile only adds.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from scipy import optimize

from lepton_celery import stores
from lepton_celery.catalogue import get_entry, public_names
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import Entry, Local, Refused
from lepton_celery.execution.block import run_block
from lepton_celery.execution.context import Context
from lepton_celery.execution.loop import run_stages
from lepton_celery.execution.merge import merge_stage
from lepton_celery.execution.threads import one_thread
from lepton_celery.execution.timings import Timings
from lepton_celery.graph.nodes import Node, apply
from lepton_celery.graph.nodes import open as open_image
from lepton_celery.grid import BlockGrid, Region, StageNumber
from lepton_celery.kernels import loaded
from lepton_celery.planning.cost.model import CostModel, Figure, Overheads, function_of
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.planning.plan import Stage
from lepton_celery.planning.planner import make_plan
from lepton_celery.proving import samples
from lepton_celery.stores.base import Target
from lepton_celery.stores.workspace import DiskWorkspace, MemoryWorkspace, Workspace

_SIDE = 512
"""Side of the image that functions are tried on; an eighth of it for dear ones."""
_TINY = 32
"""Side of the image that shows what a call costs."""
_REPEAT = 2
_SPEED = (0.1, 10.0)
"""Bounds of what this machine takes over what the catalogue says."""
_UNLIMITED = Limits(worker_memory_bytes=1 << 40)


# ------------------------------------------------------------------------------------------------ what is measured


def _called(name: str, dtype: str, **arguments: Any) -> Callable[[int], Node]:
    """A function on an image of so many pixels a side."""

    def node(side: int) -> Node:
        entry = get_entry(name)
        wanted = entry.samples.get(entry.images[0], "image")
        shape = (side, side, 3) if wanted == "rgb" else (side, side)
        found: Node = apply(name, open_image(photograph(shape, dtype)), **arguments)
        return found

    return node


def _between(name: str, *dtypes: str, **arguments: Any) -> list[Callable[[int], Node]]:
    return [_called(name, dtype, **arguments) for dtype in dtypes]


_SQUARE = np.ones((3, 3), np.uint8)
_WIDE = np.ones((9, 9), np.uint8)


def functions() -> list[Callable[[int], Node]]:
    """The functions that pipelines are made of, in the dtypes that they are used with."""
    return [
        *(one for sigma in (1, 5) for one in _between("filters.gaussian", "float32", "float64", "uint8", sigma=sigma)),
        *_between("color.rgb2gray", "uint8"),
        *_between("filters.sobel", "float32", "float64", "uint8"),
        *(one for name in ("greater", "add", "multiply") for one in _ufuncs(name)),
        *_between("numpy.sqrt", "float32"),
        *_between("filters.median", "uint8", footprint=_SQUARE),
        *_between("filters.unsharp_mask", "float32"),
        *(one for size in (_SQUARE, _WIDE) for one in _between("morphology.erosion", "uint8", footprint=size)),
        *_between("morphology.opening", "uint8", footprint=_SQUARE),
        *_between("transform.downscale_local_mean", "float32", factors=(2, 2)),
        *_between("exposure.rescale_intensity", "uint8"),
    ]


def _ufuncs(name: str) -> Iterator[Callable[[int], Node]]:
    for dtype in ("float32", "float64", "uint8"):
        yield _called(f"numpy.{name}", dtype, **{get_entry(f"numpy.{name}").images[1]: np.dtype(dtype).type(1)})


def dear_functions() -> list[Callable[[int], Node]]:
    """Functions that take microseconds a pixel."""
    return [
        _called("restoration.denoise_nl_means", "float32", patch_size=5, patch_distance=reach, fast_mode=False)
        for reach in (2, 6)
    ]


def objects(side: int) -> list[Node]:
    """A threshold, labels and a table: what has partials and merges."""
    image = open_image(photograph((side, side), "uint8"))
    labels = apply(
        "measure.label", apply("numpy.greater", image, apply("filters.threshold_otsu", image)), connectivity=1
    )
    properties = ("label", "area", "bbox", "centroid", "intensity_mean")
    return [labels, apply("measure.regionprops_table", labels, image, properties=properties)]


def areas(side: int) -> list[Node]:
    """The same with areas only, which are found in another way."""
    image = open_image(photograph((side, side), "uint8"))
    labels = apply(
        "measure.label", apply("numpy.greater", image, apply("filters.threshold_otsu", image)), connectivity=1
    )
    return [labels, apply("measure.regionprops_table", labels, properties=("label", "area"))]


def photograph(shape: tuple[int, ...], dtype: str) -> Array:
    """A photograph of coins with noise, tiled, over the range of the dtype (0 to 1 for floats)."""
    from skimage import data

    coins = data.coins().astype(np.float32) / 255
    rows, columns = np.arange(shape[0]) % coins.shape[0], np.arange(shape[1]) % coins.shape[1]
    values = coins[rows][:, columns].reshape(shape[:2] + (1,) * (len(shape) - 2))
    noise = np.random.default_rng(5).standard_normal(shape, np.float32) * np.float32(0.035)
    values = np.clip(values + noise, 0, 1)
    kind = np.dtype(dtype)
    found: Array = values > 0.4 if kind.kind == "b" else (values * (1 if kind.kind == "f" else 255)).astype(kind)
    return found


# ------------------------------------------------------------------------------------------------ measuring


@dataclass
class Observations:
    """Runs by kind and key: calls, units, units times taps, seconds."""

    rows: dict[tuple[str, str], dict[tuple[float, float, float], float]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def add(self, kind: str, key: str, calls: float, units: float, taps: float, seconds: float) -> None:
        """A run; of several alike the quickest counts."""
        row = (calls, units, units * taps)
        known = self.rows[kind, key].get(row)
        self.rows[kind, key][row] = seconds if known is None else min(known, seconds)

    def figures(self) -> dict[str, dict[str, Figure]]:
        """The line through the runs of each; a function that was run in one way only is as the catalogue says, times as
        much."""
        found: dict[str, dict[str, Figure]] = defaultdict(dict)
        for (kind, key), rows in self.rows.items():
            if kind == "compute" and len(rows) == 1:
                found[kind][key] = _scaled(get_entry(function_of(key)), *next(iter(rows.items())))
            else:
                found[kind][key] = fitted(rows)
        return found


def _scaled(entry: Entry, row: tuple[float, float, float], seconds: float) -> Figure:
    calls, units, taps = row
    call_ns = Overheads().call_s * 1e9
    shipped_ns = units * entry.cost_ns + taps * entry.tap_ns
    times = max(0.0, seconds * 1e9 - calls * call_ns) / shipped_ns
    return Figure(entry.cost_ns * times, call_ns, entry.tap_ns * times, seconds)


def fitted(rows: Mapping[tuple[float, float, float], float]) -> Figure:
    """The figure that is nearest to runs of (calls, units, units × taps), in proportion to their times."""
    seconds = np.array(list(rows.values()))
    matrix = np.array(list(rows)) / seconds[:, None]
    scale = np.maximum(matrix.max(axis=0), 1e-30)  # calls are few and pixels many
    (call, unit, tap), _ = optimize.nnls(matrix / scale, np.ones(len(seconds)))
    unit_ns, call_ns, tap_ns = (1e9 * float(x) for x in (unit / scale[1], call / scale[0], tap / scale[2]))
    return Figure(unit_ns, call_ns, tap_ns, float(seconds.sum()))


def observe(
    nodes: Sequence[Node],
    observed: Observations,
    *,
    divisions: int = 1,
    workspace: Workspace | None = None,
) -> Timings:
    """Do a small job in this process, in blocks of so many along each axis, and note what each part took."""
    outputs = {str(number): node for number, node in enumerate(nodes)}
    side = max(next(iter(_sources(nodes))).shape[:2])
    block_shape = (-(-side // divisions),) * 2
    planned = make_plan(outputs, PlanOptions(block_shape, workers=1, limits=_UNLIMITED, in_memory=True))
    plan, arrays = planned.plan, planned.lowered.arrays
    context = Context(plan, workspace or MemoryWorkspace(), arrays=arrays, kernels=loaded())
    context.workspace.create()
    for name, index in plan.outputs.items():
        node = plan.nodes[index]
        if node.gives == "image":
            target = Target(name, node.shape, node.dtype, plan.block_of(index), "calibration")
            context.attach(index, stores.MemoryOutput(target))
    timings = Timings(time.thread_time_ns)

    def do_blocks(number: StageNumber) -> None:
        nonlocal timings
        timings = Timings(time.thread_time_ns)
        for block in plan.stage_of(number).grid.indices():
            run_block(context, number, block, timings=timings)

    def merge(context: Context, number: StageNumber) -> bool:
        began = time.thread_time()
        again = merge_stage(context, number)
        _note(plan.stage_of(number), timings.stats(), time.thread_time() - began, observed)
        return again

    run_stages(context, do_blocks, merge=merge)
    context.workspace.discard()
    return timings


def _sources(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        parents = list(node.parents())
        if parents:
            yield from _sources(parents)
        else:
            yield node


def _note(stage: Stage, stats: Mapping[str, float], merge_s: float, observed: Observations) -> None:
    """What the lines of a stage's prediction took."""
    merges = [line for line in stage.predicted.lines if line.kind == "merge"]
    for line in stage.predicted.lines:
        seconds = stats.get(f"{line.kind} {line.node}", 0.0)
        if line.kind in ("compute", "partial") and seconds > 0:
            observed.add(line.kind, line.key, line.calls, line.units, line.taps, seconds)
    if len(merges) == 1:
        (line,) = merges
        observed.add("merge", line.key, line.calls, line.units, 0, merge_s)


def _measure_functions(observed: Observations) -> None:
    for make in functions():
        for side in (_TINY, _SIDE):
            nodes = [make(side)]
            for _ in range(_REPEAT):  # the first imports and compiles
                observe(nodes, observed)
    for make in dear_functions():
        for side in (_TINY, _SIDE // 8):
            observe([make(side)], observed)


def _measure_objects(observed: Observations, folder: Path) -> None:
    for graph in (objects, areas):
        # what is paid once must not seem to be paid for each pixel
        for side, divisions in ((_SIDE // 2, 2), (_SIDE * 2, 2), (_SIDE * 2, 4)):
            nodes = graph(side)
            for _ in range(_REPEAT):
                workspace = DiskWorkspace(folder / uuid4().hex, "calibration")
                observe(nodes, observed, divisions=divisions, workspace=workspace)


# ------------------------------------------------------------------------------------------------ stores

_STORED = {
    "npy": ("float32", "uint8", "int32", "bool"),
    "zarr": ("float32", "uint8", "bool", "int32"),
    "tiff": ("uint8",),
    "picture": ("uint8",),
}
_SUFFIX = {"npy": ".npy", "zarr": ".zarr", "tiff": ".tif", "picture": ".png"}


def _measure_stores(observed: Observations, folder: Path) -> None:
    for kind, dtypes in _STORED.items():
        for dtype in dtypes:
            for side, block in ((1024, 512), (256, 64)):
                image = _stored(side, dtype)
                for _ in range(_REPEAT):
                    _measure_store(kind, image, block, observed, folder)


def _stored(side: int, dtype: str) -> Array:
    """What images of a dtype are like: photographs, masks, or labels."""
    picture = photograph((side, side), "bool" if dtype == "int32" else dtype)
    return np.cumsum(picture, axis=1, dtype=np.int32) * picture if dtype == "int32" else picture


def _measure_store(kind: str, image: Array, block: int, observed: Observations, folder: Path) -> None:
    path = folder / f"{uuid4().hex}{_SUFFIX[kind]}"
    dtype = str(image.dtype)
    output = stores.array_output(Target(str(path), image.shape, dtype, (block, block), "calibration"))
    began = time.perf_counter()
    output.create()
    output.reserve()
    observed.add("reserve", kind, 1, image.nbytes, 0, time.perf_counter() - began)
    regions = list(BlockGrid(image.shape, (block, block)))
    pieces = [np.ascontiguousarray(image[region.slices]) for region in regions]
    took = _typical([partial(output.write, region, piece) for region, piece in zip(regions, pieces, strict=True)])
    for name in (kind, "packed") if kind == "zarr" and dtype == "int32" else (kind,):
        observed.add("write", f"{name} {dtype}", len(regions), image.nbytes, 0, took)
    began = time.perf_counter()
    output.publish()
    observed.add("publish", kind, 1, image.nbytes, 0, time.perf_counter() - began)
    reader = stores.open_array(path)
    if kind == "picture":
        regions = [Region.whole(image.shape)]
    took = _typical([partial(reader.read, region) for region in regions])
    for name in (kind, "packed") if kind == "zarr" and dtype == "int32" else (kind,):
        observed.add("read", f"{name} {dtype}", len(regions), image.nbytes, 0, took)


def _typical(calls: Sequence[Callable[[], object]]) -> float:
    """Seconds of all calls, if each took what the middle one takes: one may be interrupted."""
    seconds = []
    for call in calls:
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * len(calls)


# ------------------------------------------------------------------------------------------------ the rest


def _block_s(folder: Path) -> float:
    """What a block costs besides its functions and files."""
    image = open_image(photograph((256, 256), "float32"))
    ignored = Observations()
    best = math.inf
    for _ in range(_REPEAT + 1):
        timings = observe([apply("numpy.add", image, np.float32(1))], ignored, divisions=16)
        stats = timings.stats()
        best = min(best, (stats["block_s"] - stats["compute_s"] - stats["read_s"] - stats["write_s"]) / stats["boxes"])
    return max(best, 1e-6)


def _measure_examples(observed: Observations, until: float) -> None:
    """Every other function of the catalogue with its example, the cheap ones first, as long as there is time."""
    known = {function_of(key) for kind, key in observed.rows if kind == "compute"}
    entries = [entry for name in public_names() if isinstance(entry := get_entry(name), Local) and name not in known]
    for entry in sorted(entries, key=lambda entry: entry.cost_ns):
        if time.monotonic() + 2 * entry.cost_ns * 1e-9 * 256**2 > until:
            return
        with suppress(Exception), warnings.catch_warnings():  # an example may need more than an image
            warnings.simplefilter("ignore")
            node = _example(entry)
            for _ in range(_REPEAT):
                observe([node], observed)


def _example(entry: Entry) -> Node:
    dtype = np.dtype(next(name for name in ("uint8", "float64", "bool") if name in entry.declared_dtypes()))
    images = {
        name: open_image(samples.sample_for(entry.samples.get(name, "image"), "noise", (256, 256), dtype))
        for name in entry.images
        if name not in entry.complete({})
    }
    found: Node = apply(entry.name, **images, **entry.example_for(2))
    return found


def _speed(model: CostModel) -> float:
    """What functions take here over what the catalogue says, in the middle."""
    ratios = []
    for key, figure in model.figures["compute"].items():
        entry = get_entry(function_of(key))
        if not isinstance(entry, Refused) and entry.cost_ns >= 2:
            taps = 10.0 if entry.tap_ns else 0.0
            ratios.append((figure.unit_ns + taps * figure.tap_ns) / (entry.cost_ns + taps * entry.tap_ns))
    low, high = _SPEED
    return min(high, max(low, statistics.median(ratios))) if ratios else 1.0


def measure(folder: Path, *, seconds: float = 8.0) -> CostModel:
    """The cost model of this machine; files are written into `folder`, and removed by the caller.

    Takes about `seconds` at most on a machine that is not slow: when they are over, functions that were not tried yet keep
    the catalogue's figures.
    """
    until = time.monotonic() + seconds
    observed = Observations()
    with one_thread():
        block_s = _block_s(folder)
        _measure_functions(observed)
        _measure_objects(observed, folder)
        _measure_stores(observed, folder)
        _measure_examples(observed, until)
    model = CostModel()
    for kind, figures in observed.figures().items():
        model = model.with_figures(kind, figures)
    overheads = replace(model.overheads, block_s=block_s)
    model = replace(model, overheads=overheads, origin="calibrated", measured_at=time.time())
    return replace(model, speed=_speed(model))
