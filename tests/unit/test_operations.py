"""Every function of the catalogue, in blocks, against scikit-image and NumPy on the whole image."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from skimage.morphology import disk, footprint_rectangle

from lepton_celery import graph
from lepton_celery.errors import DtypeNotSupported, InputError, LeptonError, NotExact, UnknownOperation
from lepton_celery.operations import catalogue, get_entry, public_names
from lepton_celery.operations.spec import Array, Exactness, resolve
from tests.oracle import assert_same_as_whole, evaluate, picture

FLAT = (23, 31)
SOLID = (11, 13, 12)
BLOCKS: Mapping[int, Sequence[tuple[int, ...]]] = {
    1: [(7,), (100,)],
    # smaller than most halos, prime and ragged, thin, larger than the image
    2: [(5, 7), (11, 13), (2, 31), (64, 64)],
    3: [(4, 5, 3), (11, 7, 12)],
    4: [(4, 5, 3, 6)],
}
EVERY = ("bool", "uint8", "uint16", "int16", "int32", "float32", "float64")
NUMBERS = EVERY[1:]
COMMON = ("uint8", "uint16", "float32", "float64")
FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Case:
    """A call to check over dtypes and shapes."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Sequence[str] = COMMON
    shape: tuple[int, ...] = FLAT
    more: Sequence[Callable[[Array], Any]] = ()
    """Further positional arguments, from the image."""
    blocks: Sequence[tuple[int, ...]] = ()
    make: Callable[[tuple[int, ...], Any], Array] = picture

    def __str__(self) -> str:
        options = ",".join(f"{k}={v}".partition("\n")[0][:28] for k, v in self.options.items())
        return f"{self.name}({options})-{len(self.shape)}d"


def labelled(image: Array) -> Array:
    """Labels for an image, with a background and gaps."""
    return (picture(image.shape[:2], "uint8", seed=5) // 64 * 3).astype(np.int32)


def shifted(image: Array) -> Array:
    return picture(image.shape, image.dtype, seed=9)


def positive(shape: tuple[int, ...], dtype: Any) -> Array:
    image = picture(shape, dtype)
    return np.where(image == 0, np.array(1, image.dtype), image)


def signed(shape: tuple[int, ...], dtype: Any) -> Array:
    image = picture(shape, dtype)
    return image if image.dtype.kind in "bu" else (picture(shape, dtype, seed=3) - image).astype(dtype)


def number(value: Any) -> Callable[[Array], Any]:
    return lambda image: value


CROSS3 = np.array(
    [[[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0], [0, 1, 0], [0, 0, 0]]]
)
EVEN = np.ones((2, 4), np.uint8)
FOOTPRINTS: Sequence[Any] = [disk(3), np.ones((3, 5), np.uint8), EVEN, np.array([[0, 1, 1], [0, 1, 0]], np.uint8)]
SEQUENCE = footprint_rectangle((5, 7), decomposition="sequence")
MORPHOLOGY = ("erosion", "dilation", "opening", "closing", "white_tophat", "black_tophat")
EDGES = ("sobel", "scharr", "prewitt", "farid")
MODES = ("nearest", "reflect", "mirror", "constant")
UNARY = "negative positive absolute sign logical_not sqrt square cbrt exp exp2 log log2 log10 log1p sin cos tan arctan"
ROUNDING = "floor ceil rint trunc isfinite isnan"
BINARY = (
    "add subtract multiply divide floor_divide remainder power equal not_equal less less_equal greater greater_equal "
    "logical_and logical_or logical_xor minimum maximum arctan2 hypot"
)
BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor")

NEEDED: Mapping[str, Mapping[str, Any]] = {
    "filters.difference_of_gaussians": {"low_sigma": 1},
    "numpy.percentile": {"q": 5},
    "numpy.astype": {"dtype": "uint8"},
    "transform.downscale_local_mean": {"factors": 2},
}
"""Arguments that have no default."""

CASES: list[Case] = [
    # NumPy
    *[Case(f"numpy.{name}", dtypes=("int16", "float32", "float64"), make=signed) for name in UNARY.split()],
    *[Case(f"numpy.{name}", dtypes=FLOATS, make=signed) for name in ROUNDING.split()],
    *[Case(f"numpy.{name}", dtypes=("uint8", "float32"), more=(shifted,), make=positive) for name in BINARY.split()],
    *[
        Case(f"numpy.{name}", dtypes=("int16", "float64"), more=(number(3),))
        for name in (
            "add",
            "subtract",
            "multiply",
            "divide",
            "floor_divide",
            "remainder",
            "power",
            "greater",
            "minimum",
        )
    ],
    *[Case(f"numpy.{name}", dtypes=("bool", "uint8", "int32"), more=(shifted,)) for name in BITWISE],
    Case("numpy.invert", dtypes=("bool", "uint8", "int32")),
    *[Case("numpy.astype", dtypes=EVERY, more=(number(dtype),)) for dtype in ("bool", "uint8", "int32", "float32")],
    Case("numpy.min", dtypes=EVERY),
    Case("numpy.max", dtypes=EVERY),
    Case("numpy.max", dtypes=("uint8",), shape=SOLID),
    Case("numpy.percentile", {"q": 37.5}, NUMBERS),
    Case("numpy.percentile", {"q": (2, 98)}, NUMBERS, SOLID),
    # colours and dtypes
    Case("color.rgb2gray", dtypes=COMMON, shape=(*FLAT, 3)),
    Case("color.rgb2gray", dtypes=COMMON, shape=(7, 149, 3), blocks=[(3, 7), (2, 71)]),
    Case("color.rgb2gray", dtypes=FLOATS, shape=(3, 5, 77, 3), blocks=[(2, 3, 13)]),
    Case("color.rgb2gray", dtypes=FLOATS, shape=(77, 3), blocks=[(10,)]),
    *[Case(f"util.img_as_{to}", dtypes=EVERY) for to in ("float", "float32", "ubyte", "uint")],
    Case("util.invert", dtypes=EVERY),
    Case("util.invert", {"signed_float": True}, FLOATS, make=signed),
    # exposure
    Case("exposure.adjust_gamma", {"gamma": 0.7}, COMMON),
    Case("exposure.adjust_gamma", {"gamma": 2, "gain": 0.5}, COMMON, SOLID),
    Case("exposure.adjust_log", {"gain": 0.9}, COMMON),
    Case("exposure.adjust_log", {"inv": True}, COMMON),
    Case("exposure.adjust_sigmoid", {"cutoff": 0.3, "inv": True}, COMMON),
    Case("exposure.rescale_intensity", {}, NUMBERS),
    Case("exposure.rescale_intensity", {"out_range": "uint8"}, NUMBERS, make=signed),
    Case("exposure.rescale_intensity", {"out_range": (0, 100)}, NUMBERS, SOLID),
    Case("exposure.rescale_intensity", {"in_range": (0.2, 0.7), "out_range": "image"}, NUMBERS),
    Case("exposure.rescale_intensity", {"in_range": "dtype", "out_range": np.uint16}, NUMBERS),
    Case("exposure.rescale_intensity", {"in_range": "uint8", "out_range": "float"}, NUMBERS),
    # smoothing
    Case("filters.gaussian", {}, EVERY),
    Case("filters.gaussian", {"sigma": 2.3}, EVERY, SOLID),
    Case("filters.gaussian", {"sigma": 1.5}, FLOATS, (50,)),
    Case("filters.gaussian", {"sigma": 1}, FLOATS, (5, 6, 7, 8)),
    Case("filters.gaussian", {"sigma": (0, 3)}, COMMON),
    Case("filters.gaussian", {"sigma": [2, 0.5, 1.2], "truncate": 2.5}, FLOATS, SOLID),
    Case("filters.gaussian", {"sigma": 1.2, "channel_axis": -1}, COMMON, (*FLAT, 3)),
    Case("filters.gaussian", {"sigma": (1, 2), "channel_axis": 0}, FLOATS, (3, *FLAT), blocks=[(1, 7, 9), (2, 30, 5)]),
    Case("filters.gaussian", {"sigma": 1.2}, FLOATS, (*FLAT, 3)),
    Case("filters.gaussian", {"sigma": 2, "preserve_range": True}, EVERY),
    *[Case("filters.gaussian", {"sigma": 3, "mode": mode, "cval": 0.4}, ("uint8", "float64")) for mode in MODES],
    Case("filters.difference_of_gaussians", {"low_sigma": 1}, COMMON),
    Case("filters.difference_of_gaussians", {"low_sigma": (1, 2)}, FLOATS),
    Case("filters.difference_of_gaussians", {"low_sigma": 1, "high_sigma": (2, 3, 1)}, FLOATS, SOLID),
    Case("filters.difference_of_gaussians", {"low_sigma": 1, "mode": "mirror", "channel_axis": 2}, FLOATS, (*FLAT, 3)),
    Case("filters.unsharp_mask", {}, EVERY),
    Case("filters.unsharp_mask", {"radius": 2, "amount": 1.5}, ("int16", "int32", *FLOATS), make=signed),
    Case("filters.unsharp_mask", {"radius": 1.5, "amount": 3}, COMMON, SOLID),
    Case("filters.unsharp_mask", {"radius": (1, 2), "preserve_range": True}, EVERY),
    Case("filters.unsharp_mask", {"radius": 2, "channel_axis": 2}, COMMON, (*FLAT, 3)),
    Case("filters.median", {}, EVERY),
    Case("filters.median", {}, COMMON, SOLID),
    Case("filters.median", {"footprint": disk(2), "mode": "reflect"}),
    Case("filters.median", {"footprint": EVEN, "mode": "constant", "cval": 1.0}),
    Case("filters.median", {"footprint": CROSS3, "mode": "mirror"}, ("uint16", "float32"), SOLID),
    # edges
    Case("filters.laplace", {}, EVERY),
    Case("filters.laplace", {"ksize": 5}, FLOATS, SOLID),
    *[Case(f"filters.{name}", {}, EVERY) for name in EDGES],
    *[Case(f"filters.{name}", {}, FLOATS, SOLID) for name in EDGES],
    *[Case(f"filters.{name}", {"axis": 1, "mode": mode, "cval": 0.3}, FLOATS) for name in EDGES for mode in MODES],
    *[Case(f"filters.{name}_{axis}", {}, COMMON) for name in EDGES for axis in "hv"],
    *[Case(f"filters.{name}", {}, COMMON) for name in ("roberts", "roberts_pos_diag", "roberts_neg_diag")],
    # morphology
    *[Case(f"morphology.{name}", {}, EVERY) for name in MORPHOLOGY],
    *[Case(f"morphology.{name}", {"footprint": f}, ("bool", "uint8")) for name in MORPHOLOGY for f in FOOTPRINTS],
    *[Case(f"morphology.{name}", {"footprint": SEQUENCE}, ("uint8", "float32")) for name in MORPHOLOGY],
    *[Case(f"morphology.{name}", {"footprint": CROSS3}, ("bool", "uint16"), SOLID) for name in MORPHOLOGY],
    *[
        Case(f"morphology.{name}", {"footprint": disk(2), "mode": mode, "cval": 7}, ("uint8",))
        for name in MORPHOLOGY
        for mode in (*MODES, "ignore", "max", "min")
    ],
    # thresholds, labels, tables; adversarial ones are in test_statistics, test_labels and test_objects
    Case("filters.threshold_otsu", {}, ("uint8", "uint16", "int16", *FLOATS)),
    Case("filters.threshold_otsu", {"nbins": 100}, FLOATS, SOLID),
    Case("measure.label", {}, EVERY[:5]),
    Case("measure.label", {"connectivity": 1, "background": 1}, EVERY[:5], SOLID),
    Case("measure.regionprops_table", {"properties": ("label", "area")}, ("uint8",)),
    # results that do not lie pixel over pixel
    Case("transform.downscale_local_mean", {"factors": (2, 3)}, EVERY),
    Case("transform.downscale_local_mean", {"factors": (4, 5), "cval": 2}, COMMON),
    Case("transform.downscale_local_mean", {"factors": 2}, COMMON, SOLID),
    Case("transform.downscale_local_mean", {"factors": (3, 2, 1)}, COMMON, (*FLAT, 3)),
    *[
        Case("segmentation.mark_boundaries", {"mode": mode}, dtypes, shape, more=(labelled,))
        for mode in ("thick", "inner", "outer")
        for dtypes, shape in ((COMMON, FLAT), (("uint8", "float32"), (*FLAT, 3)))
    ],
    Case("segmentation.mark_boundaries", {"outline_color": (0, 1, 0)}, COMMON, more=(labelled,)),
    Case("segmentation.mark_boundaries", {"background_label": 3, "mode": "outer"}, FLOATS, more=(labelled,)),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # logarithms of 0 and the like, which the whole image has too
@pytest.mark.parametrize("case", CASES, ids=str)
def test_blocks_give_the_pixels_of_the_whole_image(case: Case) -> None:
    whole = resolve(get_entry(case.name).source)
    spatial = len(case.shape) - (len(case.shape) >= 3 and case.shape[-1] <= 4)
    shapes = case.blocks or BLOCKS[spatial]
    for turn, dtype in enumerate(case.dtypes):
        image = case.make(case.shape, dtype)
        more = [argument(image) for argument in case.more]
        expected = whole(image, *more, **case.options)
        lazy = graph.apply(case.name, graph.open(image), *more, **case.options)
        # the first dtype in all blocks, the others in one each
        for block_shape in shapes if turn == 0 else [shapes[turn % len(shapes)]]:
            assert_same_as_whole(lazy, expected, block_shape)


def test_every_public_function_has_a_case() -> None:
    assert set(public_names()) - {case.name for case in CASES} == set()


def test_every_public_function_promises_identical_pixels() -> None:
    assert {catalogue()[name].exactness for name in public_names()} == {Exactness.IDENTICAL}


@pytest.mark.parametrize("name", [name for name in public_names() if name.startswith(("filters", "morphology"))])
def test_adversarial_images_come_out_the_same(name: str) -> None:
    whole = resolve(get_entry(name).source)
    corner = np.zeros(FLAT)
    corner[0, 0] = 1
    stripes = np.zeros(FLAT)
    stripes[:, ::5] = 1
    plateaus = np.kron(picture((6, 8), float), np.ones((5, 5)))[: FLAT[0], : FLAT[1]]
    bright = picture(FLAT, "uint8") % 7 + np.uint16(65000)
    for image in (np.full(FLAT, 0.25), corner, stripes, plateaus, bright, np.full(FLAT, 9, np.uint8)):
        expected = whole(image, **NEEDED.get(name, {}))
        found = evaluate(graph.apply(name, image, **NEEDED.get(name, {})), (7, 10))
        assert np.asarray(found).dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["filters.gaussian", "filters.sobel", "filters.laplace", "filters.unsharp_mask"])
def test_nan_and_infinity_spread_as_they_do_in_the_whole_image(name: str) -> None:
    image = picture(FLAT, float)
    image[4, 5], image[20, 30], image[21, 2] = np.nan, np.inf, -np.inf
    with np.errstate(all="ignore"):
        expected = resolve(get_entry(name).source)(image)
    assert_same_as_whole(graph.apply(name, image), expected, (7, 10))


@pytest.mark.parametrize("name", ["exp", "log", "sin", "power", "sqrt", "divide", "remainder", "floor_divide"])
def test_special_values_come_out_the_same_in_every_place_of_a_block(name: str) -> None:
    # vector instructions do a row's last pixels another way
    random = np.random.default_rng(0)
    special = random.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e300, 1e-310, -2.5, 1e10, 3.0], (23, 41))
    ufunc: np.ufunc = getattr(np, name)
    more = (random.permutation(special.ravel()).reshape(special.shape),) if ufunc.nin == 2 else ()
    with np.errstate(all="ignore"):
        expected = ufunc(special, *more)
    for block_shape in ((5, 7), (23, 3)):
        assert_same_as_whole(graph.apply(f"numpy.{name}", special, *more), expected, block_shape)


def test_a_gray_picture_after_a_filter_with_an_odd_halo_is_that_of_the_whole_image() -> None:
    # BLAS multiplies a row in groups of pixels, so where a row begins decides the last bit
    from skimage.color import rgb2gray
    from skimage.filters import gaussian

    for dtype in FLOATS:
        image = picture((20, 301, 3), dtype)
        expected = gaussian(rgb2gray(image), 1.1)
        assert_same_as_whole(graph.apply("gaussian", graph.apply("rgb2gray", image), 1.1), expected, (9, 50))


def test_a_gray_picture_of_very_long_float32_rows_is_refused() -> None:
    image = np.broadcast_to(np.float32(0), (2, 16385, 3))
    with pytest.raises(NotExact, match="float64"):
        graph.apply("rgb2gray", image)
    wide = picture((1, 16500, 3), "float64")
    from skimage.color import rgb2gray

    assert_same_as_whole(graph.apply("rgb2gray", wide), rgb2gray(wide), (1, 5003))


def test_nan_in_rescale_intensity_warns_and_spreads_as_in_the_whole_image() -> None:
    from skimage.exposure import rescale_intensity

    image = picture(FLAT, float)
    image[3, 3] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = rescale_intensity(image)
        assert_same_as_whole(graph.apply("rescale_intensity", image), expected, (7, 10))


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    "name",
    ["filters.gaussian", "filters.median", "filters.sobel", "filters.difference_of_gaussians", "morphology.opening"],
)
def test_wrap_is_refused_as_not_exact(name: str) -> None:
    with pytest.raises(NotExact, match="opposite side"):
        graph.apply(name, picture(FLAT, float), mode="wrap", **NEEDED.get(name, {}))


REFUSED: list[tuple[str, Mapping[str, Any], str]] = [
    ("filters.gaussian", {"sigma": (1, 2, 3)}, "give one per axis"),
    ("filters.gaussian", {"sigma": -1}, "filters.gaussian"),
    ("filters.gaussian", {"sgma": 1}, "its parameters are"),
    ("filters.gaussian", {"sigma": "two"}, "filters.gaussian"),
    ("filters.gaussian", {"mode": "bouncy"}, "filters.gaussian"),
    ("filters.difference_of_gaussians", {"low_sigma": 3, "high_sigma": 1}, "high_sigma"),
    ("filters.difference_of_gaussians", {}, "low_sigma"),
    ("filters.unsharp_mask", {"channel_axis": -1}, "channel_axis=1"),  # scikit-image would leave pixels unset
    ("filters.median", {"behavior": "rank"}, "ndimage"),
    ("filters.sobel", {"mask": np.ones(FLAT, bool)}, "mask"),
    ("filters.sobel", {"axis": 5}, "filters.sobel"),
    ("morphology.erosion", {"footprint": np.ones((3, 3, 3))}, "footprint of 2 axes"),
    ("color.rgb2gray", {}, "RGB"),
    ("transform.downscale_local_mean", {"factors": (2,)}, "per axis"),
    ("transform.downscale_local_mean", {"factors": (2, 0)}, "at least 1"),
    ("measure.label", {"connectivity": 3}, "connectivity"),
    ("numpy.percentile", {"q": 101}, "within 0 and 100"),
    ("numpy.percentile", {"q": []}, "percent"),
    ("numpy.percentile", {"q": np.nan}, "within 0 and 100"),
    ("numpy.percentile", {"q": 5, "axis": 0}, "axis"),
    ("numpy.percentile", {"q": 5, "method": "nearest"}, "linear"),
    ("numpy.percentile", {"q": 5, "keepdims": True}, "keepdims"),
    ("numpy.min", {"axis": 0}, "axis"),
    ("numpy.min", {"initial": 3}, "initial"),
    ("numpy.max", {"keepdims": True}, "keepdims"),
    ("numpy.max", {"initial": 3, "where": np.ones(FLAT, bool)}, "initial"),
    ("filters.threshold_otsu", {"hist": np.ones(5)}, "hist"),
    ("exposure.rescale_intensity", {"out_range": "uint7"}, "rescale_intensity"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED, ids=[f"{n}-{m}" for n, _, m in REFUSED])
def test_a_wrong_argument_is_one_clear_input_error(name: str, options: Mapping[str, Any], message: str) -> None:
    image = picture(FLAT, "uint8")
    with pytest.raises(InputError, match=message):
        graph.apply(name, image, **options)


def test_a_dtype_outside_the_entrys_kinds_is_refused() -> None:
    for name in public_names():
        entry = get_entry(name)
        for dtype in ("bool", "int16", "uint8", "float32", "float16", "longdouble"):
            if np.dtype(dtype).kind in entry.kinds and dtype not in ("float16", "longdouble"):
                continue
            images = [np.zeros((*FLAT, 3), dtype)] * len(entry.images)
            with pytest.raises(DtypeNotSupported, match=f"cannot take .* of dtype {np.dtype(dtype)}; it takes"):
                graph.apply(name, *images, **NEEDED.get(name, {}))


@pytest.mark.parametrize("wrong", [None, 3, "slide.tif", [[1, 2], [3, 4]]])
def test_what_is_no_image_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match="give an image"):
        graph.apply("filters.gaussian", wrong)


def test_images_that_do_not_match_are_refused() -> None:
    with pytest.raises(InputError, match="do not match"):
        graph.apply("numpy.add", np.ones((4, 5)), np.ones((5, 4)))
    with pytest.raises(InputError, match="do not match"):
        graph.apply("mark_boundaries", np.ones((4, 5)), np.ones((5, 4), int))
    with pytest.raises(InputError, match="do not match"):
        graph.apply("regionprops_table", np.ones((4, 5), int), np.ones((5, 4)))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("gausian", "filters.gaussian"),
        ("filters.sobell", "filters.sobel"),
        ("threshold_ostu", "filters.threshold_otsu"),
    ],
)
def test_an_unknown_name_names_the_nearest(given: str, meant: str) -> None:
    with pytest.raises(UnknownOperation, match=f"did you mean .*{meant}"):
        get_entry(given)


def test_a_name_like_no_other_points_to_the_list() -> None:
    with pytest.raises(UnknownOperation, match="lepton operations"):
        get_entry("qqqqqq")


def test_short_names_are_those_of_one_function() -> None:
    assert get_entry("gaussian") is get_entry("filters.gaussian")
    shorts = [name.rpartition(".")[2] for name in public_names()]
    for name in set(shorts):
        if shorts.count(name) == 1:
            assert get_entry(name).name.endswith(name)


def test_every_source_can_be_found_and_has_the_parameters_that_the_entry_names() -> None:
    for name in public_names():
        entry = get_entry(name)
        assert callable(resolve(entry.source))
        assert set(entry.images) | set(entry.values) <= set(entry.signature.parameters)
        assert "out" not in entry.signature.parameters


@pytest.mark.parametrize("name", ["util.img_as_ubyte", "exposure.adjust_gamma"])
def test_pixels_that_scikit_image_refuses_are_refused_in_blocks_too(name: str) -> None:
    image = picture(FLAT, float)
    image[20, 30] = -3.0
    with pytest.raises(ValueError):
        resolve(get_entry(name).source)(image)
    with pytest.raises((ValueError, LeptonError)):
        evaluate(graph.apply(name, image), (7, 10))
