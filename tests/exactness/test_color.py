"""Colours of images that blocks could change: rows of odd width, single pixels, labels that only one block has."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.catalogue import catalogue, get_entry
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import InputError, NotExact
from tests.exactness.cases.case import FLAT, FLOATS
from tests.oracle import assert_same_as_whole, picture

PRODUCTS = "rgb2gray rgb2xyz xyz2rgb rgb2lab lab2rgb rgb2yuv ycbcr2rgb rgb2hed hed2rgb".split()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("width", [1, 2, 63, 64, 65, 66, 129, 193, 449])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_rows_of_any_width_are_those_of_the_whole_image(name: str, width: int, dtype: str) -> None:
    # 65, 129 …: BLAS multiplies a row's last pixel in another routine if it is left over
    image = picture((3, width, 3), dtype, seed=width)
    whole = resolve(f"skimage.color.{name}")(image)
    for block_width in (1, 3, 64, width - 1 or 1):
        assert_same_as_whole(graph.apply(f"color.{name}", image), whole, (2, block_width))


def test_products_of_long_rows_are_those_of_the_whole_image() -> None:
    from skimage.color import rgb2yuv

    for dtype in FLOATS:
        image = picture((1, 70001, 3), dtype)
        assert_same_as_whole(graph.apply("rgb2yuv", image), rgb2yuv(image), (1, 20011))


def test_products_after_a_filter_with_an_odd_halo_are_those_of_the_whole_image() -> None:
    from skimage.color import rgb2lab
    from skimage.filters import gaussian

    image = picture((20, 129, 3), "float64")
    whole = rgb2lab(gaussian(image, 1.1, channel_axis=-1))
    lazy = graph.apply("rgb2lab", graph.apply("gaussian", image, 1.1, channel_axis=-1))
    assert_same_as_whole(lazy, whole, (9, 43))
    assert_same_as_whole(lazy[..., 1:], whole[..., 1:], (9, 43))


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", "rgb2hsv hsv2rgb lab2xyz xyz2lab xyz2luv luv2xyz lab2lch lch2lab".split())
def test_special_values_give_the_same_at_every_position_of_a_block(name: str, dtype: str) -> None:
    special = [0.0, -0.0, 1.0, 0.5, -3.0, 80.0, 1e6, 1e-30, np.inf]
    if name != "rgb2hsv":  # scikit-image leaves the hue of NaN uninitialized
        special.append(np.nan)
    image = np.random.default_rng(0).choice(special, (9, 37, 3)).astype(dtype)
    with np.errstate(all="ignore"):
        whole = resolve(get_entry(f"color.{name}").source)(image)
        assert_same_as_whole(graph.apply(f"color.{name}", image), whole, (4, 7))
        assert_same_as_whole(graph.apply(f"color.{name}", image), whole, (9, 1))


@pytest.mark.parametrize("bg_color", [(0, 0, 0), None])
@pytest.mark.parametrize("bg_label", [0, 4, 255])
@pytest.mark.parametrize("background", [True, False])
def test_colours_of_labels_follow_from_all_labels_of_the_image(background: bool, bg_label: int, bg_color: Any) -> None:
    from skimage.color import label2rgb

    # every block has other labels; without a background 255 labels overflow scikit-image's uint8
    labels = (np.arange(FLAT[0] * FLAT[1]).reshape(FLAT) // 2 % 255 + 1).astype(np.uint8)
    if background:
        labels[5:9, 3:8] = bg_label
    image = picture((*FLAT, 3), "uint8")
    for picture_or_none in (None, image, image[..., 0].copy()):
        options = {"bg_label": bg_label, "bg_color": bg_color}
        whole = label2rgb(labels, picture_or_none, **options)
        assert_same_as_whole(graph.apply("label2rgb", labels, picture_or_none, **options), whole, (5, 7))


def test_negative_labels_and_large_gaps_keep_their_colours() -> None:
    from skimage.color import label2rgb

    labels = np.zeros(FLAT, np.int64)
    labels[3:5, 3:9], labels[20:, 25:], labels[9, 9], labels[0, 0] = -7, 10**12, 5, 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lazy = graph.apply("label2rgb", labels)
    assert_same_as_whole(lazy, label2rgb(labels), (5, 7))


@pytest.mark.parametrize(
    ("name", "shape", "options", "error", "message"),
    [
        ("rgb2lab", FLAT, {}, InputError, "3 channels"),
        ("rgb2lab", (3,), {}, InputError, "3 channels"),
        ("rgba2rgb", (*FLAT, 3), {}, InputError, "4 channels"),
        ("rgb2lab", (4, *FLAT), {"channel_axis": 0}, InputError, "channel"),
        ("rgb2lab", (*FLAT, 3), {"channel_axis": 3}, InputError, "one of its axes"),
        ("rgb2gray", (3, 5, 3), {"channel_axis": 0}, InputError, "move the channels to the last axis"),
        ("gray2rgb", FLAT, {"channel_axis": 0}, InputError, "move the channels to the last axis"),
        ("rgb2lab", (*FLAT, 3), {"illuminant": "X"}, InputError, "illuminant"),
        ("convert_colorspace", (*FLAT, 3), {"fromspace": "rgb", "tospace": "paint"}, InputError, "tospace"),
        ("separate_stains", (*FLAT, 3), {"conv_matrix": np.eye(4)}, InputError, "separate_stains"),
        ("rgba2rgb", (*FLAT, 4), {"background": (2, 0, 0)}, InputError, "background"),
    ],
)
def test_invalid_arguments_are_one_clear_error(
    name: str, shape: tuple[int, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        graph.apply(f"color.{name}", np.ones(shape), **options)


def test_labels_take_given_colours_and_not_the_mean_of_their_pixels() -> None:
    labels = picture(FLAT, "uint8") // 60
    with pytest.raises(NotExact, match="overlay"):
        graph.apply("label2rgb", labels, picture((*FLAT, 3), "uint8"), kind="avg")
    with pytest.raises(InputError, match="nocolour"):
        graph.apply("label2rgb", labels, colors=["nocolour"])
    with pytest.raises(InputError, match="'average' is neither 'overlay' nor 'avg'"):
        graph.apply("label2rgb", labels, kind="average")
    with pytest.raises(InputError, match="do not match"):
        graph.apply("label2rgb", labels, np.ones((5, 5)))
    with pytest.raises(InputError, match="do not match"):
        graph.apply("deltaE_cie76", np.ones((4, 5, 3)), np.ones((5, 4, 3)))


MOVING = [name for name, entry in catalogue().items() if entry.moves_channels]


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.filterwarnings("ignore:Conversion from CIE-LAB:UserWarning")
def test_channels_may_be_on_any_axis(name: str) -> None:
    entry = catalogue()[name]
    channels = 4 if name == "color.rgba2rgb" else 3
    for axis, shape in ((0, (channels, 23, 67)), (1, (9, channels, 31)), (-2, (9, channels, 31))):
        for dtype in ("uint8", "float32", "float64"):
            images = {image: picture(shape, dtype, seed) for seed, image in enumerate(entry.images)}
            options = {**entry.example_for(2), "channel_axis": axis}
            whole = resolve(entry.source)(*images.values(), **options)
            assert_same_as_whole(graph.apply(name, **images, **options), whole, None)
            assert_same_as_whole(graph.apply(name, **images, **options), whole, (2, 3, 7)[-whole.ndim :])
