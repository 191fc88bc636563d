"""Small pictures of images of any number of axes, size and dtype."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.graph.nodes import Image
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan


def shrunk(image: Image, longest_px: int) -> Image:
    """Every n-th pixel of the middle plane of an image, so that its longest side has at most so many pixels; lazy."""
    has_colours = _has_colours(image)
    planes = image.ndim - 2 - has_colours
    small: Image = image[tuple(n // 2 for n in image.shape[: max(0, planes)])]
    spatial = small.shape[: small.ndim - has_colours]
    every_nth: Image = small[tuple(slice(None, None, max(1, -(-n // longest_px))) for n in spatial)]
    return every_nth


def middle(image: Image, longest_px: int) -> Image:
    """The middle of the middle plane of an image, as large as its longest side may be, with every pixel; lazy."""
    has_colours = _has_colours(image)
    planes = max(0, image.ndim - 2 - has_colours)
    spatial = image.shape[planes : image.ndim - has_colours]
    starts = [max(0, (n - longest_px) // 2) for n in spatial]
    box = tuple(slice(start, start + longest_px) for start in starts)
    cropped: Image = image[(*(n // 2 for n in image.shape[:planes]), *box)]
    return cropped


def predicted_s(image: Image) -> float:
    """Seconds that it takes to compute an image in this process, as the planner predicts."""
    return make_plan({"out": image}, PlanOptions(cost=model_of_folder(), in_memory=True)).plan.predicted_s


def png_url(pixels: Array) -> str:
    """The pixels, stretched to 8 bits, as the address of an embedded PNG file."""
    from PIL import Image as Pillow

    values = np.nan_to_num(np.atleast_2d(pixels).astype(np.float64))
    low, high = values.min(), values.max()
    eight = ((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
    file = BytesIO()
    Pillow.fromarray(eight).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _has_colours(image: Image) -> bool:
    return image.ndim >= 3 and image.shape[-1] in (3, 4)
