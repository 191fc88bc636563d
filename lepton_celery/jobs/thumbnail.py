"""Small copies of lazy images of any number of axes and any size."""

from __future__ import annotations

from lepton_celery.graph.nodes import Image
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan


def shrunk(image: Image, longest_px: int) -> Image:
    """A lazy, smaller image: every n-th pixel of the middle plane, with at most `longest_px` pixels on the longest side."""
    has_colours = _has_colours(image)
    planes = image.ndim - 2 - has_colours
    small: Image = image[tuple(n // 2 for n in image.shape[: max(0, planes)])]
    spatial = small.shape[: small.ndim - has_colours]
    every_nth: Image = small[tuple(slice(None, None, max(1, -(-n // longest_px))) for n in spatial)]
    return every_nth


def predicted_s(image: Image) -> float:
    """Seconds that it takes to compute an image in this process, as the planner predicts."""
    return make_plan({"out": image}, PlanOptions(cost=model_of_folder(), in_memory=True)).plan.predicted_s


def _has_colours(image: Image) -> bool:
    return image.ndim >= 3 and image.shape[-1] in (3, 4)
