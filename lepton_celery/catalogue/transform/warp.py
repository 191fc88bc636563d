"""`skimage.transform`: images turned, bent and unrolled.

scikit-image warps in two ways, and so do the parts here: orders 1 and 3 with a matrix go through its own Cython routine,
everything else through `scipy.ndimage.map_coordinates`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, View, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, resolve
from lepton_celery.catalogue.shared.halos import whole
from lepton_celery.catalogue.transform.interpolate import (
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
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

# ------------------------------------------------------------------------------------------------ by a matrix


def _matrix_places(matrix: Array, rows: Array, columns: Array) -> tuple[Array, Array]:
    """Where pixels come from: their rows and columns, by the operations of `skimage.transform._warps_cy`.

    They are in the dtype of the matrix, which is that of the image.
    """
    h, x, y = matrix.ravel(), columns.astype(matrix.dtype), rows.astype(matrix.dtype)
    column, row = h[0] * x + h[1] * y + h[2], h[3] * x + h[4] * y + h[5]
    if _is_affine(matrix):
        return row, column
    depth = h[6] * x + h[7] * y + h[8]
    return row / depth, column / depth


def _is_affine(matrix: Array) -> bool:
    return bool((matrix[2] == [0, 0, 1]).all())


def _depths(matrix: Array, rows: Array, columns: Array) -> Array:
    """What a homography divides by."""
    h = matrix.ravel()
    depth: Array = h[6] * columns.astype(matrix.dtype) + h[7] * rows.astype(matrix.dtype) + h[8]
    return depth


def _corners(start: Sequence[int], stop: Sequence[int]) -> tuple[Array, Array]:
    rows, columns = (np.array([a, z - 1]) for a, z in zip(start[:2], stop[:2], strict=True))
    return rows[:, np.newaxis], columns[np.newaxis]


_REACH = {1: (0, 1), 3: (1, 2)}
"""Pixels before and behind the one that a place lies in."""


@dataclass(frozen=True)
class Warped:
    """Places follow from `arguments["matrix"]`, so a block of the result comes from a quadrilateral."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return (*arguments["shape"], *images[0][2:])

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        matrix = arguments["matrix"]
        places = _matrix_places(matrix, *_corners(region.start, region.stop))
        before, behind = _REACH[arguments["order"]]
        ends = []
        for place, n in zip(places, images[0][:2], strict=True):
            low, high = float(place.min()), float(place.max())
            # the corners of an affine map are the farthest to the last bit; rounding may push a quotient farther
            slack = 0 if _is_affine(matrix) else 1 + 16 * np.finfo(matrix.dtype).eps * max(abs(low), abs(high))
            inside = math.isfinite(low) and math.isfinite(high) and high - low < 2 * n
            first, last = (
                (math.floor(low - slack) - before, math.floor(high + slack) + behind) if inside else (0, n - 1)
            )
            used = _folded(np.arange(first, last + 1), n, arguments["mode"])
            used = np.clip(used, 0, n - 1)
            ends.append((int(used.min()), int(used.max()) + 1))
        ends += list(zip(region.start[2:], region.stop[2:], strict=True))
        return [Region(*zip(*ends, strict=True))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def _folded(at: Array, n: int, mode: str) -> Array:
    """The pixels that those outside an axis of `n` stand for. Source: `coord_map` in `skimage/_shared/interpolation.pxd`."""
    folded = at
    if mode == "edge":
        folded = np.clip(at, 0, n - 1)
    elif mode == "wrap":
        folded = at % n
    elif mode == "symmetric":
        at = np.where(at < 0, -at - 1, at)
        folded = np.where(at // n % 2, n - 1 - at % n, at % n)
    elif mode == "reflect":
        at, last = np.abs(at), max(n - 1, 1)
        folded = np.where(at // last % 2, last - at % last, at % last) if n > 1 else np.zeros_like(at)
    return folded


def warp_by_matrix(
    image: Array, matrix: Array, shape: Sequence[int], order: int, mode: str, cval: float, where: Where
) -> Array:
    """`where.result` of the warped image. Source: `skimage.transform._warps_cy._warp_fast`."""
    assert where.result is not None
    (top, left), (bottom, right) = where.result.start[:2], where.result.stop[:2]
    result = np.empty((bottom - top, right - left, *image.shape[2:]), image.dtype)
    columns = np.arange(left, right)[np.newaxis]
    origin, size = where.region.start[:2], where.shape[:2]
    outside = image.dtype.type(cval)

    def pixels(row: Array, column: Array) -> Array:
        folded = [_folded(at, n, mode) for at, n in zip((row, column), size, strict=True)]
        local = [np.clip(at - o, 0, n - 1) for at, o, n in zip(folded, origin, image.shape[:2], strict=True)]
        found: Array = image[local[0], local[1]]
        if mode == "constant":
            found[(row < 0) | (row >= size[0]) | (column < 0) | (column >= size[1])] = outside
        return found

    for rows in slabs(result.shape):
        some = np.arange(top + rows.start, top + rows.stop)[:, np.newaxis]
        row, column = np.broadcast_arrays(*_matrix_places(matrix, some, columns))
        result[rows] = (_bilinear if order == 1 else _bicubic)(pixels, row, column, image.ndim - 2)
    return result


Pixels = Callable[[Array, Array], Array]


def _bilinear(pixels: Pixels, row: Array, column: Array, channels: int) -> Array:
    """Source: `bilinear_interpolation` in `skimage/_shared/interpolation.pxd`, compiled: float32 for what is multiplied by
    the distance from the first pixel, float64 for all else."""
    (above, left), (below, right) = (np.floor(row), np.floor(column)), (np.ceil(row), np.ceil(column))
    dr, dc = (_with_channels(place - first, channels) for place, first in ((row, above), (column, left)))
    top, bottom = (
        (1 - dc.astype(np.float64)) * pixels(_whole(at), _whole(left)) + dc * pixels(_whole(at), _whole(right))
        for at in (above, below)
    )
    found: Array = (1 - dr.astype(np.float64)) * top + dr * bottom
    return found


def _bicubic(pixels: Pixels, row: Array, column: Array, channels: int) -> Array:
    """Source: `bicubic_interpolation` in `skimage/_shared/interpolation.pxd`."""
    above, left = np.floor(row), np.floor(column)
    dr, dc = (_with_channels(place - first, channels) for place, first in ((row, above), (column, left)))
    rows, columns = ([_whole(first) + step for step in (-1, 0, 1, 2)] for first in (above, left))
    return _cubic(dr, [_cubic(dc, [pixels(r, c) for c in columns]) for r in rows])


def _cubic(x: Array, f: Sequence[Array]) -> Array:
    half, two, three, four, five = (x.dtype.type(n) for n in (0.5, 2, 3, 4, 5))
    found: Array = f[1] + half * x * (
        f[2] - f[0] + x * (two * f[0] - five * f[1] + four * f[2] - f[3] + x * (three * (f[1] - f[2]) + f[3] - f[0]))
    )
    return found


def _whole(places: Array) -> Array:
    return places.astype(np.int64)


def _with_channels(weights: Array, channels: int) -> Array:
    return weights.reshape(*weights.shape, *(1,) * channels)


# ------------------------------------------------------------------------------------------------ by a function


def _homography(points: Array, matrix: Array) -> Array:
    from skimage.transform import ProjectiveTransform

    found: Array = ProjectiveTransform(matrix=matrix)(points)
    return found


_MAPPINGS = {
    "matrix": "lepton_celery.catalogue.transform.warp._homography",
    "swirl": "skimage.transform._warps._swirl_mapping",
    "linear": "skimage.transform._warps._linear_polar_mapping",
    "log": "skimage.transform._warps._log_polar_mapping",
}
"""The functions that say where pixels come from; those of scikit-image are its own."""


@dataclass(frozen=True)
class Scattered:
    """The pixels of a block come from anywhere; the region is one of as many pixels."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return tuple(arguments["shape"])

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        return [Region.whole([min(n, size) for n, size in zip(images[0], region.shape, strict=True)])]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def warp_by_function(
    image: View,
    mapping: str,
    options: Sequence[tuple[str, Any]],
    shape: Sequence[int],
    order: int,
    mode: str,
    cval: float,
    pad: int,
    dtype: str,
    where: Where,
) -> Array:
    """`where.region` of the warped image, which is padded with `pad` pixels. Source: `skimage.transform.warp`."""
    region = where.region
    result = np.empty(region.shape, dtype)
    alone = shape[0] * shape[1] == 1
    for rows in slabs(result.shape):
        height, width = rows.stop - rows.start, result.shape[1]
        # laid out in memory as `warp_coords` has it, for functions may go through other layouts in another way
        points = np.indices((width, height), dtype=np.float64).reshape(2, -1).T
        points += (region.start[1], region.start[0] + rows.start)
        if len(points) == 1 and not alone:  # BLAS has another routine for one point
            points = np.repeat(points, 2, axis=0)
        found = resolve(_MAPPINGS[mapping])(points, **dict(options))[: height * width]
        column, row = found.T.reshape(2, width, height).swapaxes(1, 2)
        places = [row, column]
        if len(shape) == 3:
            places = [row[..., np.newaxis], column[..., np.newaxis]]
            places.append(np.arange(region.start[2], region.stop[2], dtype=np.float64)[np.newaxis, np.newaxis])
        places = [place + pad for place in places]
        ends = [
            span(float(place.min()), float(place.max()), n, order, mode)
            for place, n in zip(places, image.shape, strict=True)
        ]
        pixels = image.read(Region(*zip(*ends, strict=True)))
        local = [place - start for place, (start, _) in zip(places, ends, strict=True)]
        result[rows] = interpolated(pixels, local, order, mode, cval, dtype)
    return result


# ------------------------------------------------------------------------------------------------ composites

_HOW = ("order", "mode", "cval", "clip", "preserve_range")
_DEFAULTS: Mapping[str, Any] = {"order": None, "mode": "constant", "cval": 0, "clip": True, "preserve_range": False}


def _warped(
    image: Any,
    mapping: str,
    options: Mapping[str, Any],
    output_shape: Any,
    build: Build,
    *,
    order: int | None,
    mode: str,
    cval: float,
    clip: bool,
    preserve_range: bool,
) -> Any:
    """The node that stands for `skimage.transform.warp` by one of the known mappings."""
    given = tuple(image.shape[:2] if output_shape is None else output_shape)
    lengths = tuple(int(n) for n in given[:2])
    if (
        given != (*lengths, *given[2:])
        or given[2:] not in ((), image.shape[2:])
        or len(lengths) < 2
        or min(lengths) < 1
    ):
        raise InputError(f"output_shape {output_shape} for an image of shape {image.shape}; give rows and columns")
    ndi_mode, order = ndimage_mode(mode), spline_order(order, image.dtype)
    source = as_float(image, preserve_range, build) if order else image
    if mapping == "matrix" and order in (1, 3):
        found = _by_matrix(source, options["matrix"], lengths, order, mode, cval, build)
    else:
        pixels, pad = coefficients(source, order, ndi_mode, cval, build)
        found = build(
            "lepton.warp_by_function",
            image=pixels,
            mapping=mapping,
            options=tuple(options.items()),
            shape=(*lengths, *image.shape[2:]),
            order=order,
            mode=ndi_mode,
            cval=cval,
            pad=pad,
            dtype=source.dtype.name,
        )
    if not clip or (order == 0 and in_range(image.dtype, mode, cval)):
        return found
    return clipped(found, source, mode, cval, build)


def _by_matrix(
    image: Any, matrix: Array, lengths: tuple[int, ...], order: int, mode: str, cval: float, build: Build
) -> Any:
    matrix = matrix.astype(image.dtype)
    depths = _depths(matrix, *_corners((0, 0), lengths))
    if _is_affine(matrix) or (depths > 0).all() or (depths < 0).all():
        how = {"matrix": matrix, "shape": lengths, "order": order, "mode": mode, "cval": cval}
        return build("lepton.warp_by_matrix", image=image, **how)
    # the horizon lies in the result: places near it are anywhere in the image, and beyond
    return build(
        "lepton.warp_whole", image=image, inverse_map=matrix, output_shape=lengths, order=order, mode=mode, cval=cval
    )


def _warp_whole(image: Array, inverse_map: Array, output_shape: Any, order: int, mode: str, cval: float) -> Array:
    from skimage.transform import warp

    found: Array = warp(image, inverse_map, None, output_shape, order, mode, cval, clip=False, preserve_range=True)
    return found


def _matrix_of(inverse_map: Any) -> Array:
    """The matrix of a homography, given as such or as a transform of scikit-image."""
    params = inverse_map if isinstance(inverse_map, np.ndarray) else getattr(inverse_map, "params", None)
    if not isinstance(params, np.ndarray) or params.shape != (3, 3) or params.dtype.kind not in "iuf":
        raise InputError(
            f"inverse_map {type(inverse_map).__name__} is not supported here; give a matrix of shape (3, 3), or an "
            "AffineTransform or ProjectiveTransform; for functions and arrays of coordinates compute on the whole image"
        )
    return params.astype(np.float64)


def _expand_warp(arguments: Arguments, build: Build) -> Any:
    if arguments["map_args"]:
        raise InputError("map_args are for functions, which are not supported here; give a matrix of shape (3, 3)")
    options = {"matrix": _matrix_of(arguments["inverse_map"])}
    return _warped(arguments["image"], "matrix", options, arguments["output_shape"], build, **_how(arguments))


def _how(arguments: Arguments) -> dict[str, Any]:
    return {name: arguments.get(name, default) for name, default in _DEFAULTS.items()}


def _expand_rotate(arguments: Arguments, build: Build) -> Any:
    """The matrix is found as `skimage.transform.rotate` finds it."""
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
    return _warped(image, "matrix", {"matrix": matrix}, output_shape, build, **_how(arguments))


def _expand_swirl(arguments: Arguments, build: Build) -> Any:
    image, center = arguments["image"], arguments["center"]
    middle = np.array(image.shape)[:2][::-1] / 2 if center is None else np.asarray(center)
    options = {"center": middle, **{name: arguments[name] for name in ("rotation", "strength", "radius")}}
    return _warped(image, "swirl", options, arguments["output_shape"], build, **_how(arguments))


def _expand_polar(arguments: Arguments, build: Build) -> Any:
    channel_axis, scaling, radius = (arguments[name] for name in ("channel_axis", "scaling", "radius"))
    unknown = sorted(set(arguments) - {*_HOW, "image", "center", "radius", "output_shape", "scaling", "channel_axis"})
    if scaling not in ("linear", "log") or unknown:
        raise InputError(
            f"scaling {scaling!r}, {', '.join(unknown)}; give scaling 'linear' or 'log', and options of warp"
        )

    def unrolled(image: Any) -> Any:
        center = arguments["center"]
        middle = np.array(image.shape)[:2] / 2 - 0.5 if center is None else np.asarray(center)
        wide, high = np.array(image.shape)[:2] / 2
        reach = np.sqrt(wide**2 + high**2) if radius is None else radius
        shape = arguments["output_shape"]
        height, width = (360, int(np.ceil(reach))) if shape is None else (int(n) for n in shape[:2])
        options = {
            "k_angle": height / (2 * np.pi),
            "k_radius": width / (reach if scaling == "linear" else np.log(reach)),
            "center": middle,
        }
        return _warped(image, scaling, options, (height, width), build, **_how(arguments))

    return channels_last(arguments["image"], channel_axis, unrolled, build)


def _composite(name: str, expand: Callable[[Arguments, Build], Any], **options: Any) -> Composite:
    options.setdefault("ndims", (2, 3))
    return Composite(
        name=f"transform.{name}", source=f"skimage.transform.{name}", expand=expand, gives="image", **options
    )


def entries() -> list[Entry]:
    """Warps."""
    here = "lepton_celery.catalogue.transform.warp"
    shear = np.array([[0.9, 0.2, 1.5], [-0.1, 1.1, 2.25], [0, 0, 1]])
    return [
        _composite("warp", _expand_warp, example={"inverse_map": shear}),
        _composite("rotate", _expand_rotate, example={"angle": 30}),
        _composite("swirl", _expand_swirl),
        _composite("warp_polar", _expand_polar, ndims=(2,)),
        Local(
            name="lepton.warp_by_matrix",
            source=f"{here}.warp_by_matrix",
            dtype_kinds="f",
            geometry=Warped(),
            wants_where=True,
            dtype=lambda arguments: arguments["image"].dtype,
            cost_ns=110.0,
        ),
        Local(
            name="lepton.warp_by_function",
            source=f"{here}.warp_by_function",
            geometry=Scattered(),
            reads_itself=True,
            dtype=lambda arguments: np.dtype(arguments["dtype"]),
            cost_ns=100.0,
        ),
        whole(
            "lepton.warp_whole",
            source=f"{here}._warp_whole",
            geometry=Reshaped(lambda arguments: (*arguments["output_shape"], *arguments["image"].shape[2:])),
            dtype=lambda arguments: arguments["image"].dtype,
            cost_ns=60.0,
        ),
    ]
