"""`skimage.measure`: figures of a whole image. Entropy, moments, perimeters, blur, colocalization.

Counts are exact, and so is scikit-image's arithmetic on them. Sums of floats are added in NumPy's own order, but for those
that scikit-image leaves to BLAS.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, View, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Reduction, Refused
from lepton_celery.catalogue.geometry import Stencil, Whole
from lepton_celery.catalogue.metrics.similarity import crop_sum
from lepton_celery.catalogue.promise import Promise, approximate, within
from lepton_celery.catalogue.shared.values import merge_counts, value_function
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid, Region

# ------------------------------------------------------------------------------------------------ entropy


def merge_value_counts(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    """How often each value occurs, in the order of the values."""
    parts = [partial for _, partial in partials]
    values, place = np.unique(np.concatenate([part["values"] for part in parts]), return_inverse=True)
    counts = np.zeros(values.size, np.int64)
    np.add.at(counts, place, np.concatenate([part["counts"] for part in parts]))
    return counts


def value_counts(image: Array) -> Partial:
    values, counts = np.unique(image, return_counts=True)
    return {"values": values, "counts": counts}


def entropy(counts: Array, base: float) -> Any:
    """Source: `skimage.measure.shannon_entropy`, from the counts."""
    from scipy.stats import entropy as found

    return found(counts, base=base)


def _expand_entropy(arguments: Arguments, build: Build) -> Any:
    counts = build("lepton.value_counts", image=arguments["image"])
    return build("lepton.entropy", counts=counts, base=arguments["base"])


# ------------------------------------------------------------------------------------------------ neighbourhoods


_CORNERS = np.array([[1, 4], [2, 8]], np.uint8)
"""What each pixel of a 2 x 2 neighbourhood adds to its pattern's number; 16 times that in the plane before."""


def corner_counts(image: View, where: Where) -> Partial:
    """How often each pattern of 2 x 2 (or 2 x 2 x 2) pixels above 0 occurs, by its last pixel; all is 0 around the image."""
    from scipy.ndimage import convolve

    ndim = len(where.shape)
    ends = list(zip(where.region.start, where.region.stop, where.shape, strict=True))
    pixels = image.read(where.region.expand((1,) * ndim, where.shape)) > 0
    # one pixel more on each side: the neighbour's, or 0 beyond the image's edge
    pixels = np.pad(pixels, [(int(a == 0), int(z == n)) for a, z, n in ends])
    config = np.zeros((3,) * ndim, np.uint8)
    config[(slice(1, None),) * ndim] = _CORNERS if ndim == 2 else np.stack([_CORNERS, 16 * _CORNERS])
    patterns = convolve(pixels.astype(np.uint8), config, mode="constant", cval=0)
    own = tuple(slice(int(a > 0), None if z == n else -1) for a, z, n in ends)
    return {"counts": np.bincount(patterns[own].ravel(), minlength=2 ** (2**ndim))}


def euler_of_counts(counts: Array, connectivity: int | None) -> Any:
    """Source: `skimage.measure.euler_number`, from the counts of patterns."""
    from skimage.measure import _regionprops_utils as source

    if counts.size == 16:
        return (source.EULER_COEFS2D_4 if connectivity == 1 else source.EULER_COEFS2D_8) @ counts
    coefficients = source.EULER_COEFS3D_26[::-1] if connectivity == 1 else source.EULER_COEFS3D_26
    return int(0.125 * coefficients @ counts)


def _check_euler(arguments: Arguments) -> None:
    ndim, connectivity = len(arguments["image"].shape), arguments["connectivity"]
    if connectivity is not None and (connectivity not in (1, ndim)):
        raise InputError(f"connectivity={connectivity} for an image of {ndim} axes; use 1 or {ndim}")


def crofton_of_counts(counts: Array, directions: int) -> Any:
    """Source: `skimage.measure.perimeter_crofton`, from the counts of patterns."""
    pi, slant = np.pi, np.sqrt(2)
    if directions == 2:
        half = pi / 2
        weights = [0, half, 0, 0, 0, half, 0, 0, half, pi, 0, 0, half, pi, 0, 0]
    else:
        one, side, both = pi / 4 * (1 + 1 / slant), pi / (4 * slant), pi / (2 * slant)
        weights = [0, one, side, both, 0, one, 0, side, pi / 4, pi / 2, side, side, pi / 4, pi / 2, 0, 0]
    return weights @ counts


_BORDERS = 50
"""Numbers that the patterns of a binary image's border may have."""


def border_counts(image: View, neighborhood: int, where: Where) -> Partial:
    """How often each pattern of 3 x 3 border pixels occurs, by its middle. Source: `skimage.measure.perimeter`."""
    from scipy.ndimage import binary_erosion, convolve
    from skimage.measure._regionprops_utils import STREL_4, STREL_8

    read = where.region.expand((2, 2), where.shape)
    pixels = image.read(read).astype(np.uint8)
    border = pixels - binary_erosion(pixels, STREL_4 if neighborhood == 4 else STREL_8, border_value=0)
    patterns = convolve(border, np.array([[10, 2, 10], [2, 1, 2], [10, 2, 10]]), mode="constant", cval=0)
    counts = np.bincount(patterns[where.region.within(read)].ravel(), minlength=_BORDERS)
    if counts.size > _BORDERS:
        raise InputError(
            "the perimeter is that of a binary image, this one has pixels above 1; compare it with 0 first"
        )
    return {"counts": counts}


def length_of_counts(counts: Array) -> Any:
    """Source: `skimage.measure.perimeter`, from the counts of patterns."""
    weights = np.zeros(_BORDERS)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = math.sqrt(2)
    weights[[13, 23]] = (1 + math.sqrt(2)) / 2
    return counts @ weights


def _counted(counts: str, value: str, counted: Sequence[str] = (), weighed: Sequence[str] = ()) -> Any:
    """Counts, and a figure found from them; which arguments go to which."""

    def expand(arguments: Arguments, build: Build) -> Any:
        given = {name: arguments[name] for name in counted}
        found = build(f"lepton.{counts}", image=arguments["image"], **given)
        return build(f"lepton.{value}", counts=found, **{name: arguments[name] for name in weighed})

    return expand


# ------------------------------------------------------------------------------------------------ blur


def _blur_terms(image: Array, blurred: Array, axis: int) -> tuple[Array, Array]:
    """Source: `skimage.measure.blur_effect`: how steep the image is along an axis, and how much steeper than blurred."""
    from skimage.filters import sobel

    least = np.spacing(np.float64(1))
    sharp, blur = (np.maximum(least, np.abs(sobel(each, axis=axis))) for each in (image, blurred))
    return sharp, np.maximum(0, sharp - blur)


def blur_of_sums(sharp: Any, steeper: Any) -> Any:
    return np.abs(sharp - steeper) / sharp


def greatest_blur(**blurs: Any) -> Any:
    return np.max(list(blurs.values()))


def _expand_blur(arguments: Arguments, build: Build) -> Any:
    image = arguments["image"]
    if _coloured(arguments):
        image = build("color.rgb2gray", rgb=image)
    image = build("util.img_as_float", image=image)
    axes = range(len(image.shape)) if arguments["reduce_func"] else [arguments["part"]]
    blurs = [_blur_along(image, axis, arguments["h_size"], build) for axis in axes]
    if not arguments["reduce_func"]:
        return blurs[0]
    return build("lepton.greatest_blur", **{f"blur{axis}": blur for axis, blur in enumerate(blurs)})


def _blur_along(image: Any, axis: int, size: int, build: Build) -> Any:
    blurred = build("ndimage.uniform_filter1d", input=image, size=size, axis=axis)
    terms = [build("lepton.blur_terms", image=image, blurred=blurred, axis=axis, part=part) for part in range(2)]
    crop = [(2, n - 1) for n in image.shape]
    sharp, steeper = (crop_sum(term, crop, str(term.dtype), build) for term in terms)
    return build("lepton.blur_of_sums", sharp=sharp, steeper=steeper)


def _check_blur(arguments: Arguments) -> None:
    if arguments["reduce_func"] not in (None, np.max):
        raise InputError("reduce_func other than numpy.max is not supported here; give None for the blur of each axis")
    if arguments["channel_axis"] not in (None, -1, _ndim(arguments) - 1):
        raise InputError("channels that are not the last axis are added up in another order; move them there first")
    shape = list(arguments["image"].shape[: _ndim(arguments) - _coloured(arguments)])
    if min(shape) <= 3:
        raise InputError(
            f"an image of {shape} pixels is too small to tell its blur; it needs more than 3 along each axis"
        )


def _coloured(arguments: Arguments) -> bool:
    return arguments["channel_axis"] is not None


def _ndim(arguments: Arguments) -> int:
    return len(arguments["image"].shape)


# ------------------------------------------------------------------------------------------------ moments


def moments_partial(
    image: Array, center: Sequence[float], order: int, spacing: Sequence[float], where: Where
) -> Partial:
    """The moments of a block's pixels about `center`, in float64."""
    from skimage.measure import moments_central

    shifted = [c - a * s for c, a, s in zip(center, where.region.start, spacing, strict=True)]
    return {"moments": moments_central(image.astype(np.float64), shifted, order, spacing=spacing)}


def merge_moments(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    total: Any = 0
    for _, partial in partials:
        total = total + partial["moments"]
    return np.asarray(total, _float(arguments))


def _float(arguments: Arguments) -> np.dtype[Any]:
    return np.dtype(np.float32 if np.dtype(arguments["image"].dtype) == np.float32 else np.float64)


def _moments(arguments: Arguments, build: Build, center: Any, order: int) -> Any:
    ndim, spacing = _ndim(arguments), arguments["spacing"]
    steps = [1.0 if spacing is None else float(spacing[axis]) for axis in range(ndim)]
    center = [float(c) for c in center]
    if len(center) != ndim:
        raise InputError(f"center={center} for an image of {ndim} axes; give one coordinate per axis")
    return build("lepton.moments", image=arguments["image"], center=center, order=int(order), spacing=steps)


def _expand_moments(arguments: Arguments, build: Build) -> Any:
    return _moments(arguments, build, (0.0,) * _ndim(arguments), arguments["order"])


def _expand_central(arguments: Arguments, build: Build) -> Any:
    if arguments["center"] is not None:
        return _moments(arguments, build, arguments["center"], arguments["order"])
    return build("lepton.central_of_raw", moments=_expand_moments(arguments, build))


def central_of_raw(moments: Array) -> Array:
    from skimage.measure._moments_analytical import moments_raw_to_central

    found: Array = moments_raw_to_central(moments)
    return found


def _expand_centroid(arguments: Arguments, build: Build) -> Any:
    moments = _moments(arguments, build, (0.0,) * _ndim(arguments), 1)
    return build("lepton.centroid_of_moments", moments=moments)


def centroid_of_moments(moments: Array) -> Array:
    """Source: `skimage.measure.centroid`, from the moments."""
    found: Array = moments[tuple(np.eye(moments.ndim, dtype=int))] / moments[(0,) * moments.ndim]
    return found


@dataclass(frozen=True)
class Seven(Whole):
    """Seven figures for the whole image."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return (7,)

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.slices]


_BLAS = "scikit-image leaves these sums of floats to BLAS, which adds them in an order of its own"


def _blas_promise(factor: int) -> Any:
    """Rounding grows with the lines that are added up; what may cancel out has no bound in units of the result."""

    def promise(arguments: Arguments) -> Promise:
        image = arguments["image"]
        return within(factor * (sum(image.shape) + 8), _BLAS) if image.dtype.kind in "bu" else approximate(_BLAS)

    return promise


# ------------------------------------------------------------------------------------------------ colocalization


def _binary(image: Array, name: str) -> Array:
    from skimage._shared.utils import as_binary_ndarray

    try:
        found: Array = as_binary_ndarray(image, variable_name=name)
    except ValueError as error:
        raise InputError(f"{error} Compare it with a threshold first.") from None
    return found


def overlap_counts(image0_mask: Array, image1_mask: Array, mask: Array | None) -> Partial:
    first, second = _binary(image0_mask, "image0_mask"), _binary(image1_mask, "image1_mask")
    if mask is not None:
        first = first & _binary(mask, "mask")
    return {"counts": np.array([np.count_nonzero(first), np.count_nonzero(first & second)])}


def overlap_of_counts(counts: Array) -> Any:
    """Source: `skimage.measure.intersection_coeff`, from the counts."""
    first, both = (int(count) for count in counts)
    return both / first if first else 0


def _expand_overlap(arguments: Arguments, build: Build) -> Any:
    given = {name: arguments[name] for name in ("image0_mask", "image1_mask", "mask")}
    return build("lepton.overlap_of_counts", counts=build("lepton.overlap_counts", **given))


def _as_binary(image: Array) -> Array:
    return _binary(image, "image1_mask")


def _expand_manders(arguments: Arguments, build: Build) -> Any:
    image = build("lepton.not_negative", image=arguments["image0"])
    inside = build("lepton.as_binary", image=arguments["image1_mask"])
    both = build("numpy.sum", a=build("numpy.multiply", x1=image, x2=inside))
    return build("lepton.share", part=both, total=build("numpy.sum", a=image))


def share(part: Any, total: Any) -> Any:
    """Source: `skimage.measure.manders_coloc_coeff`, from its sums."""
    return 0 if total == 0 else part / total


def _not_negative(image: Array) -> Array:
    if image.min() < 0:
        raise InputError(f"the image has pixels down to {image.min()}; a coefficient of amounts wants none below 0")
    return image


def _expand_manders_overlap(arguments: Arguments, build: Build) -> Any:
    images = [build("lepton.not_negative", image=arguments[name]) for name in ("image0", "image1")]
    squares = [build("numpy.sum", a=build("numpy.square", x=image)) for image in images]
    both = build("numpy.sum", a=build("numpy.multiply", x1=images[0], x2=images[1]))
    return build("lepton.overlap", both=both, square0=squares[0], square1=squares[1])


def overlap(both: Any, square0: Any, square1: Any) -> Any:
    """Source: `skimage.measure.manders_overlap_coeff`, from its sums."""
    return both / (square0 * square1) ** 0.5


def _ratio_dtype(name: str) -> Any:
    return lambda arguments: ((), np.true_divide(*np.ones(2, arguments[name].dtype)).dtype)


def product_sums(image0: Array, image1: Array, mask: Array | None, means: Array | None) -> Partial:
    """Count, sums, and sums of squares and products of both images, less their means."""
    x, y = (image.ravel() if mask is None else image[_binary(mask, "mask")] for image in (image0, image1))
    x, y = x.astype(np.float64), y.astype(np.float64)
    if means is not None:
        x, y = x - means[0], y - means[1]
    return {"counts": np.array([x.size, x.sum(), y.sum(), x @ x, y @ y, x @ y])}


def merge_product_sums(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    total: Any = 0.0
    for _, partial in partials:
        total = total + partial["counts"]
    return np.asarray(total)


def two_means(sums: Array) -> Array:
    found: Array = sums[1:3] / sums[0]
    return found


def correlation(sums: Array) -> Array:
    """Pearson's coefficient and its p-value, from the sums about the means. Source: `scipy.stats.pearsonr`."""
    from scipy.stats import beta

    coefficient = np.clip(sums[5] / np.sqrt(sums[3] * sums[4]), -1.0, 1.0)
    if sums[0] == 2:
        return np.array([np.round(coefficient), 1.0])
    shape = sums[0] / 2 - 1
    return np.array([coefficient, 2 * beta.sf(abs(coefficient), shape, shape, loc=-1, scale=2)])


def _expand_correlation(arguments: Arguments, build: Build) -> Any:
    given = {name: arguments[name] for name in ("image0", "image1", "mask")}
    means = build("lepton.two_means", sums=build("lepton.product_sums", **given, means=None))
    sums = build("lepton.product_sums", **given, means=means)
    return build("lepton.item", values=build("lepton.correlation", sums=sums), index=arguments["part"])


def _check_shapes(arguments: Arguments) -> None:
    shapes = {name: tuple(value.shape) for name, value in arguments.items() if hasattr(value, "gives")}
    if len(set(shapes.values())) > 1:
        raise InputError(f"images of shapes {shapes} do not match; all images need the same shape")


def _no_mask(arguments: Arguments) -> None:
    _check_shapes(arguments)
    if arguments["mask"] is not None:
        raise InputError(
            "mask is not supported here: it changes the order of the sums; give 0 outside it to both images"
        )


# ------------------------------------------------------------------------------------------------ entries


def _composite(name: str, expand: Any, **options: Any) -> Composite:
    return Composite(name=f"measure.{name}", source=f"skimage.measure.{name}", expand=expand, gives="", **options)


def _value(dtype: Any = np.float64, *shape: int) -> Any:
    return lambda arguments: (shape, np.dtype(dtype))


def _same_dtype(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return tuple(arguments["moments"].shape), arguments["moments"].dtype


_POINTS = "it works on points or polygons, not on an image"
_REFUSED = [
    ("find_contours", "a contour is one line through many blocks", "skimage.measure.find_contours on a crop"),
    ("marching_cubes", "its result is one mesh of points and faces", "skimage.measure.marching_cubes on a crop"),
    ("mesh_surface_area", _POINTS, "skimage.measure.mesh_surface_area itself"),
    ("profile_line", "a line of pixels lies in few blocks", "skimage.measure.profile_line on a crop, image[a:b, c:d]"),
    ("approximate_polygon", _POINTS, "skimage.measure.approximate_polygon itself"),
    ("subdivide_polygon", _POINTS, "skimage.measure.subdivide_polygon itself"),
    ("points_in_poly", _POINTS, "skimage.measure.points_in_poly itself"),
    ("grid_points_in_poly", _POINTS, "skimage.measure.grid_points_in_poly itself"),
    ("moments_coords", _POINTS, "skimage.measure.moments_coords itself"),
    ("moments_coords_central", _POINTS, "skimage.measure.moments_coords_central itself"),
    ("ransac", _POINTS, "skimage.measure.ransac itself"),
    ("inertia_tensor", "its sums are left to BLAS and then cancel out", "measure.moments_central"),
    ("inertia_tensor_eigvals", "its sums are left to BLAS and then cancel out", "measure.moments_central"),
]


def _parts() -> list[Entry]:
    here = "lepton_celery.catalogue.measure.counts"
    pair = ("image0", "image1", "mask")
    return [
        Reduction(
            name="lepton.value_counts",
            source=f"{here}.value_counts",
            partial=value_counts,
            merge=merge_value_counts,
            result=_value(np.int64, -1),
            cost_ns=60.0,
        ),
        value_function(entropy, ("counts",), _value()),
        *[
            Reduction(
                name=f"lepton.{function.__name__}",
                source=f"{here}.{function.__name__}",
                partial=function,
                merge=merge_counts,
                result=_value(np.int64, -1),
                reads_itself=True,
                cost_ns=cost,
            )
            for function, cost in ((corner_counts, 30.0), (border_counts, 50.0))
        ],
        value_function(euler_of_counts, ("counts",), _value(np.int64)),
        value_function(crofton_of_counts, ("counts",), _value()),
        value_function(length_of_counts, ("counts",), _value()),
        Local(
            name="lepton.blur_terms",
            source=f"{here}._blur_terms",
            images=("image", "blurred"),
            dtype_kinds="f",
            returns=2,
            geometry=Stencil(lambda arguments: 1),
            cost_ns=70.0,
        ),
        value_function(blur_of_sums, ("sharp", "steeper"), lambda arguments: ((), arguments["sharp"].dtype)),
        value_function(greatest_blur, (), lambda arguments: ((), arguments["blur0"].dtype)),
        Reduction(
            name="lepton.moments",
            source=f"{here}.moments_partial",
            partial=moments_partial,
            merge=merge_moments,
            result=lambda arguments: ((arguments["order"] + 1,) * _ndim(arguments), _float(arguments)),
            wants_where=True,
            cost_ns=10.0,
        ),
        value_function(central_of_raw, ("moments",), _same_dtype),
        value_function(centroid_of_moments, ("moments",), lambda a: ((len(a["moments"].shape),), a["moments"].dtype)),
        Reduction(
            name="lepton.overlap_counts",
            source=f"{here}.overlap_counts",
            images=("image0_mask", "image1_mask", "mask"),
            partial=overlap_counts,
            merge=merge_counts,
            result=_value(np.int64, 2),
            cost_ns=2.0,
        ),
        value_function(overlap_of_counts, ("counts",), _value()),
        Local(name="lepton.not_negative", source=f"{here}._not_negative", cost_ns=1.0),
        Local(name="lepton.as_binary", source=f"{here}._as_binary", dtype=lambda a: np.dtype(bool), cost_ns=2.0),
        value_function(share, ("part", "total"), _ratio_dtype("total")),
        value_function(overlap, ("both", "square0", "square1"), _ratio_dtype("both")),
        Reduction(
            name="lepton.product_sums",
            source=f"{here}.product_sums",
            images=pair,
            values=("means",),
            partial=product_sums,
            merge=merge_product_sums,
            result=_value(np.float64, 6),
            cost_ns=8.0,
        ),
        value_function(two_means, ("sums",), _value(np.float64, 2)),
        value_function(correlation, ("sums",), _value(np.float64, 2)),
    ]


def entries() -> list[Entry]:
    """Figures of images."""
    pair = ("image0", "image1", "mask")
    return [
        *_parts(),
        _composite("shannon_entropy", _expand_entropy),
        _composite(
            "euler_number",
            _counted("corner_counts", "euler_of_counts", weighed=("connectivity",)),
            check=_check_euler,
            ndims=(2, 3),
        ),
        _composite(
            "perimeter_crofton", _counted("corner_counts", "crofton_of_counts", weighed=("directions",)), ndims=(2,)
        ),
        _composite("perimeter", _counted("border_counts", "length_of_counts", counted=("neighborhood",)), ndims=(2,)),
        _composite(
            "blur_effect",
            _expand_blur,
            check=_check_blur,
            returns=lambda arguments: 0 if arguments["reduce_func"] else _ndim(arguments) - _coloured(arguments),
        ),
        _composite("moments", _expand_moments, promise=_blas_promise(1)),
        _composite("centroid", _expand_centroid, promise=_blas_promise(2)),
        _composite("moments_central", _expand_central, promise=approximate(_BLAS)),
        *[
            Local(
                name=f"measure.{name}",
                source=f"skimage.measure.{name}",
                images=(image,),
                values=(image,),
                dtype_kinds="f",
                geometry=geometry,
            )
            for name, image, geometry in (("moments_normalized", "mu", Whole()), ("moments_hu", "nu", Seven()))
        ],
        _composite(
            "intersection_coeff", _expand_overlap, images=("image0_mask", "image1_mask", "mask"), check=_check_shapes
        ),
        _composite("manders_coloc_coeff", _expand_manders, images=("image0", "image1_mask", "mask"), check=_no_mask),
        _composite("manders_overlap_coeff", _expand_manders_overlap, images=pair, check=_no_mask),
        _composite(
            "pearson_corr_coeff",
            _expand_correlation,
            images=pair,
            check=_check_shapes,
            returns=2,
            promise=approximate(_BLAS),
        ),
        *[
            Refused(name=f"measure.{name}", source=f"skimage.measure.{name}", images=(), reason=reason, instead=instead)
            for name, reason, instead in _REFUSED
        ],
    ]
