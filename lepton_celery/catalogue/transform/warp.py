"""`skimage.transform`: `warp`, `rotate`, `swirl` and `warp_polar`.

scikit-image warps by its own Cython routine if it is given a matrix and order 1 or 3 (`warp_matrix`), and otherwise by
`scipy.ndimage.map_coordinates`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes, View, Where
from lepton_celery.catalogue.declare import declare, whole
from lepton_celery.catalogue.entries import Build, Composite, Local, resolve
from lepton_celery.catalogue.results import dtype_of, given_dtype
from lepton_celery.catalogue.transform.interpolate import (
    WarpOptions,
    as_float,
    clipped,
    coefficients,
    in_range,
    interpolated,
    ndimage_mode,
    slabs,
    span,
    spline_order,
)
from lepton_celery.catalogue.transform.resize import Reshaped, channels_last
from lepton_celery.catalogue.transform.warp_matrix import has_one_sign, is_affine
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

# ------------------------------------------------------------------------------------------------ by a function


def homography(points: Array, matrix: Array) -> Array:
    """The points, mapped by the homography with this matrix."""
    from skimage.transform import ProjectiveTransform

    mapped: Array = ProjectiveTransform(matrix=matrix)(points)
    return mapped


_MAPPINGS = {
    "matrix": f"{__name__}.homography",
    "swirl": "skimage.transform._warps._swirl_mapping",
    "linear": "skimage.transform._warps._linear_polar_mapping",
    "log": "skimage.transform._warps._log_polar_mapping",
}
"""Functions that map coordinates of the result to coordinates of the image."""

Mapped = tuple[str, Sequence[tuple[str, Any]]]
"""One of `_MAPPINGS`, and its parameters."""
Spline = tuple[int, str, float, int]
"""Order, mode and `cval` of the interpolation, and the width of the image's padding in pixels."""


class Scattered:
    """Pixels may come from anywhere in the image; `reads` gives a region as large as the block, for cost and memory."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(arguments["shape"])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        return [Region.whole([min(n, size) for n, size in zip(images[0], region.shape, strict=True)])]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@declare(Local("lepton.warp_by_function", geometry=Scattered(), reads_itself=True, dtype=given_dtype, cost_ns=100.0))
def warp_by_function(
    image: View, mapping: Mapped, shape: Sequence[int], spline: Spline, dtype: str, where: Where
) -> Array:
    """`where.region` of the warped image, as in `skimage.transform.warp`."""
    region, (order, mode, cval, pad) = where.region, spline
    result = np.empty(region.shape, dtype)
    for rows in slabs(result.shape):
        column, row = _mapped(mapping, region, rows, alone=shape[0] * shape[1] == 1)
        coordinates = [row, column]
        if len(shape) == 3:
            coordinates = [row[..., np.newaxis], column[..., np.newaxis]]
            coordinates.append(np.arange(region.start[2], region.stop[2], dtype=np.float64)[np.newaxis, np.newaxis])
        coordinates = [along + pad for along in coordinates]
        ends = [
            span(float(along.min()), float(along.max()), n, order, mode)
            for along, n in zip(coordinates, image.shape, strict=True)
        ]
        pixels = image.read(Region(*zip(*ends, strict=True)))
        local = [along - start for along, (start, _) in zip(coordinates, ends, strict=True)]
        result[rows] = interpolated(pixels, local, order, mode, cval, dtype)
    return result


def _mapped(mapping: Mapped, region: Region, rows: slice, alone: bool) -> Array:
    """Columns and rows of the image from which these rows of a region come; shape `(2, rows, columns)`."""
    name, options = mapping
    height, width = rows.stop - rows.start, region.shape[1]
    # the memory layout is that of `warp_coords`, since the order of a function's operations may depend on it
    points = np.indices((width, height), dtype=np.float64).reshape(2, -1).T
    points += (region.start[1], region.start[0] + rows.start)
    if len(points) == 1 and not alone:  # BLAS has another routine for a single point
        points = np.repeat(points, 2, axis=0)
    mapped: Array = resolve(_MAPPINGS[name])(points, **dict(options))[: height * width]
    return mapped.T.reshape(2, width, height).swapaxes(1, 2)


# ------------------------------------------------------------------------------------------------ composites


def _warped(
    image: Lazy,
    mapping: str,
    parameters: Mapping[str, Any],
    output_shape: Any,
    options: WarpOptions,
    build: Build,
) -> Lazy:
    """The node of `skimage.transform.warp` by one of `_MAPPINGS`."""
    given = tuple(image.shape[:2] if output_shape is None else output_shape)
    lengths = tuple(int(n) for n in given[:2])
    if (
        given != (*lengths, *given[2:])
        or given[2:] not in ((), image.shape[2:])
        or len(lengths) < 2
        or min(lengths) < 1
    ):
        raise InputError(f"output_shape {output_shape} for an image of shape {image.shape}; give rows and columns")
    ndi_mode, order = ndimage_mode(options.mode), spline_order(options.order, image.dtype)
    source = as_float(image, options.preserve_range, build) if order else image
    if mapping == "matrix" and order in (1, 3):
        result = _by_matrix(source, parameters["matrix"], lengths, order, options, build)
    else:
        pixels, pad = coefficients(source, order, ndi_mode, options.cval, build)
        result = build(
            "lepton.warp_by_function",
            image=pixels,
            mapping=(mapping, tuple(parameters.items())),
            shape=(*lengths, *image.shape[2:]),
            spline=(order, ndi_mode, options.cval, pad),
            dtype=source.dtype.name,
        )
    if not options.clip or (order == 0 and in_range(image.dtype, options.mode, options.cval)):
        return result
    return clipped(result, source, options.mode, options.cval, build)


def _by_matrix(
    image: Lazy, matrix: Array, lengths: tuple[int, ...], order: int, options: WarpOptions, build: Build
) -> Lazy:
    matrix = matrix.astype(image.dtype)
    how = {"order": order, "mode": options.mode, "cval": options.cval}
    if is_affine(matrix) or has_one_sign(matrix, lengths):
        return build("lepton.warp_by_matrix", image=image, matrix=matrix, shape=lengths, **how)
    # the horizon lies in the result, and pixels near it come from arbitrarily distant coordinates
    return build("lepton.warp_whole", image=image, inverse_map=matrix, output_shape=lengths, **how)


@declare(
    whole(
        "lepton.warp_whole",
        Reshaped(lambda arguments: (*arguments["output_shape"], *arguments["image"].shape[2:])),
        dtype=dtype_of("image"),
        cost_ns=60.0,
    )
)
def warp_whole(image: Array, inverse_map: Array, output_shape: Any, order: int, mode: str, cval: float) -> Array:
    """`skimage.transform.warp` of the whole image."""
    from skimage.transform import warp

    result: Array = warp(image, inverse_map, None, output_shape, order, mode, cval, clip=False, preserve_range=True)
    return result


def _matrix_of(inverse_map: Any) -> Array:
    """The matrix of a homography that is given as a matrix or as a transform of scikit-image."""
    params = inverse_map if isinstance(inverse_map, np.ndarray) else getattr(inverse_map, "params", None)
    if not isinstance(params, np.ndarray) or params.shape != (3, 3) or params.dtype.kind not in "iuf":
        raise InputError(
            f"inverse_map {type(inverse_map).__name__} is not supported here; give a matrix of shape (3, 3), or an "
            "AffineTransform or ProjectiveTransform; for functions and arrays of coordinates compute on the whole image"
        )
    return params.astype(np.float64)


_SHEAR = np.array([[0.9, 0.2, 1.5], [-0.1, 1.1, 2.25], [0, 0, 1]])


@declare(Composite("transform.warp", ndims=(2, 3), gives="image", example={"inverse_map": _SHEAR}))
def _expand_warp(arguments: Arguments, build: Build) -> Lazy:
    if arguments["map_args"]:
        raise InputError("map_args are for functions, which are not supported here; give a matrix of shape (3, 3)")
    parameters = {"matrix": _matrix_of(arguments["inverse_map"])}
    options = WarpOptions.of(arguments)
    return _warped(arguments["image"], "matrix", parameters, arguments["output_shape"], options, build)


@declare(Composite("transform.rotate", ndims=(2, 3), gives="image", example={"angle": 30}))
def _expand_rotate(arguments: Arguments, build: Build) -> Lazy:
    """The matrix is computed as in `skimage.transform.rotate`."""
    from skimage.transform import SimilarityTransform

    image, center = arguments["image"], arguments["center"]
    rows, columns = image.shape[:2]
    middle = np.array((columns, rows)) / 2.0 - 0.5 if center is None else np.asarray(center)
    to_middle, from_middle = SimilarityTransform(translation=-middle), SimilarityTransform(translation=middle)
    turn = to_middle + SimilarityTransform(rotation=np.deg2rad(arguments["angle"])) + from_middle
    output_shape = None
    if arguments["resize"]:
        corners = turn.inverse(np.array([[0, 0], [0, rows - 1], [columns - 1, rows - 1], [columns - 1, 0]]))
        least, most = corners.min(axis=0), corners.max(axis=0)
        output_shape = tuple(int(n) for n in np.around((most - least + 1)[::-1]))
        turn = SimilarityTransform(translation=tuple(least)) + turn
    matrix = turn.params.copy()
    matrix[2] = (0, 0, 1)
    return _warped(image, "matrix", {"matrix": matrix}, output_shape, WarpOptions.of(arguments), build)


@declare(Composite("transform.swirl", ndims=(2, 3), gives="image"))
def _expand_swirl(arguments: Arguments, build: Build) -> Lazy:
    image, center = arguments["image"], arguments["center"]
    middle = np.array(image.shape)[:2][::-1] / 2 if center is None else np.asarray(center)
    parameters = {"center": middle, **{name: arguments[name] for name in ("rotation", "strength", "radius")}}
    return _warped(image, "swirl", parameters, arguments["output_shape"], WarpOptions.of(arguments), build)


@declare(Composite("transform.warp_polar", ndims=(2,), gives="image"))
def _expand_polar(arguments: Arguments, build: Build) -> Lazy:
    channel_axis, scaling, radius = (arguments[name] for name in ("channel_axis", "scaling", "radius"))
    known = {*WarpOptions.__dataclass_fields__, "image", "center", "radius", "output_shape", "scaling", "channel_axis"}
    unknown = sorted(set(arguments) - known)
    if scaling not in ("linear", "log"):
        raise InputError(f"scaling={scaling!r} is not known; give 'linear' or 'log'")
    if unknown:
        raise InputError(f"{', '.join(unknown)} is no parameter of warp_polar or warp; leave it out")

    def unrolled(image: Lazy) -> Lazy:
        center = arguments["center"]
        middle = np.array(image.shape)[:2] / 2 - 0.5 if center is None else np.asarray(center)
        wide, high = np.array(image.shape)[:2] / 2
        reach = np.sqrt(wide**2 + high**2) if radius is None else radius
        shape = arguments["output_shape"]
        height, width = (360, int(np.ceil(reach))) if shape is None else (int(n) for n in shape[:2])
        parameters = {
            "k_angle": height / (2 * np.pi),
            "k_radius": width / (reach if scaling == "linear" else np.log(reach)),
            "center": middle,
        }
        return _warped(image, scaling, parameters, (height, width), WarpOptions.of(arguments), build)

    return channels_last(arguments["image"], channel_axis, unrolled, build)
