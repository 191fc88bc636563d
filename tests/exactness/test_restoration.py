"""Images and arguments for which restoration is hard to split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from skimage import restoration

from lepton_celery import graph
from lepton_celery.errors import DtypeNotSupported, InputError, NotExact, NotExactWarning
from tests.exactness.cases.case import FLAT
from tests.oracle import assert_same_as_whole, evaluate, picture


def check(name: str, image: Any, block_shape: tuple[int, ...], **options: Any) -> None:
    with np.errstate(all="ignore"):
        expected = getattr(restoration, name)(image.copy(), **options)
    assert_same_as_whole(graph.apply(f"restoration.{name}", image, **options), expected, block_shape)


# ------------------------------------------------------------------------------------------------ bilateral


def extremes(dtype: str) -> Any:
    """The smallest and the greatest pixel lie in one corner, all other blocks are flat."""
    image = picture(FLAT, dtype) // 3 if dtype[0] in "ui" else picture(FLAT, dtype) / 3
    image[:, 12:22] = image[0, 0]
    image[-1, -1], image[-1, -2] = (np.iinfo(dtype).max, 0) if dtype[0] in "ui" else (7, -2)
    return image.astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_weights_follow_the_extent_of_the_whole_image(dtype: str) -> None:
    modes = ("constant", "edge", "symmetric", "reflect", "wrap")
    for block_shape in ((5, 7), (23, 3), (2, 31), (1, 1)):
        for mode in modes if block_shape != (1, 1) else modes[:1]:
            check("denoise_bilateral", extremes(dtype), block_shape, sigma_color=0.2, win_size=3, mode=mode)


@pytest.mark.filterwarnings("ignore:Input image must be grayscale:UserWarning")  # the probe of a few pixels
@pytest.mark.parametrize("mode", ["constant", "wrap"])
def test_channels_are_read_together_if_blocks_cut_them(mode: str) -> None:
    image = picture((*FLAT, 3), "float32")
    first = np.moveaxis(image, 2, 0).copy()
    patches = {"fast_mode": False, "patch_size": 3, "patch_distance": 2}
    check("denoise_bilateral", image, (5, 7, 3), sigma_color=0.1, channel_axis=2, mode=mode)
    for block_shape in ((1, 5, 7), (2, 23, 5)):
        check("denoise_bilateral", first, block_shape, sigma_color=0.1, channel_axis=0, mode=mode)
        check("denoise_nl_means", first, block_shape, channel_axis=0, **patches)
        check("denoise_tv_chambolle", first, block_shape, channel_axis=0, eps=0, max_num_iter=3)
    many = picture((13, 11, 6), "float64")
    check("denoise_nl_means", many, (5, 7, 4), channel_axis=-1, **patches)
    check("denoise_nl_means", many, (5, 7, 4), channel_axis=None, **patches)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_not_finite_changes_the_whole_image(value: float) -> None:
    image = picture(FLAT, float)
    image[20, 30] = value
    check("denoise_bilateral", image, (5, 7), sigma_color=0.2)


def test_a_constant_image_is_unchanged() -> None:
    for sigma_color in (0.1, None):
        check("denoise_bilateral", np.full(FLAT, 0.25, np.float32), (5, 7), sigma_color=sigma_color)
        # uint8, though other images give floats
        with pytest.raises(InputError, match="all pixels are 9"):
            lazy = graph.apply("restoration.denoise_bilateral", np.full(FLAT, 9, np.uint8), sigma_color=sigma_color)
            evaluate(lazy, (5, 7))


# ------------------------------------------------------------------------------------------------ the others


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_total_variation_over_larger_images_and_all_its_iterations(dtype: str) -> None:
    check("denoise_tv_chambolle", picture((90, 110), dtype), (31, 40), eps=0, max_num_iter=12)


def test_total_variation_of_special_values() -> None:
    image = picture(FLAT, float)
    image[3, 4], image[20, 20] = np.nan, np.inf
    check("denoise_tv_chambolle", image, (5, 7), eps=0, max_num_iter=3)


def test_patches_that_are_all_alike() -> None:
    stripes = np.zeros(FLAT)
    stripes[:, ::3] = 1
    for image in (stripes, np.full(FLAT, 0.25), picture(FLAT, "uint8") % 7 + np.uint16(65000)):
        check("denoise_nl_means", image, (5, 7), patch_size=3, patch_distance=4, fast_mode=False)


def test_fast_patches_warn_that_they_are_not_exact() -> None:
    image = picture((60, 70), "float64")
    with pytest.warns(NotExactWarning, match="fast_mode=False"):
        lazy = graph.apply("restoration.denoise_nl_means", image)
    np.testing.assert_allclose(evaluate(lazy, (20, 30)), restoration.denoise_nl_means(image), atol=1e-6)


def test_a_ball_over_nan() -> None:
    image = picture(FLAT, "float32")
    image[4, 5] = np.nan
    for nansafe in (True, False):
        check("rolling_ball", image, (5, 7), radius=3, nansafe=nansafe)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_phase_that_scikit_image_never_finishes_is_refused(value: float) -> None:
    image = picture(FLAT, float)
    image[4, 5] = value
    with pytest.warns(NotExactWarning, match="two pi"):
        lazy = graph.apply("restoration.unwrap_phase", image)
    with pytest.raises(InputError, match="never ends"):
        evaluate(lazy, (5, 7))


# ------------------------------------------------------------------------------------------------ refusals


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("denoise_nl_means", {"patch_size": 1, "fast_mode": False}, "patch_size"),
    ("denoise_tv_chambolle", {"eps": 0, "max_num_iter": 0}, "at least 1"),
    ("rolling_ball", {"kernel": np.ones((3, 3, 3))}, "2 axes"),
    ("wiener", {"psf": np.ones((3, 3)), "balance": 0.1, "is_real": False}, "is_real=True"),
    ("wiener", {"psf": np.ones((3, 3), complex), "balance": 0.1}, "real"),
    ("denoise_bilateral", {"sigma_color": 0.1, "mode": "bouncy"}, "mode"),
    ("inpaint_biharmonic", {"mask": np.ones((3, 3), bool)}, "inpaint_biharmonic"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=[f"{n}-{m}" for n, _, m in REFUSED])
def test_arguments_without_an_exact_result_are_refused_with_advice(
    name: str, options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        graph.apply(f"restoration.{name}", picture(FLAT, "float64"), **options)


def test_axes_that_scikit_image_drops_are_refused() -> None:
    for name in ("denoise_bilateral", "denoise_tv_bregman"):
        with pytest.raises(InputError, match="length 1"):
            graph.apply(f"restoration.{name}", picture((1, 30), float))


def test_signed_integers_have_no_bilateral_weights() -> None:
    with pytest.raises(DtypeNotSupported, match="int16"):
        graph.apply("restoration.denoise_bilateral", picture(FLAT, "int16"))


@pytest.mark.parametrize("name", ["denoise_invariant", "cycle_spin", "denoise_wavelet", "unsupervised_wiener"])
def test_functions_that_cannot_be_split_are_refused(name: str) -> None:
    with pytest.raises(NotExact, match=name):
        graph.apply(f"restoration.{name}", picture(FLAT, float), np.ones((3, 3)))
