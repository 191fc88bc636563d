"""Measures the cost model's figures on this machine, in seconds: real functions, stores and steps on small images.

Calibration takes the same measurements as a job (`execution.timings`), one for each line of a prediction, so that a figure
has the same meaning from either origin. All runs are on one thread, and the quickest of several equal runs counts. Functions
are measured in processor time, which excludes the time of other processes.
"""

from __future__ import annotations

import math
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np

from lepton_celery import graph, stores
from lepton_celery.calibration import workloads
from lepton_celery.calibration.observations import Observations
from lepton_celery.catalogue import get_entry, public_names
from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import reason_of
from lepton_celery.execution.block import run_blocks
from lepton_celery.execution.context import Context
from lepton_celery.execution.merge import merge_stage
from lepton_celery.execution.outputs import collect_images, open_outputs
from lepton_celery.execution.threads import one_thread
from lepton_celery.execution.timings import Timings
from lepton_celery.graph.nodes import Node, apply
from lepton_celery.graph.order import topological
from lepton_celery.grid import BlockGrid, Region, StageNumber
from lepton_celery.kernels import loaded
from lepton_celery.planning.cost.model import CostModel, function_of
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.planning.plan import Stage
from lepton_celery.planning.planner import make_plan
from lepton_celery.stores.base import Target
from lepton_celery.stores.workspace import DiskWorkspace, MemoryWorkspace, Workspace, workspace_root
from lepton_celery.text import logger

log = logger(__name__)

LARGE_SIDE = 512
"""Side of the image that functions are measured on, in pixels; an eighth of it for slow functions."""
SMALL_SIDE = 32
"""Side of the small image that shows the cost of a call, in pixels."""
SPEED_SIDE = 256
"""Side of the image by which the machine's speed is measured, in pixels."""
CONTENTION_S = 0.1
"""Seconds of processor time from which it is measured how busy the machine is."""
REPEATS = 2
"""Number of runs of each measurement; the first one may import and compile."""
SPEED_RANGE = (0.1, 10.0)
"""Smallest and largest accepted `CostModel.speed`."""
STORED_DTYPES = {
    "npy": ("float32", "uint8", "int32", "bool"),
    "zarr": ("float32", "uint8", "bool", "int32"),
    "tiff": ("uint8",),
    "picture": ("uint8",),
}
"""The dtypes that each store is measured with."""

_SUFFIXES = {"npy": ".npy", "zarr": ".zarr", "tiff": ".tif", "picture": ".png"}
_UNLIMITED = Limits(worker_memory_bytes=1 << 40)


def measure(folder: Path, *, seconds: float = 8.0) -> CostModel:
    """The cost model of this machine. Files are written into `folder`; the caller removes them.

    Takes about `seconds`, or longer on a slow machine. Functions that are not measured by then keep the catalogue's figures.
    """
    until = time.monotonic() + seconds
    observations = Observations()
    with one_thread():
        block_s = _measure_block_s()
        _measure_functions(observations)
        _measure_objects(observations, folder)
        _measure_stores(observations, folder)
        _measure_examples(observations, until)
    model = CostModel()
    for kind, figures in observations.figures().items():
        model = model.with_figures(kind, figures)
    overheads = replace(model.overheads, block_s=block_s)
    return replace(model, overheads=overheads, measured_at=time.time(), speed=_speed(model))


def measure_speed() -> float:
    """The ratio of this machine's times to those of the catalogue, from a few functions; takes a tenth of a second."""
    observations = Observations()
    with one_thread():
        for function in workloads.typical_functions():
            for _ in range(REPEATS):
                observe([function.node(SPEED_SIDE)], observations)
    return _speed(CostModel().with_figures("compute", observations.figures()["compute"]))


def measure_contention() -> float:
    """How many times longer work takes now than alone on this machine, because other processes use the processors too."""
    function = workloads.typical_functions()[0].node(SPEED_SIDE)
    observe([function], Observations())  # imports
    began_s, began_cpu_s = time.monotonic(), time.thread_time()
    with one_thread():
        while time.thread_time() - began_cpu_s < CONTENTION_S:
            observe([function], Observations())
    return max(1.0, (time.monotonic() - began_s) / (time.thread_time() - began_cpu_s))


def observe(
    nodes: Sequence[Node], observations: Observations, *, divisions: int = 1, workspace: Workspace | None = None
) -> Timings:
    """Run a small job in this process, record the time of each line of its prediction, and return its last stage's timings.

    Args:
        nodes: the outputs of the job.
        observations: the observations to which the times are added.
        divisions: number of blocks along each axis.
        workspace: the job's workspace; None for one in memory.
    """
    side = max(topological(nodes, Node.parents)[0].shape[:2])  # of the input image
    block_shape = (-(-side // divisions),) * 2
    outputs = {str(number): node for number, node in enumerate(nodes)}
    planned = make_plan(outputs, PlanOptions(block_shape, workers=1, limits=_UNLIMITED, in_memory=True))
    plan = planned.plan
    context = Context(plan, workspace or MemoryWorkspace(), arrays=planned.lowered.arrays, kernels=loaded())
    context.workspace.create()
    collect_images(context)
    number: StageNumber | None = StageNumber(0)
    while number is not None:
        open_outputs(context, number)
        stage, timings = plan.stage_of(number), Timings(time.thread_time_ns)
        for block in stage.grid.indices():
            run_blocks(context, number, [block], timings=timings)
        began = time.thread_time()
        again = merge_stage(context, number)
        _record(stage, timings.stats(), time.thread_time() - began, observations)
        number = plan.following(number, again=again)
    context.workspace.discard()
    return timings


def _record(stage: Stage, stats: Mapping[str, float], merge_s: float, observations: Observations) -> None:
    """Record the times of the lines of a stage's prediction."""
    lines = stage.predicted.lines
    for line in lines:
        seconds = stats.get(f"{line.kind} {line.node}", 0.0)
        if line.kind in ("compute", "partial") and seconds > 0:
            observations.add(line.kind, line.key, line.calls, line.units, line.taps, seconds)
    merges = [line for line in lines if line.kind == "merge"]
    if len(merges) == 1:  # the times of several merges cannot be told apart
        observations.add("merge", merges[0].key, merges[0].calls, merges[0].units, 0, merge_s)


def _measure_functions(observations: Observations) -> None:
    runs = [(function, side, REPEATS) for function in workloads.fast_functions() for side in (SMALL_SIDE, LARGE_SIDE)]
    runs += [(function, side, 1) for function in workloads.slow_functions() for side in (SMALL_SIDE, LARGE_SIDE // 8)]
    for function, side, repeats in runs:
        nodes = [function.node(side)]
        for _ in range(repeats):
            observe(nodes, observations)


def _measure_objects(observations: Observations, folder: Path) -> None:
    for with_intensity in (True, False):
        # of several sizes, so that the fit separates fixed costs from costs per pixel
        for side, divisions in ((LARGE_SIDE // 2, 2), (LARGE_SIDE * 2, 2), (LARGE_SIDE * 2, 4)):
            nodes = workloads.objects(side, with_intensity=with_intensity)
            for _ in range(REPEATS):
                job_id = uuid4().hex
                workspace = DiskWorkspace(workspace_root(folder, job_id), job_id)
                observe(nodes, observations, divisions=divisions, workspace=workspace)


def _measure_examples(observations: Observations, until: float) -> None:
    """Measure the catalogue's other functions by their examples, fast ones first, until the time is up."""
    known = {function_of(key) for kind, key in observations.rows if kind == "compute"}
    entries = [entry for name in public_names() if (entry := get_entry(name)).is_local and name not in known]
    for entry in sorted(entries, key=lambda entry: entry.cost_ns):
        if time.monotonic() + 2 * entry.cost_ns * 1e-9 * 256**2 > until:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                node = workloads.example(entry)
                for _ in range(REPEATS):
                    observe([node], observations)
        except Exception as error:  # an example may need more than an image, which each function refuses in its own way
            log.debug("%s is not measured: %s", entry.name, reason_of(error))


def _measure_block_s() -> float:
    """The fixed cost of a block in seconds, without functions, reads and writes."""
    image = graph.open(workloads.photograph((256, 256), "float32"))
    best = math.inf
    for _ in range(REPEATS + 1):
        stats = observe([apply("numpy.add", image, np.float32(1))], Observations(), divisions=16).stats()
        best = min(best, (stats["block_s"] - stats["compute_s"] - stats["read_s"] - stats["write_s"]) / stats["boxes"])
    return max(best, 1e-6)


def _speed(model: CostModel) -> float:
    """The median ratio of measured figures to the catalogue's, within `SPEED_RANGE`."""
    ratios = []
    for key, figure in model.figures["compute"].items():
        entry = get_entry(function_of(key))
        if entry.cost_ns >= 2:
            taps = 10.0 if entry.tap_ns else 0.0
            ratios.append((figure.unit_ns + taps * figure.tap_ns) / (entry.cost_ns + taps * entry.tap_ns))
    low, high = SPEED_RANGE
    return min(high, max(low, statistics.median(ratios))) if ratios else 1.0


def _measure_stores(observations: Observations, folder: Path) -> None:
    for kind, dtypes in STORED_DTYPES.items():
        for dtype in dtypes:
            for side, block in ((1024, 512), (256, 64)):
                image = workloads.stored_image(side, dtype)
                for _ in range(REPEATS):
                    measure_store(kind, image, block, observations, folder)


def measure_store(kind: str, image: Array, block_px: int, observations: Observations, folder: Path) -> None:
    """Measure a kind of file: write an image in blocks of `block_px` pixels a side, and read it back."""
    path = folder / f"{uuid4().hex}{_SUFFIXES[kind]}"
    output = stores.array_output(Target(str(path), image.shape, str(image.dtype), (block_px, block_px), "calibration"))
    regions = list(BlockGrid(image.shape, (block_px, block_px)))
    pieces = [np.ascontiguousarray(image[region.slices]) for region in regions]
    keys = [f"{kind} {image.dtype}"]
    if kind == "zarr" and image.dtype == np.int32:
        keys.append("packed int32")  # intermediate label images are Zarr arrays too

    def record(what: str, keys: Sequence[str], calls: Sequence[Callable[[], object]]) -> None:
        seconds = _typical_s(calls)
        for key in keys:
            observations.add(what, key, len(calls), image.nbytes, 0, seconds)

    def make() -> None:
        output.create()
        output.reserve()

    record("reserve", [kind], [make])
    record("write", keys, [partial(output.write, *pair) for pair in zip(regions, pieces, strict=True)])
    record("publish", [kind], [output.publish])
    reader = stores.open_array(path)
    if kind == "picture":
        regions = [Region.whole(image.shape)]
    record("read", keys, [partial(reader.read, region) for region in regions])


def _typical_s(calls: Sequence[Callable[[], object]]) -> float:
    """Seconds of all calls at their median time, because other processes may interrupt some of them."""
    seconds = []
    for call in calls:
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * len(calls)
