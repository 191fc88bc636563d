"""Makes plans: cuts the graph into stages, sizes them, and stores images where that is quicker than recomputing them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from lepton_celery.errors import InputError, PlanTooLarge
from lepton_celery.graph.nodes import Node
from lepton_celery.grid import BlockGrid, StageIndex
from lepton_celery.planning.bounds import check_graph, check_workspace
from lepton_celery.planning.combining import with_combining
from lepton_celery.planning.cost.predict import startup_s
from lepton_celery.planning.locations import Locations
from lepton_celery.planning.lowering import Lowered, lower
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.regions import middle_of, needed_regions
from lepton_celery.planning.shapes import halving
from lepton_celery.planning.sizes import MAX_WORK_RATIO, StageSizer
from lepton_celery.planning.stages import StageCutter

RECOMPUTE_RATIO = 1.25
"""Pixels of an image that blocks compute, as a multiple of its size, above which storing the image is considered."""
STORING_TRIALS = 6
"""Largest number of images that one pass of the planner considers for storing."""
MIN_SAVING = 0.05
"""Share of the predicted time that another plan must save to be chosen; predictions are not more accurate than that."""
TIE = 0.1
"""Largest share of the predicted time that an alternative may save: the planner does not take larger blocks for less."""
COMPARED_S = 0.5
"""Predicted seconds of a job from which plans with the same blocks in all stages are tried too; for shorter jobs, trying
them would take longer than it could save."""
MAX_ALTERNATIVES = 4
"""Largest number of alternatives that are returned."""


@dataclass(frozen=True)
class Planned:
    """A plan, with the lowered graph and the options that it was made from."""

    plan: Plan
    lowered: Lowered
    options: PlanOptions


def make_plan(outputs: Mapping[str, Node], options: PlanOptions | None = None) -> Planned:
    """The plan that computes the named outputs.

    Raises:
        InputError: there is nothing to compute, or the block shape does not fit.
        PlanTooLarge: the plan needs more than the limits allow; the message has the figures and the remedy.
    """
    options = options or PlanOptions()
    lowered = lower(outputs, options.limits)
    check_graph(lowered, options.limits)
    planned = Planned(_with_stored_images(lowered, options), lowered, options)
    plan = planned.plan
    if options.block_shape is None and len(plan.stages) > 1 and plan.predicted_s > COMPARED_S:
        # each stage has the blocks that are best for itself, but a later stage may be slower with them
        others = [other for _, other in _others(planned) if _is_better(other, plan)]
        plan = min(others, key=lambda other: other.predicted_s, default=plan)
    return replace(planned, plan=plan)


def _is_better(other: Plan, plan: Plan) -> bool:
    """Whether a plan is quicker than another by more than `TIE`, without much more work."""
    saves = other.predicted_s < (1 - TIE) * plan.predicted_s
    return saves and other.work_s <= MAX_WORK_RATIO * plan.work_s


def _with_stored_images(lowered: Lowered, options: PlanOptions) -> Plan:
    """The fused plan, or a quicker one that stores images instead of recomputing them in the halos of blocks.

    With blocks of side B and a halo of r pixels, each pixel of an image is computed ((B + 2 r) / B) ^ ndim times on average.
    """
    stored: frozenset[int] = frozenset()
    plan = _planned(lowered, options, stored)
    while True:
        trials: dict[int, Plan] = {}
        for index in _recomputed(plan)[:STORING_TRIALS]:
            with suppress(PlanTooLarge):
                trials[index] = _planned(lowered, options, stored | {index})
        best = min(trials, key=lambda index: trials[index].predicted_s, default=None)
        if best is None or trials[best].predicted_s > (1 - MIN_SAVING) * plan.predicted_s:
            return plan
        stored, plan = stored | {best}, trials[best]


def _planned(lowered: Lowered, options: PlanOptions, stored: Collection[int]) -> Plan:
    """The plan that stores the images `stored` before they are used."""
    locations = Locations(lowered.chunks, options.in_memory)
    plan = StageCutter(lowered, options.cost, locations, stored).cut(options.workers)
    plan = replace(plan, costs=options.cost.provenance, startup_s=startup_s(plan, options.cost, locations))
    sizer = StageSizer(options, locations)
    index = StageIndex(0)
    while index < len(plan.stages):
        plan = sizer.sized(plan, index)
        plan, combining = with_combining(plan, index, options)
        index = StageIndex(index + 1 + combining)
    if not options.in_memory:
        check_workspace(plan, lowered, options.limits)
    return plan


def _recomputed(plan: Plan) -> list[int]:
    """Images that blocks of a usual size recompute beyond `RECOMPUTE_RATIO`, the most recomputed first."""
    ratios: dict[int, float] = {}
    for at, stage in enumerate(plan.stages):
        if stage.combines:
            continue
        usual = tuple(map(min, stage.block_shape, halving(stage.shape)[0]))
        index, middle = StageIndex(at), middle_of(BlockGrid(stage.shape, usual))
        for image, region in needed_regions(plan, index, middle).items():
            node = plan.nodes[image]
            if plan.is_read(image, index) or image in plan.intermediates or not node.entry.is_fused:
                continue
            share = math.prod(node.shape) * middle.size / math.prod(stage.shape)
            if region.size > RECOMPUTE_RATIO * share:
                ratios[image] = max(ratios.get(image, 0.0), region.size / share)
    return sorted(ratios, key=ratios.__getitem__, reverse=True)


def alternatives(planned: Planned) -> list[tuple[str, Plan]]:
    """Other possible plans, the quickest first; the text says how each differs from the chosen plan.

    If the planner was free to choose the blocks, none of them saves more than `TIE`: plans that are quicker by more work
    than `MAX_WORK_RATIO` allows are left out.
    """
    chosen, options = planned.plan, planned.options
    plans = _others(planned)
    if options.block_shape is None:
        plans = [plan for plan in plans if plan[1].predicted_s >= (1 - TIE) * chosen.predicted_s]
    else:
        with suppress(InputError):
            free = _with_stored_images(planned.lowered, replace(options, block_shape=None))
            plans.append(("blocks as the planner chooses them", free))
    return sorted(plans, key=lambda other: other[1].predicted_s)[:MAX_ALTERNATIVES]


def _others(planned: Planned) -> list[tuple[str, Plan]]:
    """Plans that differ from the planned one in the blocks of all stages or in the images that are stored."""
    chosen, lowered, options = planned.plan, planned.lowered, planned.options
    largest = StageIndex(max(range(len(chosen.stages)), key=lambda at: math.prod(chosen.stages[at].shape)))
    free = replace(options, block_shape=None)
    shapes = StageSizer(free, Locations(lowered.chunks, options.in_memory)).shapes(chosen, largest)
    trials: list[tuple[str, PlanOptions, frozenset[int]]] = [
        (f"blocks of {'×'.join(map(str, shape))}", replace(options, block_shape=shape), frozenset())
        for shape in shapes
        if len(chosen.stages) > 1 or shape != chosen.stages[largest].block_shape
    ]
    if chosen.intermediates.keys() - _planned(lowered, options, ()).intermediates.keys():
        trials.append(("fused, only required images stored", options, frozenset()))
    for index in _recomputed(chosen)[:2]:
        name = chosen.nodes[index].operation.rpartition(".")[2]
        trials.append((f"{name} stored, not recomputed in halos", options, frozenset({index})))
    plans: list[tuple[str, Plan]] = []
    for difference, changed, stored in trials:
        with suppress(InputError):  # the block shape does not fit, or a limit is exceeded
            plans.append((difference, _planned(lowered, changed, stored)))
    return [(difference, plan) for difference, plan in plans if plan.stages != chosen.stages]
