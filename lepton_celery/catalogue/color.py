"""`skimage.color`: colour spaces, colour differences, labels as colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue import geometry
from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Reduction
from lepton_celery.catalogue.shared.halos import local
from lepton_celery.errors import InputError, NotExact
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.kernels import Kernel
from lepton_celery.kernels.border import is_plain

_PIXELWISE = {
    **dict.fromkeys(("rgb2hsv", "hsv2rgb"), 45.0),
    **dict.fromkeys(("xyz2lab", "lab2xyz", "xyz2luv", "luv2xyz"), 8.0),
    **dict.fromkeys(("lab2lch", "lch2lab"), 7.0),
}
"""Conversions of each pixel by itself, and their nanoseconds per value."""
_MATRIX = {
    **dict.fromkeys(("rgb2rgbcie", "rgbcie2rgb", "rgb2yuv", "yuv2rgb", "rgb2yiq", "yiq2rgb"), 1.5),
    **dict.fromkeys(("rgb2ypbpr", "ypbpr2rgb", "rgb2ycbcr", "ycbcr2rgb", "rgb2ydbdr", "ydbdr2rgb"), 1.5),
    **dict.fromkeys(("rgb2hed", "hed2rgb"), 3.0),
    **dict.fromkeys(("rgb2xyz", "xyz2rgb", "rgb2lab", "lab2rgb", "rgb2luv", "luv2rgb"), 12.0),
}
"""Conversions with a matrix product among their steps."""
_NOT_NAN = ("rgb2hsv", "convert_colorspace")
"""Where scikit-image leaves pixels with NaN as its memory was."""
_LIMITED = {"ycbcr2rgb": tuple("uint8 uint16 uint32 uint64 int16 int32 int64 float32 float64".split())}
"""Dtypes, where scikit-image subtracts 128 from pixels as they are."""
_DIFFERENCES = {"deltaE_cie76": 4.0, "deltaE_ciede94": 120.0, "deltaE_ciede2000": 400.0, "deltaE_cmc": 250.0}


@dataclass(frozen=True)
class Channels:
    """A pixel of the result, all its channels, follows from that pixel of each image, all its channels.

    With `product`, rows are read in groups of `ROW_PX` pixels and never a single pixel of a longer row: BLAS multiplies a
    row of pixels (`rgb @ weights`) in groups, adds up the last ones in another order, and has another routine for one
    pixel alone. Measured with OpenBLAS 0.3.31 (Prescott, Sandybridge, Haswell, SkylakeX; one and two threads): products
    with a 3x3 matrix differ for the single pixel only, those with a vector also between groups.
    """

    takes: int
    """Channels of the first image; 0: it has no axis of them."""
    gives: int
    """Channels of the result; 0: it has no axis of them."""
    product: bool = False

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        first = images[0]
        if self.takes and (len(first) < 2 or first[-1] != self.takes):
            kind = {3: "an RGB image, or one of another space of three"}.get(self.takes, "an RGBA image")
            raise InputError(f"an image of shape {first} has no last axis of {self.takes} channels; give {kind}")
        plane = first[: len(first) - bool(self.takes)]
        for other in images[1:]:
            if other[: len(plane)] != plane or len(other) > len(plane) + 1:
                raise InputError(f"images of shapes {first} and {other} do not match; they need the same pixels")
        return (*plane, self.gives) if self.gives else plane

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        ndim = region.ndim - bool(self.gives)
        start, stop = list(region.start[:ndim]), list(region.stop[:ndim])
        if self.product:
            width, group = images[0][ndim - 1], geometry.ROW_PX
            start[-1] -= start[-1] % group
            stop[-1] = min(width, -(-stop[-1] // group) * group)
            if stop[-1] - start[-1] == 1 and start[-1] > 0:
                start[-1] -= group
        return [Region((*start, *(0 for _ in shape[ndim:])), (*stop, *shape[ndim:])) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        ndim = region.ndim - bool(self.gives)
        plane = Region(region.start[:ndim], region.stop[:ndim])
        wide = Region(read[0].start[:ndim], read[0].stop[:ndim])
        return result[(*plane.within(wide), *region.slices[ndim:])]


def _channels_last(image: str, added: int = 0) -> Callable[[Arguments], None]:
    """The check that channels are (or, `added`, come) on the last axis."""

    def check(arguments: Arguments) -> None:
        axis, ndim = arguments["channel_axis"], len(arguments[image].shape) + added
        if not isinstance(axis, int | np.integer) or axis not in (-1, ndim - 1):
            raise InputError(f"channel_axis={axis} is not supported here; move the channels to the last axis")

    return check


def _check_gray(arguments: Arguments) -> None:
    _channels_last("rgb")(arguments)
    if arguments["rgb"].dtype == np.float32 and arguments["rgb"].shape[-2] > geometry.WIDE_PX:
        raise NotExact(
            f"float32 rows of more than {geometry.WIDE_PX} pixels are added up in another order than blocks of them; "
            "convert the image first, with .astype('float64')"
        )


def _gray_trials() -> Iterator[dict[str, Any]]:
    """Rows of all lengths that BLAS could treat in its own way."""
    deal = np.random.default_rng(22)
    for width in (*range(2, 20), 67, 1027):
        yield {"rgb": deal.integers(0, 256, (2, width, 3), np.uint8), "channel_axis": -1}


def _is_gray_plain(arguments: Arguments) -> bool:
    """Whether the compiled luminance takes the picture; BLAS has another way for rows of one pixel."""
    rgb = arguments["rgb"]
    return is_plain(rgb) and rgb.dtype == np.uint8 and rgb.ndim > 1 and rgb.shape[-2] > 1


_GRAY = Kernel("lepton_celery.kernels.gray.rgb2gray", _is_gray_plain, _gray_trials)


def _conversion(name: str, cost_ns: float, gives: int = 3, product: bool = False, **options: Any) -> Local:
    image = options.pop("image", name.partition("2")[0])
    options.setdefault("check", _channels_last(image))
    takes = options.pop("takes", 3)
    return local(
        f"color.{name}",
        images=(image,),
        geometry=Channels(takes, gives, product),
        samples={image: "rgba" if takes == 4 else "rgb"},
        needs_finite=name in _NOT_NAN,
        cost_ns=cost_ns,
        **options,
    )


# ------------------------------------------------------------------------------------------------ labels as colours


def distinct_labels(label: Array) -> Partial:
    """The labels that occur in a block."""
    return {"labels": np.unique(label)}


def merge_labels(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """All labels that occur, in ascending order."""
    found = np.zeros(0, arguments["label"].dtype)
    for _, partial in partials:
        found = np.union1d(found, partial["labels"])
    return found


def paint_labels(
    label: Array,
    distinct: Array,
    image: Array | None = None,
    colors: Any = None,
    alpha: float = 0.3,
    bg_label: int = 0,
    bg_color: Any = (0, 0, 0),
    image_alpha: float = 1,
    saturation: float = 0,
) -> Array:
    """Source: `skimage.color.label2rgb`, of a block and one more pixel of each label of the whole image.

    A label's colour is that of its rank among the labels present, so each block has to have them all.
    """
    from skimage.color import label2rgb

    labels = np.concatenate([label.ravel(), distinct])
    if image is not None:
        pixels = image.reshape(label.size, *image.shape[label.ndim :])
        image = np.concatenate([pixels, np.zeros((distinct.size, *pixels.shape[1:]), image.dtype)])
    painted: Array = label2rgb(labels, image, colors, alpha, bg_label, bg_color, image_alpha, saturation=saturation)
    return painted[: label.size].reshape(*label.shape, 3)


_PAINT_OPTIONS = ("colors", "alpha", "bg_label", "bg_color", "image_alpha", "saturation")


def _check_label2rgb(arguments: Arguments) -> None:
    if arguments["kind"] == "avg":
        raise NotExact(
            "color.label2rgb with kind='avg' adds up each label's pixels over the whole image, in an order that blocks "
            "do not keep; use kind='overlay', or measure.regionprops_table for the means"
        )
    _channels_last("label", added=1)(arguments)
    options = {name: arguments[name] for name in _PAINT_OPTIONS}
    paint_labels(np.arange(2), np.arange(2), **options)  # a wrong colour shows here rather than in a worker


def _expand_label2rgb(arguments: Arguments, build: Build) -> Any:
    distinct = build("lepton.distinct_labels", label=arguments["label"])
    options = {name: arguments[name] for name in _PAINT_OPTIONS}
    return build(
        "lepton.paint_labels", label=arguments["label"], distinct=distinct, image=arguments["image"], **options
    )


def entries() -> list[Entry]:
    """Colours."""
    here = "lepton_celery.catalogue.color"
    stains = {"conv_matrix": np.eye(3)}
    return [
        *[_conversion(name, cost) for name, cost in _PIXELWISE.items()],
        *[_conversion(name, cost, product=True, dtypes=_LIMITED.get(name, ())) for name, cost in _MATRIX.items()],
        _conversion("separate_stains", 4.0, image="rgb", product=True, example=stains),
        _conversion("combine_stains", 6.0, image="stains", product=True, example=stains),
        _conversion(
            "convert_colorspace", 50.0, image="arr", product=True, example={"fromspace": "rgb", "tospace": "hsv"}
        ),
        _conversion("rgb2gray", 1.0, gives=0, product=True, check=_check_gray, kernel=_GRAY),
        _conversion("rgba2rgb", 5.0, takes=4),
        local(
            "color.gray2rgb",
            geometry=Channels(0, 3),
            check=_channels_last("image", added=1),
            cost_ns=4.0,
        ),
        local(
            "color.gray2rgba",
            images=("image", "alpha"),
            values=("alpha",),
            geometry=Channels(0, 4),
            check=_channels_last("image", added=1),
            cost_ns=6.0,
        ),
        *[
            local(
                f"color.{name}",
                images=("lab1", "lab2"),
                samples={"lab1": "rgb", "lab2": "rgb"},
                geometry=Channels(3, 0),
                check=_channels_last("lab1"),
                cost_ns=cost,
            )
            for name, cost in _DIFFERENCES.items()
        ],
        Reduction(
            name="lepton.distinct_labels",
            source=f"{here}.distinct_labels",
            images=("label",),
            partial=distinct_labels,
            merge=merge_labels,
            result=lambda arguments: ((-1,), arguments["label"].dtype),
            cost_ns=20.0,
        ),
        Local(
            name="lepton.paint_labels",
            source=f"{here}.paint_labels",
            images=("label", "image"),
            values=("distinct",),
            geometry=Channels(0, 3),
            dtype=lambda arguments: np.dtype(np.float64),
            cost_ns=60.0,
        ),
        Composite(
            name="color.label2rgb",
            source="skimage.color.label2rgb",
            images=("label", "image"),
            samples={"label": "labels"},
            check=_check_label2rgb,
            expand=_expand_label2rgb,
            gives="image",
        ),
    ]
