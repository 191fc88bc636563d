"""Refuses graphs and plans that exceed the limits of a job. Each refusal names the limit, the figure and what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_celery.errors import PlanTooLarge

if TYPE_CHECKING:
    from lepton_celery.planning.lowering import Lowered
    from lepton_celery.planning.options import Limits
    from lepton_celery.planning.plan import Plan


def check_graph(lowered: Lowered, limits: Limits) -> None:
    """Refuse a graph that is too deep, or whose output images are too large together.

    Raises:
        PlanTooLarge: it is.
    """
    depths: list[int] = []
    for node in lowered.nodes:
        depths.append(1 + max((depths[parent] for parent in node.refs()), default=0))
    if (depth := max(depths)) > limits.depth:
        raise PlanTooLarge(
            f"the graph is {depth:,} operations deep, over the limit of {limits.depth:,}; shorten its longest chain, "
            f"or {remedy('depth')}"
        )
    images = {index for index in lowered.outputs.values() if lowered.nodes[index].gives == "image"}
    total = sum(lowered.nodes[index].size_bytes for index in images)
    if total > limits.output_bytes:
        raise PlanTooLarge(
            f"the output images take {total:,} bytes, over the limit of {limits.output_bytes:,}; write fewer or smaller "
            f"images or a smaller dtype, or {remedy('output_bytes')}"
        )


def check_workspace(plan: Plan, lowered: Lowered, limits: Limits) -> None:
    """Refuse a plan whose intermediate images, and copies of arrays for workers, take too much of the disk together.

    Raises:
        PlanTooLarge: they do.
    """
    stored = sum(plan.nodes[index].size_bytes for index in plan.intermediates.keys() - set(plan.outputs.values()))
    total = stored + sum(array.nbytes for array in lowered.arrays.values())
    if total > limits.workspace_bytes:
        raise PlanTooLarge(
            f"the job's intermediate images and copies of arrays take {total:,} bytes, over the limit of "
            f"{limits.workspace_bytes:,}; do the steps in several jobs, give smaller images, or "
            f"{remedy('workspace_bytes')}"
        )


def remedy(limit: str) -> str:
    """How a limit is raised, in messages."""
    return f"raise Limits({limit}=…) or LEPTON_MAX_{limit.upper()}"
