"""Images of float16: converted, computed with by NumPy, and promoted to float32 as scikit-image promotes them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue import catalogue
from lepton_celery.catalogue.half import PROMOTING
from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.proving.compare import difference
from lepton_celery.proving.subjects import CatalogueFunction, Trial
from lepton_celery.skimage import color, filters, morphology
from tests.oracle import assert_same_as_whole, picture

IMAGE = picture((23, 31), "float16")


def converted(images: dict[str, Any], dtype: str) -> dict[str, Any]:
    floats = {name: image for name, image in images.items() if getattr(image, "dtype", np.dtype(bool)).kind == "f"}
    return images | {name: image.astype(np.float16).astype(dtype) for name, image in floats.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(PROMOTING))
def test_scikit_image_gives_the_same_for_float16_and_for_float32(name: str) -> None:
    entry = catalogue()[name]
    function = CatalogueFunction(entry, {})
    compared = 0
    for ndim in [ndim for ndim in entry.ndims or (2, 3) if ndim < 4] or [4]:
        for kind in ("noise", "ties", "constant", "plateaus"):
            shape = {1: (17,), 2: (13, 17), 3: (7, 8, 9), 4: (5, 6, 5, 4)}[ndim]
            images = function.images(Trial(kind, "float32", shape, (7,) * ndim, 1))
            with np.errstate(all="ignore"), warnings.catch_warnings():
                try:
                    whole = function.whole(converted(images, "float32"))
                except (ValueError, RuntimeError, TypeError, IndexError):
                    continue  # scikit-image refuses this kind of image
                assert difference(function.whole(converted(images, "float16")), whole) == ""
            compared += 1
    assert compared


@pytest.mark.parametrize("name", ["gaussian", "sobel", "laplace", "unsharp_mask"])
def test_filters_promote(name: str) -> None:
    import skimage.filters

    assert_same_as_whole(getattr(filters, name)(graph.open(IMAGE)), getattr(skimage.filters, name)(IMAGE), (7, 9))


def test_colours_promote() -> None:
    import skimage.color

    rgb: Any = picture((23, 31, 3), "float16")
    assert_same_as_whole(color.rgb2gray(graph.open(rgb)), skimage.color.rgb2gray(rgb), (7, 9))


def test_numpy_computes_in_half_precision() -> None:
    lazy = graph.open(IMAGE)
    calls: list[Callable[[Any], Any]] = [
        lambda x: x * 2 + 1,
        lambda x: np.sqrt(x) / 3,
        lambda x: x[3:9, ::2].T,
        lambda x: np.where(x > 0.5, x, 0),
    ]
    for call in calls:
        assert_same_as_whole(call(lazy), call(IMAGE), (5, 4))
    for dtype in ("float32", "float64", "bool"):
        assert_same_as_whole(lazy.astype(dtype), IMAGE.astype(dtype), (7, 9))


def test_what_cannot_take_half_precision_says_how_to_convert() -> None:
    lazy = graph.open(IMAGE)
    for call in (morphology.erosion, filters.threshold_otsu, np.mean, np.sum):
        with pytest.raises((DtypeNotSupported, InputError), match=r"float16.*astype"):
            call(lazy)
