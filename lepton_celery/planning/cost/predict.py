"""Predicts the cost of a stage: the figures are applied to the pixels that all its blocks compute, read and write."""

from __future__ import annotations

import math
from dataclasses import replace

from lepton_celery.grid import Region, StageIndex
from lepton_celery.planning.cost.model import CostModel, Figure
from lepton_celery.planning.cost.work import StageWork, large_factor
from lepton_celery.planning.locations import CACHED, DECODED, Locations, is_picture
from lepton_celery.planning.memory import read_by_functions
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import CostLine, Plan, PlanNode, Prediction, Stage
from lepton_celery.planning.regions import Regions, halo_of

LATER_ROUND_SHARE = 0.5
"""Share of the blocks that are computed in a round after the second; the others did not change and are copied."""
DECODES_PER_CHUNK = 1.25
"""Average number of times that a store with a cache decodes a chunk; measured with halos, see docs/benchmarks.md."""


def cost_name(node: PlanNode) -> str:
    """The name of a node's function in the cost model.

    It includes the path of the user's own function, and the properties of a region table.
    """
    function, properties = node.arguments.get("function"), node.arguments.get("properties")
    if isinstance(function, str):
        return f"{node.operation}({function})"
    if isinstance(properties, list | tuple):
        return f"{node.operation}[{','.join(sorted(map(str, properties)))}]"
    return node.operation


def figure_key(node: PlanNode) -> str:
    """The key of the figure of a node's function: its name, and the dtype of its first image."""
    first = next(iter(node.images), None)
    return f"{cost_name(node)} {node.dtype if first is None else node.arguments[first].dtype}"


def function_figure(cost: CostModel, node: PlanNode) -> tuple[Figure, float]:
    """The figure of a node's function, and the taps of its kernel."""
    shipped = Figure(node.entry.cost_ns, cost.overheads.call_s * 1e9, node.entry.tap_ns)
    return cost.figure("compute", figure_key(node), shipped), node.entry.taps_for(node.shape, node.with_defaults)


class _Estimate:
    """Adds up the lines of a stage's prediction."""

    def __init__(
        self, plan: Plan, stage_index: StageIndex, needed: Regions, cost: CostModel, locations: Locations
    ) -> None:
        """`needed` are the regions that the middle box of blocks needs."""
        self.plan, self.stage_index, self.needed, self.cost, self.locations = plan, stage_index, needed, cost, locations
        self.stage = plan.stages[stage_index]
        self.work = StageWork(plan, stage_index, needed)
        grid = self.stage.grid
        nodes = [plan.nodes[index] for index in plan.iterated(stage_index)]
        self.rounds = max((node.entry.expected_rounds(grid, node.with_defaults) for node in nodes), default=1.0)
        self.blocks = round(len(grid) * self.rounds)
        self.box_blocks = math.prod(self.stage.box_blocks)
        self.boxes = -(-self.blocks // self.box_blocks)
        self.lines: list[CostLine] = []
        self.is_measured = True
        """Whether every function of the stage has a measured figure."""
        self.asked_bytes = self.decoded_bytes = self.image_bytes = self.written_bytes = 0.0

    def _line(self, kind: str, key: str, node: int, calls: float, units: float) -> CostLine:
        """A line; `calls` and `units` are those of the whole stage."""
        figure, taps = self.cost.figure(kind, key), 0.0
        seconds = figure.seconds_for(units, calls=calls, taps=taps)
        return CostLine(kind, key, node, calls, units, taps, seconds)

    def _add(self, kind: str, key: str, node: int, *, calls: float, units: float) -> None:
        self.lines.append(self._line(kind, key, node, float(calls), units))

    def _add_function(self, index: int, *, calls: float, pixels: float) -> None:
        """Add a function that computes `pixels` in `calls` calls; a pixel of a large or cut image costs more."""
        node = self.plan.nodes[index]
        figure, taps = function_figure(self.cost, node)
        self.is_measured &= figure.seconds > 0
        factor = node.entry.work_factor(self.stage.grid, node.with_defaults)
        at_once = pixels / max(1.0, calls)
        units = pixels * factor * large_factor(at_once, figure.unit_ns + taps * figure.tap_ns)
        seconds = figure.seconds_for(units, calls=calls, taps=taps)
        self.lines.append(CostLine("compute", figure_key(node), index, float(calls), units, taps, seconds))

    def add_inputs(self) -> None:
        """Add the reads and the functions of all blocks."""
        for index, region in self.needed.items():
            if self.plan.is_read(index, self.stage_index):
                self._add_read(index, region)
            else:
                self._add_function(index, calls=self.boxes, pixels=self.work.computed_px(index))

    def _add_read(self, index: int, region: Region) -> None:
        node = self.plan.nodes[index]
        kind = self.locations.read_from(node)
        pixels, chunks = touched(self.locations.chunks_of(self.plan, index), node.shape, region)
        decoded = pixels / region.size
        if kind in CACHED and decoded > DECODES_PER_CHUNK:
            chunks *= DECODES_PER_CHUNK / decoded
            decoded = DECODES_PER_CHUNK
        asked = self.work.read_px(index) * node.itemsize
        self._add("read", f"{kind} {node.dtype}", index, calls=chunks * self.boxes, units=asked * decoded)
        self.asked_bytes += asked
        self.decoded_bytes += asked * decoded
        self.image_bytes += node.size_bytes

    def add_results(self) -> None:
        """Add the partials that the blocks leave and the images that they write."""
        for index in self.stage.reduces:
            node, pixels = self.plan.nodes[index], self.work.result_px(index)
            self._add_function(index, calls=self.blocks, pixels=pixels)
            self._add("partial", cost_name(node), index, calls=self.blocks, units=pixels)
        for index in self.stage.stores:
            node = self.plan.nodes[index]
            if node.entry.is_iterated:
                # in the first two rounds all blocks are computed, later only those near others that changed
                computed = min(self.rounds, 2) + LATER_ROUND_SHARE * max(0, self.rounds - 2)
                self._add_function(index, calls=self.boxes, pixels=computed * self.work.result_px(index))
            size = node.size_bytes * self.rounds
            for kind in self.locations.written_to(self.plan, index, self.stage_index):
                calls = self.blocks if kind in DECODED else self.boxes
                self._add("write", f"{kind} {node.dtype}", index, calls=calls, units=size)
                self.written_bytes += size

    def merge_lines(self) -> list[CostLine]:
        """The lines of the work that a single process does when the stage's blocks are done."""
        pixels, blocks, nodes = float(math.prod(self.stage.shape)), float(len(self.stage.grid)), self.plan.nodes
        lines = [self._line("merge", cost_name(nodes[index]), index, blocks, pixels) for index in self.stage.reduces]
        is_last = self.stage_index == len(self.plan.stages) - 1
        for name, index in self.plan.outputs.items() if is_last and not self.locations.in_memory else ():
            if nodes[index].gives == "image":
                size = float(nodes[index].size_bytes)
                lines.append(self._line("publish", self.locations.output(name), index, 1.0, size))
        return lines


def predict(
    plan: Plan, stage_index: StageIndex, needed: Regions, memory_bytes: int, options: PlanOptions, locations: Locations
) -> Stage:
    """The stage with the size of its batches and its prediction.

    `needed` are the regions that its middle box of blocks needs, and `memory_bytes` is the peak memory of that box.
    """
    cost, overheads = options.cost, options.cost.overheads
    estimate = _Estimate(plan, stage_index, needed, cost, locations)
    estimate.add_inputs()
    estimate.add_results()
    stage, blocks, rounds, lines = estimate.stage, estimate.blocks, estimate.rounds, estimate.lines
    lines_s = sum(line.seconds for line in lines)
    compute_s = sum((line.seconds for line in lines if line.kind == "compute"), 0.0)
    block_s = (lines_s + estimate.boxes * overheads.block_s) / blocks + overheads.receipt_s
    batch_blocks = cost.batch_blocks(block_s, len(stage.grid), plan.workers, is_measured=estimate.is_measured)
    batches = -(-len(stage.grid) // batch_blocks)
    waves = -(-batches // max(2, plan.workers))
    round_s = block_s * blocks / rounds + overheads.batch_s * batches + overheads.wave_s * waves
    by_functions = sum(read_by_functions(plan, stage_index, needed).values()) * estimate.work.share * rounds
    predicted = Prediction(
        compute_s=compute_s,
        communication_s=rounds * round_s - compute_s,
        read_bytes=int(estimate.asked_bytes + by_functions),
        write_bytes=int(estimate.written_bytes),
        memory_bytes=memory_bytes,
        halo=halo_of(plan, stage_index, estimate.work.middle, needed),
        blocks_s=rounds * cost.stage_wall_s(round_s, batches, plan.workers),
        halo_overread=estimate.asked_bytes / estimate.image_bytes if estimate.image_bytes else 1.0,
        decode_overread=estimate.decoded_bytes / estimate.asked_bytes if estimate.asked_bytes else 1.0,
        blocks=blocks,
        lines=(*lines, *estimate.merge_lines()),
    )
    smallest = cost.min_batch_blocks(block_s, batch_blocks, is_measured=estimate.is_measured)
    return replace(stage, batch_blocks=batch_blocks, min_batch_blocks=smallest, predicted=predicted)


def startup_s(plan: Plan, cost: CostModel, locations: Locations) -> float:
    """Seconds from the call to the first stage: planning, recording, creating the outputs, copying inputs."""
    if locations.in_memory:
        return 0.0
    seconds = cost.overheads.job_s
    for name, index in plan.outputs.items():
        node = plan.nodes[index]
        if node.gives == "image":
            # the submitter reserves space while workers already compute the first blocks
            reserve = cost.figure("reserve", locations.output(name))
            seconds += reserve.seconds_for(node.size_bytes) / (plan.workers + 1)
    for index, url in plan.sources:
        if is_picture(url):
            size = plan.nodes[index].size_bytes
            seconds += cost.figure("read", "picture").seconds_for(size) + cost.figure("write", "npy").seconds_for(size)
    return seconds


def touched(chunks: tuple[int, ...] | None, shape: tuple[int, ...], region: Region) -> tuple[float, float]:
    """The number of pixels of the chunks that a region touches, and the number of these chunks."""
    if chunks is None:
        return float(region.size), 1.0
    lengths = [
        (-(-stop // chunk) - start // chunk, min(-(-stop // chunk) * chunk, n) - start // chunk * chunk)
        for start, stop, chunk, n in zip(region.start, region.stop, chunks, shape, strict=True)
    ]
    return float(math.prod(length for _, length in lengths)), float(math.prod(count for count, _ in lengths))
