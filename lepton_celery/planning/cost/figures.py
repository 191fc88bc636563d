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


def figure_key(node: PlanNode) -> str:
    """The key of the figure of a node's function: its name, and the dtype of its first image, which its time depends on."""
    first = next(iter(node.images), None)
    return f"{cost_name(node)} {node.dtype if first is None else node.arguments[first].dtype}"


def function_figure(cost: CostModel, node: PlanNode) -> tuple[Figure, float]:
    """What a node's function costs, and the taps of its kernel."""
    shipped = Figure(node.entry.cost_ns, cost.overheads.call_s * 1e9, node.entry.tap_ns)
    return cost.figure("compute", figure_key(node), shipped), node.entry.taps_for(node.shape, node.with_defaults)
