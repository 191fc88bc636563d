"""`skimage.measure.profile_line`: the pixels along a line, read from the box of the line alone where that is exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import one_block
from lepton_celery.catalogue.shared.functions import OwnFunction, callable_of, path_of
from lepton_celery.catalogue.sizes import MAX_LINE_PX
from lepton_celery.errors import InputError
from lepton_celery.grid import Region


def _coordinates(arguments: Arguments) -> Array:
    """The positions that the profile is interpolated at, `(2, length, width)`."""
    from skimage.measure.profile import _line_profile_coordinates

    ends = np.abs(np.subtract(arguments["src"], arguments["dst"], dtype=float))
    if (pixels := (np.sum(ends) + 1) * np.max(np.abs(arguments["linewidth"]))) > MAX_LINE_PX:
        raise InputError(f"a line of {pixels:,.0f} pixels; at most {MAX_LINE_PX:,} are allowed: give nearer ends")
    positions: Array = _line_profile_coordinates(arguments["src"], arguments["dst"], arguments["linewidth"])
    return positions


class AlongLine:
    """The box of the line if the interpolation needs no pixel outside it, else the whole image."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        _, length, width = _coordinates(arguments).shape
        reduced = () if arguments["reduce_func"] is not None else (width,)
        return (length, *reduced, *images[0][2:])

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        shape = images[0]
        positions = _coordinates(arguments)
        low, high = positions.min(axis=(1, 2)), positions.max(axis=(1, 2))
        inside = (low >= 0).all() and (high <= np.array(shape[:2]) - 1).all()
        if not inside or arguments["order"] > 1:
            return [Region.whole(shape)]
        start = tuple(int(a) for a in np.floor(low))
        stop = tuple(min(n, int(b) + 2) for n, b in zip(shape, np.floor(high), strict=False))
        return [Region((*start, *(0 for _ in shape[2:])), (*stop, *shape[2:]))]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.slices]


@declare(
    Local(
        "lepton.profile",
        geometry=AlongLine(),
        own_stage=one_block,
        own_functions=("own_function",),
        wants_where=True,
        cost_ns=500.0,
    )
)
def profile(
    image: Array,
    src: Sequence[float],
    dst: Sequence[float],
    linewidth: int,
    reduce_func: str | None,
    own_function: OwnFunction | None,
    where: Where | None = None,
    **options: Any,
) -> Array:
    """Run scikit-image on the box of the line. Its origin is a whole number, so positions in it are exact differences."""
    start = np.zeros(2) if where is None else np.array(where.region.start[:2], float)
    positions = _coordinates({"src": src, "dst": dst, "linewidth": linewidth}) - start[:, None, None]
    reduce = callable_of(own_function) if own_function is not None else reduce_func and getattr(np, reduce_func)
    return _profile_at(image, positions, reduce, **options)


def _profile_at(image: Array, positions: Array, reduce: Any, order: int, mode: str, cval: float) -> Array:
    """What `skimage.measure.profile_line` does at these positions."""
    from scipy.ndimage import map_coordinates
    from skimage._shared.utils import _fix_ndimage_mode

    options = {"prefilter": order > 1, "order": order, "mode": _fix_ndimage_mode(mode), "cval": cval}
    if image.ndim == 3:
        pixels = np.stack(
            [map_coordinates(image[..., i], positions, **options) for i in range(image.shape[2])], axis=-1
        )
    else:
        pixels = map_coordinates(image, positions, **options)
    pixels = np.flip(pixels, axis=1)
    if reduce is None:
        return pixels
    try:
        return np.asarray(reduce(pixels, axis=1))
    except TypeError:  # the function has no axis
        return np.apply_along_axis(reduce, arr=pixels, axis=1)


def _check(arguments: Arguments) -> None:
    if not isinstance(arguments["linewidth"], int | np.integer) or arguments["linewidth"] < 1:
        raise InputError(f"linewidth={arguments['linewidth']!r}; give a whole number of pixels from 1")
    for name in ("src", "dst"):
        if np.shape(arguments[name]) != (2,) or not np.isfinite(np.asarray(arguments[name], float)).all():
            raise InputError(f"{name}={arguments[name]!r}; give a row and a column")


@declare(
    Composite(
        "measure.profile_line",
        ndims=(2, 3),
        check=_check,
        gives="image",
        example={"src": (1, 1), "dst": (6, 4)},
    )
)
def _expand(arguments: Arguments, build: Build) -> Lazy:
    from skimage._shared.utils import _validate_interpolation_order

    reduce = arguments["reduce_func"]
    named = getattr(reduce, "__name__", "") if reduce is not None else None
    is_numpys = reduce is None or getattr(np, str(named), None) is reduce
    return build(
        "lepton.profile",
        image=arguments["image"],
        src=tuple(map(float, arguments["src"])),
        dst=tuple(map(float, arguments["dst"])),
        linewidth=int(arguments["linewidth"]),
        reduce_func=named if is_numpys else "own",
        own_function=None if is_numpys else path_of(reduce),
        order=_validate_interpolation_order(arguments["image"].dtype, arguments["order"]),
        mode=arguments["mode"],
        cval=arguments["cval"],
    )
