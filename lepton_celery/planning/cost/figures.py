"""Which figure of the cost model stands for a node of the plan."""

from __future__ import annotations

from lepton_celery.planning.cost.model import CostModel, Figure
from lepton_celery.planning.plan import PlanNode


def cost_name(node: PlanNode) -> str:
    """The name under which the cost model knows a node's function.

    The user's own functions differ from each other, and so do region tables with different properties.
    """
    function, properties = node.arguments.get("function"), node.arguments.get("properties")
    if isinstance(function, str):
        return f"{node.operation}({function})"
    if isinstance(properties, list | tuple):
        return f"{node.operation}[{','.join(sorted(map(str, properties)))}]"
    return node.operation


def function_figure(cost: CostModel, node: PlanNode) -> tuple[Figure, float]:
    """What a node's function costs, and the taps of its kernel."""
    shipped = Figure(node.entry.cost_ns, cost.overheads.call_s * 1e9, node.entry.tap_ns)
    figure = cost.figure("compute", cost_name(node), decisive_dtype(node), shipped)
    return figure, node.entry.taps_for(node.shape, node.with_defaults)


def figure_key(node: PlanNode) -> str:
    """The key of the figure of a node's function."""
    return f"{cost_name(node)} {decisive_dtype(node)}"


def decisive_dtype(node: PlanNode) -> str:
    """The dtype that the time of a node's function depends on: that of its first image."""
    first = next(iter(node.images), None)
    return node.dtype if first is None else str(node.arguments[first].dtype)
