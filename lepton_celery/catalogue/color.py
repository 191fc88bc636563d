"""`skimage.color`: colour spaces, colour differences, labels as colours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local
from lepton_celery.catalogue.results import always
from lepton_celery.errors import ArgumentIndexError, ArgumentTypeError, InputError, NotExact
from lepton_celery.grid import Region
from lepton_celery.kernels import Kernel
from lepton_celery.kernels.border import is_plain

GROUP_PX = 64
"""Rows are read in multiples of this length: OpenBLAS 0.3.30 adds up groups of 4 (float64) or 8 (float32) pixels."""
MAX_FLOAT32_ROW_PX = 16384
"""Longest float32 row that BLAS adds up in the order of shorter rows; longer rows go through another routine."""

_PIXELWISE = {
    **dict.fromkeys(("rgb2hsv", "hsv2rgb"), 45.0),
    **dict.fromkeys(("xyz2lab", "lab2xyz", "xyz2luv", "luv2xyz"), 8.0),
    **dict.fromkeys(("lab2lch", "lch2lab"), 7.0),
}
"""Conversions without a matrix product, and their nanoseconds per value."""
_MATRIX = {
    **dict.fromkeys(("rgb2rgbcie", "rgbcie2rgb", "rgb2yuv", "yuv2rgb", "rgb2yiq", "yiq2rgb"), 1.5),
    **dict.fromkeys(("rgb2ypbpr", "ypbpr2rgb", "rgb2ycbcr", "ycbcr2rgb", "rgb2ydbdr", "ydbdr2rgb"), 1.5),
    **dict.fromkeys(("rgb2hed", "hed2rgb"), 3.0),
    **dict.fromkeys(("rgb2xyz", "xyz2rgb", "rgb2lab", "lab2rgb", "rgb2luv", "luv2rgb"), 12.0),
}
"""Conversions with a matrix product, and their nanoseconds per value."""
_NEEDS_FINITE = ("rgb2hsv", "convert_colorspace")
"""Functions for which scikit-image leaves pixels with NaN uninitialized."""
_LIMITED = {"ycbcr2rgb": tuple("uint8 uint16 uint32 uint64 int16 int32 int64 float32 float64".split())}
"""Dtypes of functions for which scikit-image subtracts 128 from unconverted pixels, which other dtypes cannot hold."""
_DIFFERENCES = {"deltaE_cie76": 4.0, "deltaE_ciede94": 120.0, "deltaE_ciede2000": 400.0, "deltaE_cmc": 250.0}


@dataclass(frozen=True)
class Channels:
    """A pixel of the result, with all its channels, depends on the same pixel of each image, with all its channels.

    With `product`, rows are read in multiples of `GROUP_PX` pixels, and never as a single pixel of a longer row: BLAS
    multiplies the pixels of a row (`rgb @ weights`) in groups, adds up an incomplete last group in another order, and has
    another routine for a single pixel. Measured with OpenBLAS 0.3.31 (Prescott, Sandybridge, Haswell, SkylakeX; one and two
    threads): products with a 3 × 3 matrix differ only for a single pixel, those with a vector also in the last group.
    """

    takes: int
    """Channels of the first image; 0 if it has no axis of channels."""
    gives: int
    """Channels of the result; 0 if it has no axis of channels."""
    product: bool = False

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        first = images[0]
        if self.takes and (len(first) < 2 or first[-1] != self.takes):
            kind = {3: "an image of RGB or another colour space of three"}.get(self.takes, "an RGBA image")
            raise InputError(f"an image of shape {first} has no last axis of {self.takes} channels; give {kind}")
        plane = first[: len(first) - bool(self.takes)]
        for other in images[1:]:
            if other[: len(plane)] != plane or len(other) > len(plane) + 1:
                raise InputError(f"images of shapes {first} and {other} do not match; they need the same pixels")
        return (*plane, self.gives) if self.gives else plane

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        ndim = region.ndim - bool(self.gives)
        start, stop = list(region.start[:ndim]), list(region.stop[:ndim])
        if self.product:
            width = images[0][ndim - 1]
            start[-1] -= start[-1] % GROUP_PX
            stop[-1] = min(width, -(-stop[-1] // GROUP_PX) * GROUP_PX)
            if stop[-1] - start[-1] == 1 and start[-1] > 0:
                start[-1] -= GROUP_PX
        return [Region((*start, *(0 for _ in shape[ndim:])), (*stop, *shape[ndim:])) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        ndim = region.ndim - bool(self.gives)
        plane = Region(region.start[:ndim], region.stop[:ndim])
        wide = Region(read[0].start[:ndim], read[0].stop[:ndim])
        return result[(*plane.within(wide), *region.slices[ndim:])]


def _channels_last(image: str, added: int = 0) -> Callable[[Arguments], None]:
    """A check that the channels are the last axis of the argument `image` or, with `added=1`, of the result."""

    def check(arguments: Arguments) -> None:
        axis, ndim = arguments["channel_axis"], len(arguments[image].shape) + added
        if not isinstance(axis, int | np.integer) or axis not in (-1, ndim - 1):
            raise InputError(f"channel_axis={axis} is not supported here; move the channels to the last axis")

    return check


def _channels_on(image: str) -> Callable[[Arguments], None]:
    """A check that the argument `image` has the axis of channels."""

    def check(arguments: Arguments) -> None:
        axis, ndim = arguments["channel_axis"], len(arguments[image].shape)
        if not isinstance(axis, int | np.integer) or not -ndim <= axis < ndim:
            refusal = ArgumentIndexError if isinstance(axis, int | np.integer) else ArgumentTypeError
            raise refusal(f"channel_axis={axis!r} for an image of {ndim} axes; give the number of one of its axes")

    return check


# ------------------------------------------------------------------------------------------------ gray


def _check_gray(arguments: Arguments) -> None:
    # moved channels are no contiguous rows, for which BLAS adds up in another order
    _channels_last("rgb")(arguments)
    if arguments["rgb"].dtype == np.float32 and arguments["rgb"].shape[-2] > MAX_FLOAT32_ROW_PX:
        raise NotExact(
            f"float32 rows of more than {MAX_FLOAT32_ROW_PX} pixels are added up in another order than blocks of them; "
            "convert the image first, with .astype('float64')"
        )


def _gray_trials() -> Iterator[dict[str, Any]]:
    """Images with rows of the lengths for which BLAS may have special cases."""
    rng = np.random.default_rng(22)
    for width in (*range(2, 20), 67, 1027):
        yield {"rgb": rng.integers(0, 256, (2, width, 3), np.uint8), "channel_axis": -1}


def _covers_gray(arguments: Arguments) -> bool:
    """Plain uint8 images, but not rows of a single pixel, for which BLAS has another routine."""
    rgb = arguments["rgb"]
    return is_plain(rgb) and rgb.dtype == np.uint8 and rgb.ndim > 1 and rgb.shape[-2] > 1


_GRAY_KERNEL = Kernel("lepton_celery.kernels.gray.rgb2gray", _covers_gray, _gray_trials)

# ------------------------------------------------------------------------------------------------ labels as colours


_PAINT_OPTIONS = ("colors", "alpha", "bg_label", "bg_color", "image_alpha", "saturation")


@declare(
    Local(
        "lepton.paint_labels",
        images=("label", "image"),
        values=("occurring",),
        geometry=Channels(0, 3),
        dtype=always(np.float64),
        cost_ns=60.0,
    )
)
def paint_labels(label: Array, occurring: Array, image: Array | None = None, **options: Any) -> Array:
    """Run `skimage.color.label2rgb` on a block and one more pixel of each label of the whole image.

    The colour of a label depends on its rank among all labels that occur in the image.
    """
    from skimage.color import label2rgb

    labels = np.concatenate([label.ravel(), occurring])
    if image is not None:
        pixels = image.reshape(label.size, *image.shape[label.ndim :])
        image = np.concatenate([pixels, np.zeros((occurring.size, *pixels.shape[1:]), image.dtype)])
    painted: Array = label2rgb(labels, image, **options)
    return painted[: label.size].reshape(*label.shape, 3)


def _check_label2rgb(arguments: Arguments) -> None:
    if arguments["kind"] == "avg":
        raise NotExact(
            "color.label2rgb with kind='avg' adds up each label's pixels over the whole image, in an order that blocks "
            "do not keep; use kind='overlay', or measure.regionprops_table for the means"
        )
    if arguments["kind"] != "overlay":
        raise InputError(f"kind={arguments['kind']!r} is neither 'overlay' nor 'avg'")
    _channels_last("label", added=1)(arguments)
    options = {name: arguments[name] for name in _PAINT_OPTIONS}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `source_warnings` has them
            paint_labels(np.arange(2), np.arange(2), **options)  # a wrong colour raises here, not in a worker
    except KeyError as error:
        raise InputError(f"{error} is not a colour; give a name of skimage.color.color_dict, or RGB values") from error


@declare(
    Composite(
        "color.label2rgb",
        images=("label", "image"),
        samples={"label": "labels"},
        check=_check_label2rgb,
        gives="image",
    )
)
def _expand_label2rgb(arguments: Arguments, build: Build) -> Lazy:
    label, image = arguments["label"], arguments["image"]
    occurring = build("lepton.occurring", counts=build("lepton.value_counts", image=label))
    options = {name: arguments[name] for name in _PAINT_OPTIONS}
    return build("lepton.paint_labels", label=label, occurring=occurring, image=image, **options)


# ------------------------------------------------------------------------------------------------ entries


def _conversion(name: str, cost_ns: float, gives: int = 3, product: bool = False, **options: Any) -> Local:
    image = options.pop("image", name.partition("2")[0])
    options.setdefault("check", _channels_on(image))
    takes = options.pop("takes", 3)
    return Local(
        f"color.{name}",
        images=(image,),
        geometry=Channels(takes, gives, product),
        samples={image: "rgba" if takes == 4 else "rgb"},
        moves_channels=name != "rgb2gray",
        needs_finite=name in _NEEDS_FINITE,
        cost_ns=cost_ns,
        **options,
    )


_STAINS = {"conv_matrix": np.eye(3)}

ENTRIES: tuple[Entry, ...] = (
    *(_conversion(name, cost) for name, cost in _PIXELWISE.items()),
    *(_conversion(name, cost, product=True, dtypes=_LIMITED.get(name, ())) for name, cost in _MATRIX.items()),
    _conversion("separate_stains", 4.0, image="rgb", product=True, example=_STAINS),
    _conversion("combine_stains", 6.0, image="stains", product=True, example=_STAINS),
    _conversion("convert_colorspace", 50.0, image="arr", product=True, example={"fromspace": "rgb", "tospace": "hsv"}),
    _conversion("rgb2gray", 2.5, gives=0, product=True, check=_check_gray, kernel=_GRAY_KERNEL),
    _conversion("rgba2rgb", 5.0, takes=4),
    Local("color.gray2rgb", geometry=Channels(0, 3), check=_channels_last("image", added=1), cost_ns=4.0),
    Local(
        "color.gray2rgba",
        images=("image", "alpha"),
        values=("alpha",),
        geometry=Channels(0, 4),
        check=_channels_last("image", added=1),
        cost_ns=6.0,
    ),
    *(
        Local(
            f"color.{name}",
            images=("lab1", "lab2"),
            samples={"lab1": "rgb", "lab2": "rgb"},
            geometry=Channels(3, 0),
            moves_channels=True,
            check=_channels_on("lab1"),
            cost_ns=cost,
        )
        for name, cost in _DIFFERENCES.items()
    ),
)
