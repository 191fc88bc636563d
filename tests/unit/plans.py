"""Plans of small and of vast images, for the tests of the planner."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery import graph
from lepton_celery.graph.nodes import Node
from lepton_celery.grid import BlockIndex, StageIndex
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.plan import Plan
from lepton_celery.planning.planner import make_plan
from lepton_celery.planning.regions import needed_regions
from lepton_celery.skimage import exposure, filters, measure, morphology, segmentation, transform


def vast(shape: tuple[int, ...], dtype: str = "uint8") -> graph.Image:
    """An image that takes no memory: all pixels are the same."""
    return graph.open(np.broadcast_to(np.zeros((), dtype), shape))


def plan_of(*nodes: Node, **options: Any) -> Plan:
    return make_plan({str(at): node for at, node in enumerate(nodes)}, PlanOptions(**{"workers": 2, **options})).plan


def operations(plan: Plan, stage: int) -> set[str]:
    """The operations that a stage computes or reduces."""
    found = plan.stages[stage]
    needed = needed_regions(plan, StageIndex(stage), found.grid.region(BlockIndex(0)))
    indices = {index for index in needed if not plan.is_read(index, StageIndex(stage))} | {
        *found.reduces,
        *found.stores,
    }
    return {plan.nodes[index].operation for index in indices}


def cells(image: graph.Image) -> tuple[Node, Node]:
    smooth = filters.gaussian(image, sigma=2)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    return labels, measure.regionprops_table(labels, image, properties=("label", "area", "intensity_mean"))


def everything(image: graph.Image) -> dict[str, Node]:
    labels, table = cells(image)
    return {
        "labels": labels,
        "table": table,
        "opened": morphology.opening(image, [(np.ones((3, 1), np.uint8), 2)]),
        "stretched": exposure.rescale_intensity(image),
        "spread": np.percentile(image, [1, np.float32(99)]),
        "slice": filters.unsharp_mask(image)[::3, 5],
        "marked": segmentation.mark_boundaries(image, labels),
        "small": transform.downscale_local_mean(image, (2, 3)),
    }
