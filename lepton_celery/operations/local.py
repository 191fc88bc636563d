"""Functions of a bounded neighbourhood: pointwise functions and stencils.

The halo formulas were measured against scikit-image 0.26; each is proven again by the tests. `Source` of all of them is
the scikit-image (or NumPy) function named, which is what runs on every block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lepton_celery.errors import InputError, NotExact
from lepton_celery.operations import geometry
from lepton_celery.operations.spec import Arguments, Array, Entry, Local, Stencil

# ------------------------------------------------------------------------------------------------ halos


def gaussian_radius(sigma: float, truncate: float = 4.0) -> int:
    """Radius of SciPy's gaussian kernel, `scipy.ndimage.gaussian_filter1d`."""
    return int(truncate * float(sigma) + 0.5)


def per_axis(value: Any, ndim: int, channel_axis: int | None, name: str) -> list[float]:
    """A scalar or one number per spatial axis, as one number per axis of the array (0 along the channels)."""
    spatial = ndim - (channel_axis is not None)
    values = [float(v) for v in np.atleast_1d(value)]
    values = values * spatial if np.isscalar(value) else values
    if channel_axis is not None and len(values) == spatial:
        values.insert(channel_axis % ndim, 0.0)
    if len(values) != ndim:
        raise InputError(f"{name} {value} has {len(values)} numbers for an image of {spatial} axes; give one per axis")
    return values


def gaussian_halo(arguments: Arguments, sigma: str = "sigma") -> tuple[int, ...]:
    ndim = len(arguments["image"].shape)
    sigmas = per_axis(arguments[sigma], ndim, arguments.get("channel_axis"), sigma)
    return tuple(gaussian_radius(s, arguments.get("truncate", 4.0)) for s in sigmas)


def _difference_halo(arguments: Arguments) -> tuple[int, ...]:
    low, high = arguments["low_sigma"], arguments["high_sigma"]
    if high is None:  # scikit-image's default, the ratio that approximates the Laplacian best
        high = [1.6 * float(s) for s in np.atleast_1d(low)]
        high = high[0] if np.isscalar(low) else high
    return gaussian_halo({**arguments, "high_sigma": high}, "high_sigma")


def footprint_halo(footprint: Any, ndim: int) -> tuple[int, ...]:
    """Reach of a footprint, or of a sequence of (footprint, times) applied in turn; the 3-cross when None."""
    if footprint is None:
        return (1,) * ndim
    parts = [(footprint, 1)] if isinstance(footprint, np.ndarray) else footprint
    halo = [0] * ndim
    for part, times in parts:
        shape = np.shape(part)
        if len(shape) != ndim:
            raise InputError(f"footprint of shape {shape} for an image of {ndim} axes; give a footprint of {ndim} axes")
        halo = [h + (n // 2) * int(times) for h, n in zip(halo, shape, strict=True)]
    return tuple(halo)


def _footprint(passes: int) -> Callable[[Arguments], tuple[int, ...]]:
    def halo(arguments: Arguments) -> tuple[int, ...]:
        once = footprint_halo(arguments["footprint"], len(arguments["image"].shape))
        return tuple(passes * h for h in once)

    return halo


def _constant(radius: int) -> Callable[[Arguments], int]:
    return lambda arguments: radius


def _laplace_halo(arguments: Arguments) -> int:
    return int(arguments["ksize"]) // 2


# ------------------------------------------------------------------------------------------------ checks


def _no_wrap(arguments: Arguments) -> None:
    if arguments.get("mode") == "wrap":
        raise NotExact(
            "mode='wrap' reads from the opposite side of the image, which blocks do not have; "
            "use 'reflect', 'nearest', 'mirror' or 'constant'"
        )


def _no_mask(arguments: Arguments) -> None:
    _no_wrap(arguments)
    if arguments.get("mask") is not None:
        raise InputError("mask is not supported here; multiply the result with the mask instead")


def _ndimage_median(arguments: Arguments) -> None:
    _no_wrap(arguments)
    if arguments["behavior"] != "ndimage":
        raise InputError(f"behavior={arguments['behavior']!r} is not supported here; use behavior='ndimage'")


def _last_channels(arguments: Arguments) -> None:
    axis, ndim = arguments["channel_axis"], len(arguments["rgb"].shape)
    if axis % ndim != ndim - 1:
        raise InputError(f"channel_axis={axis} is not supported here; move the channels to the last axis")
    if arguments["rgb"].dtype == np.float32 and arguments["rgb"].shape[-2] > geometry.WIDE_PX:
        raise NotExact(
            f"float32 rows of more than {geometry.WIDE_PX} pixels are added up in another order than blocks of them; "
            "convert the image first, with .astype('float64')"
        )


def _whole_pixels(arguments: Arguments) -> None:
    if arguments["mode"] == "subpixel":
        raise InputError("mode='subpixel' changes the image's shape; use 'thick', 'inner' or 'outer'")


# ------------------------------------------------------------------------------------------------ entries


def _unsharp(image: Array, bounds: Sequence[float] | None, radius: float, amount: float, channel_axis: Any) -> Array:
    """`unsharp_mask` of a float image, clipped to bounds that were found over the whole image."""
    from skimage.filters import unsharp_mask

    result: Array = unsharp_mask(image, radius, amount, preserve_range=True, channel_axis=channel_axis)
    return result if bounds is None else np.clip(result, bounds[0], bounds[1], out=result)


def _unsharp_clipped(image: Array, negative: Any, radius: Any, amount: Any, channel_axis: Any = None) -> Array:
    return _unsharp(image, (-1.0, 1.0) if negative else (0.0, 1.0), radius, amount, channel_axis)


def _rescale(image: Array, extent: Array, in_range: Any, out_range: Any) -> Array:
    """`rescale_intensity` with the whole image's extent where scikit-image would look at the image."""
    from skimage.exposure import rescale_intensity

    whole = (extent[0], extent[1])
    result: Array = rescale_intensity(
        image,
        in_range=whole if in_range == "image" else in_range,
        out_range=whole if out_range == "image" else out_range,
    )
    # a pair as out_range makes scikit-image return floats; 'image' keeps the image's dtype
    return result.astype(image.dtype, copy=False) if out_range == "image" else result


def _astype(x: Array, dtype: str) -> Array:
    return x.astype(dtype)


def _with_sigma(arguments: Arguments) -> None:
    _no_wrap(arguments)
    gaussian_halo(arguments)


def _local(name: str, halo: Any = 0, **options: Any) -> Local:
    radius = _constant(halo) if isinstance(halo, int) else halo
    options.setdefault("source", f"skimage.{name}")
    return Local(name=name, geometry=options.pop("geometry", Stencil(radius)), **options)


_EDGES = {
    **dict.fromkeys(("sobel", "sobel_h", "sobel_v", "scharr", "scharr_h", "scharr_v"), 1),
    **dict.fromkeys(("prewitt", "prewitt_h", "prewitt_v", "roberts", "roberts_pos_diag", "roberts_neg_diag"), 1),
    **dict.fromkeys(("farid", "farid_h", "farid_v"), 2),
}
_MORPHOLOGY = {"erosion": 1, "dilation": 1, "opening": 2, "closing": 2, "white_tophat": 2, "black_tophat": 2}

_UFUNCS = (
    "add subtract multiply divide floor_divide remainder power negative positive absolute sign "
    "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not "
    "bitwise_and bitwise_or bitwise_xor invert minimum maximum sqrt square cbrt exp exp2 log log2 log10 log1p "
    "sin cos tan arctan arctan2 hypot floor ceil rint trunc isfinite isnan"
).split()


def _ufunc(name: str) -> Local:
    ufunc: np.ufunc = getattr(np, name)
    parameters = ("x1", "x2") if ufunc.nin == 2 else ("x",)
    heavy = name in ("power", "exp", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arctan", "arctan2", "cbrt")
    return Local(
        name=f"numpy.{name}",
        source=f"numpy.{name}",
        images=parameters,
        values=parameters,
        cost_ns=12.0 if heavy else 1.5,
    )


def entries() -> list[Entry]:
    """All functions of a bounded neighbourhood."""
    return [
        *[_ufunc(name) for name in _UFUNCS],
        Local(name="numpy.astype", source="numpy.astype", images=("x",), values=("x",), function=_astype, cost_ns=1.0),
        Local(
            name="lepton.select",
            source="lepton_celery.operations.geometry.select",
            geometry=geometry.Select(),
            check=geometry.check_index,
            cost_ns=0.5,
        ),
        _local(
            "color.rgb2gray",
            images=("rgb",),
            geometry=geometry.DropChannel(),
            check=_last_channels,
            cost_ns=10.0,
        ),
        _local("util.img_as_float", cost_ns=2.0),
        _local("util.img_as_float32", cost_ns=2.0),
        _local("util.img_as_ubyte", cost_ns=6.0),
        _local("util.img_as_uint", cost_ns=6.0),
        _local("util.invert", cost_ns=1.5),
        _local("exposure.adjust_gamma", cost_ns=15.0),
        _local("exposure.adjust_log", cost_ns=12.0),
        _local("exposure.adjust_sigmoid", cost_ns=12.0),
        Local(
            name="lepton.rescale",
            source="lepton_celery.operations.local._rescale",
            values=("extent",),
            cost_ns=6.0,
        ),
        _local("filters.gaussian", gaussian_halo, check=_with_sigma, cost_ns=4.0, tap_ns=0.33),
        _local("filters.difference_of_gaussians", _difference_halo, check=_no_wrap, cost_ns=9.0, tap_ns=0.6),
        Local(
            name="lepton.unsharp",
            source="lepton_celery.operations.local._unsharp",
            geometry=Stencil(lambda a: gaussian_halo(a, "radius")),
            cost_ns=8.0,
            tap_ns=0.33,
        ),
        Local(
            name="lepton.unsharp_clipped",
            source="lepton_celery.operations.local._unsharp_clipped",
            values=("negative",),
            geometry=Stencil(lambda a: gaussian_halo(a, "radius")),
            cost_ns=9.0,
            tap_ns=0.33,
        ),
        _local("filters.median", _footprint(1), check=_ndimage_median, cost_ns=160.0),
        _local("filters.laplace", _laplace_halo, check=_no_mask, cost_ns=20.0),
        *[_local(f"filters.{name}", radius, check=_no_mask, cost_ns=30.0) for name, radius in _EDGES.items()],
        *[
            _local(f"morphology.{name}", _footprint(passes), check=_no_wrap, cost_ns=40.0 * passes)
            for name, passes in _MORPHOLOGY.items()
        ],
        _local("transform.downscale_local_mean", geometry=geometry.Shrink(), cost_ns=110.0),
        _local(
            "segmentation.mark_boundaries",
            images=("image", "label_img"),
            # find_boundaries looks one pixel around, the outline's dilation one more
            geometry=geometry.ColourOverLabels(lambda a: 1 if a["outline_color"] is None else 2),
            check=_whole_pixels,
            cost_ns=60.0,
        ),
    ]
