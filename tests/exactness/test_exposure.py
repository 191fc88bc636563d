"""Contrast of difficult images: tiles across blocks, constants, masks, channels, and whole-image values as limits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from skimage import exposure as whole

from lepton_celery import graph
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.exposure import clahe
from lepton_celery.errors import InputError
from lepton_celery.skimage import exposure, filters
from tests.exactness.cases.case import FLAT, SOLID
from tests.oracle import assert_same_as_whole, evaluate, picture


@pytest.mark.parametrize("seed", range(12))
def test_tiles_of_every_size_give_scikit_images_pixels(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(clahe, "TILES_PX", 200)  # the maps of the tiles take several blocks
    random = np.random.default_rng(seed)
    ndim = int(random.integers(1, 4))
    shape = tuple(int(n) for n in random.integers(1, (0, 200, 50, 16)[ndim], ndim))
    shape = (*shape[:-1], shape[-1] + 4) if ndim == 3 else shape  # a last axis of 3 or 4 pixels would be channels
    kernel = tuple(int(k) for k in random.integers(2, 2 + max(shape), ndim))
    image = picture(shape, random.choice(["uint8", "uint16", "int16", "float32", "float64"]), seed)
    options = {
        "kernel_size": kernel,
        "clip_limit": float(random.choice([0, 0.01, 0.3])),
        "nbins": int(random.choice([5, 256])),
    }
    block = tuple(int(random.integers(max(1, n // 4), n + 2)) for n in shape)
    lazy = graph.apply("exposure.equalize_adapthist", image, **options)
    assert_same_as_whole(lazy, whole.equalize_adapthist(image, **options), block)


@pytest.mark.parametrize("image", [np.zeros(FLAT), np.full(FLAT, 9, np.uint8), np.full((9, 9), 0.5, np.float32)])
def test_an_image_of_one_value_is_equalized_as_a_whole(image: Array) -> None:
    for name in ("equalize_adapthist", "equalize_hist", "rescale_intensity", "is_low_contrast"):
        assert_same_as_whole(graph.apply(f"exposure.{name}", image), getattr(whole, name)(image), (7, 10))
    ramp = picture(image.shape, image.dtype)
    assert_same_as_whole(graph.apply("match_histograms", image, ramp), whole.match_histograms(image, ramp), (7, 10))
    assert_same_as_whole(graph.apply("match_histograms", ramp, image), whole.match_histograms(ramp, image), (7, 10))
    line = whole.match_histograms(image[0], ramp[0])
    assert_same_as_whole(graph.apply("match_histograms", image[0], ramp[0]), line, (7,))
    assert np.array_equal(graph.apply("match_histograms", image[0], ramp[0]).compute(), line)


def test_one_bright_corner_sets_the_contrast_of_the_whole_image() -> None:
    image = (picture((60, 70), "uint16") // 100).astype(np.uint16)
    image[-1, -1] = 65535
    for pixels in (image, image.astype(np.float32) / 65535):
        for name in ("equalize_adapthist", "equalize_hist", "rescale_intensity"):
            assert_same_as_whole(graph.apply(f"exposure.{name}", pixels), getattr(whole, name)(pixels), (16, 19))


def test_a_filtered_volume_is_equalized_by_its_own_histogram() -> None:
    from skimage.filters import gaussian

    image = picture(SOLID, "uint8")
    lazy, smooth = filters.gaussian(graph.open(image), 1), gaussian(image, 1)
    for name in ("equalize_adapthist", "equalize_hist", "match_histograms"):
        more = [smooth**2] if name == "match_histograms" else []
        assert_same_as_whole(
            graph.apply(f"exposure.{name}", lazy, *more), getattr(whole, name)(smooth, *more), (4, 5, 6)
        )


def test_the_limits_of_a_range_may_be_whole_image_values() -> None:
    for dtype in ("uint16", "float32"):
        image = picture(FLAT, dtype)
        lazy = graph.open(image)
        low, high = np.percentile(image, (2, 98))
        found = exposure.rescale_intensity(lazy, in_range=np.percentile(lazy, (2, 98)))
        assert_same_as_whole(found, whole.rescale_intensity(image, in_range=(low, high)), (7, 10))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_mask_may_leave_whole_blocks_out() -> None:
    for dtype in ("bool", "uint8", "int16", "float32"):
        image = picture((40, 41), dtype)
        mask = np.zeros(image.shape, np.uint8)
        mask[30:, 35:] = 2
        lazy = exposure.equalize_hist(image, mask=mask)
        assert_same_as_whole(lazy, whole.equalize_hist(image, mask=mask), (9, 9))
    with pytest.raises(InputError, match="not all False"):
        evaluate(exposure.equalize_hist(image, mask=np.zeros(image.shape, bool)), (9, 9))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_histograms_of_images_are_matched_level_by_level(dtype: str) -> None:
    info = np.iinfo(dtype)
    random = np.random.default_rng(0)
    image = random.integers(info.min, info.max, (30, 31, 3), dtype, endpoint=True)
    template = random.integers(info.min // 2, info.max // 3, (11, 40, 3), dtype)
    for axis, block in ((-1, (7, 8, 3)), (None, (7, 8, 3)), (0, (7, 8, 3))):
        pair = (
            (image, template) if axis != 0 else (np.moveaxis(image, -1, 0).copy(), np.moveaxis(template, -1, 0).copy())
        )
        lazy = graph.apply("match_histograms", *pair, channel_axis=axis)
        assert_same_as_whole(lazy, whole.match_histograms(*pair, channel_axis=axis), block)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_larger_images_are_equalized_and_counted_as_a_whole(dtype: str) -> None:
    image = picture((300, 400), dtype)
    assert_same_as_whole(exposure.equalize_adapthist(image), whole.equalize_adapthist(image), (64, 80))
    assert_same_as_whole(exposure.equalize_hist(image), whole.equalize_hist(image), (64, 80))
    for found, expected in zip(exposure.histogram(image), whole.histogram(image), strict=True):
        assert_same_as_whole(found, expected, (64, 80))


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("histogram", {"channel_axis": -1}, "each channel"),
    ("histogram", {"source_range": "rows"}, "'image' or 'dtype'"),
    ("equalize_hist", {"mask": np.ones((3, 3), bool)}, "does not match"),
    ("equalize_adapthist", {"kernel_size": (3, 4, 5)}, "per axis"),
    ("equalize_adapthist", {"kernel_size": 0}, "at least 1"),
    ("equalize_adapthist", {"nbins": 0}, "at least 1"),
    ("match_histograms", {"reference": np.ones(5)}, "numbers of axes"),
    ("match_histograms", {"reference": np.ones((4, 5)), "channel_axis": 1}, "numbers of channels"),
    ("match_histograms", {"reference": np.ones((4, 5))}, "convert one"),
    ("is_low_contrast", {"method": "nearest"}, "linear"),
    ("is_low_contrast", {"upper_percentile": 101}, "percents"),
    ("rescale_intensity", {"in_range": "uint7"}, "rescale_intensity"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=[f"{n}-{m}" for n, _, m in REFUSED])
def test_arguments_that_cannot_be_split_are_refused(name: str, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(f"exposure.{name}", picture(FLAT, "uint8"), **options)


def test_values_that_are_not_finite_have_no_histogram() -> None:
    image = picture(FLAT, float)
    image[3, 3] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("equalize_hist", "histogram", "cumulative_distribution"):
            lazy = graph.apply(f"exposure.{name}", image)
            with pytest.raises(InputError, match="finite values"):
                evaluate(lazy[0] if isinstance(lazy, tuple) else lazy, (7, 10))
