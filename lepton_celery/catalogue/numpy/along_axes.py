"""Reductions along some of an image's axes: projections, profiles, means of channels.

The result is an image of the other axes. A block of it reads whole lines of the image along the reduced axes and calls
NumPy, which then adds up pixels in the same order as on the whole image. Reductions that do not depend on the order first
reduce pieces of long lines, so that a line need not fit into a block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Shape, Shapes, Where
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Local
from lepton_celery.catalogue.shared.memory_order import warn_of_order
from lepton_celery.grid import Region

LINE_PX = 1 << 14
"""Pixels of a line above which its pieces are reduced first."""
PIECE_PX = 1 << 12
"""Largest number of pixels of a piece."""
BLOCK_PX = 1 << 22
"""Largest number of pixels that a block of pieces reads."""

Options = Sequence[tuple[str, Any]]
"""Names and values of further parameters of NumPy's function."""

COSTS: Mapping[str, float] = {
    **dict.fromkeys(("max", "min", "any", "all", "sum", "prod", "count_nonzero", "argmax", "argmin"), 1.0),
    **dict.fromkeys(("mean", "ptp"), 2.0),
    **dict.fromkeys(("std", "var"), 6.0),
    **dict.fromkeys(("median", "percentile", "quantile"), 25.0),
    **dict.fromkeys(("nanmax", "nanmin", "nansum", "nanprod", "nanargmax", "nanargmin"), 4.0),
    **dict.fromkeys(("nanmean", "nanstd", "nanvar"), 12.0),
    **dict.fromkeys(("nanmedian", "nanpercentile", "nanquantile"), 100.0),
}
"""The functions, and the nanoseconds that each takes for a pixel of the image."""

ORDERED = frozenset(("sum", "prod", "mean", "std", "var", "nansum", "nanprod", "nanmean", "nanstd", "nanvar"))
"""The functions of which the result for floats depends on the order of the pixels."""

# ------------------------------------------------------------------------------------------------ whole lines


class AlongAxes:
    """The result lacks `arguments["axes"]` of the image or, with `keepdims`, has one pixel there; quantiles come first.

    A pixel depends on its whole line along these axes.
    """

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        kept = [1 if axis in arguments["axes"] else images[0][axis] for axis in self._kept(images, arguments)]
        return (*np.shape(dict(arguments["options"]).get("q", 0)), *kept)

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        kept = self._kept(images, arguments)
        start, stop = [0] * len(images[0]), list(images[0])
        for axis, first, last in zip(kept, region.start[-len(kept) :], region.stop[-len(kept) :], strict=True):
            if axis not in arguments["axes"]:
                start[axis], stop[axis] = first, last
        return [Region(tuple(start), tuple(stop))] * len(images)

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        # only along the quantiles does the result have more than the region
        ends = zip(region.start, region.stop, result.shape, strict=True)
        return result[tuple(slice(None) if n == stop - start else slice(start, stop) for start, stop, n in ends)]

    def _kept(self, images: Shapes, arguments: Arguments) -> list[int]:
        """The image's axes that the result has."""
        return [axis for axis in range(len(images[0])) if arguments["keepdims"] or axis not in arguments["axes"]]


def reduce_lines(
    image: Array,
    reduction: str,
    axes: Sequence[int],
    keepdims: bool,
    options: Options,
    mask: Array | None = None,
    where: Where | None = None,
) -> Array:
    """`numpy.{reduction}` along these axes, of the pixels that the mask leaves.

    The order in which NumPy adds up pixels depends on the axes that it reduces and on the order of the axes in memory. It
    leaves out axes of one pixel, which may make neighbours of others; so a block that is one pixel wide where the image is
    wider is computed as two pixels wide.
    """
    wide, wide_mask = image, mask
    for axis in range(min(axes, default=image.ndim), image.ndim):
        if where is not None and axis not in axes and image.shape[axis] == 1 < where.shape[axis]:
            wide = np.repeat(wide, 2, axis)
            wide_mask = None if wide_mask is None else np.repeat(wide_mask, 2, axis)
    given = dict(options) if wide_mask is None else {**dict(options), "where": wide_mask}
    reduced: Array = getattr(np, reduction)(wide, axis=_numpy_axis(axes), keepdims=keepdims, **given)
    if wide is image:
        return reduced
    kept = [axis for axis in range(image.ndim) if keepdims or axis not in axes]
    lengths = [*reduced.shape[: reduced.ndim - len(kept)], *(1 if axis in axes else image.shape[axis] for axis in kept)]
    return reduced[tuple(map(slice, lengths))]


def _numpy_axis(axes: Sequence[int]) -> int | tuple[int, ...]:
    return axes[0] if len(axes) == 1 else tuple(axes)  # argmax takes no tuple


def _line_px(ndim: int, arguments: Arguments) -> float:
    return float(math.prod(arguments["image"].shape[axis] for axis in arguments["axes"]))


# ------------------------------------------------------------------------------------------------ pieces of lines


class Pieces:
    """Along `arguments["axes"]`, the result has one pixel for each piece of `arguments["length"]` pixels."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        return tuple(-(-n // step) for n, step in zip(images[0], _steps(images[0], arguments), strict=True))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        steps = _steps(images[0], arguments)
        start = tuple(a * step for a, step in zip(region.start, steps, strict=True))
        stop = tuple(min(z * step, n) for z, step, n in zip(region.stop, steps, images[0], strict=True))
        return [Region(start, stop)]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


def _steps(shape: Shape, arguments: Arguments) -> tuple[int, ...]:
    """Pixels of the image per pixel of the result, on each axis."""
    return tuple(arguments["length"] if axis in arguments["axes"] else 1 for axis in range(len(shape)))


def _few_pieces(shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
    """Blocks of one piece along the reduced axes, narrow enough along the others to read at most `BLOCK_PX` pixels."""
    axes = arguments["axes"]
    block = [1 if axis in axes else n for axis, n in enumerate(wanted)]
    while math.prod(block) * arguments["length"] ** len(axes) > BLOCK_PX and max(block) > 1:
        longest = max(range(len(block)), key=lambda axis: block[axis])
        block[longest] = -(-block[longest] // 2)
    return tuple(block)


@declare(
    Local("lepton.reduce_pieces", geometry=Pieces(), own_stage=_few_pieces, cost_ns=1.0, tap_ns=1.0, taps=_line_px)
)
def reduce_pieces(image: Array, reduction: str, axes: Sequence[int], length: int, options: Options) -> Array:
    """`numpy.{reduction}` of each piece."""
    cuts = [range(0, n, length if axis in axes else n) for axis, n in enumerate(image.shape)]
    rows = [
        getattr(np, reduction)(image[piece], axis=tuple(axes), keepdims=True, **dict(options))
        for piece in (
            tuple(slice(start, start + cut.step) for start, cut in zip(starts, cuts, strict=True))
            for starts in product(*cuts)
        )
    ]
    counts = [len(cut) for cut in cuts]
    reduced = np.empty([n if axis not in axes else counts[axis] for axis, n in enumerate(image.shape)], rows[0].dtype)
    for position, row in zip(np.ndindex(*counts), rows, strict=True):
        reduced[tuple(slice(at, at + 1) if axis in axes else slice(None) for axis, at in enumerate(position))] = row
    return reduced


IN_PIECES: Mapping[str, str] = {
    **{name: name for name in ("max", "min", "any", "all", "sum", "prod")},
    "count_nonzero": "sum",
}
"""The functions that can reduce pieces first, and the function that reduces the results of the pieces."""

# ------------------------------------------------------------------------------------------------ nodes


def along_axes(
    reduction: str,
    image: Lazy,
    axes: Sequence[int],
    keepdims: bool,
    options: Options,
    build: Build,
    mask: Lazy | None = None,
) -> Lazy:
    """The node of `numpy.{reduction}` along some of the image's axes, of the pixels that the mask leaves."""
    layout = image.layout
    plain = layout is not None and layout.order == tuple(range(image.ndim)) and (layout.contiguous or len(axes) == 1)
    if image.dtype.kind == "f" and reduction in ORDERED and not plain:
        warn_of_order(f"numpy.{reduction} along axes")
    if mask is not None:
        form = {"axes": tuple(axes), "keepdims": keepdims, "options": tuple(options)}
        return build(f"lepton.{reduction}_along", image=image, mask=mask, reduction=reduction, **form)
    given = {"axes": tuple(axes), "options": tuple(options)}
    line_px = math.prod(image.shape[axis] for axis in axes)
    whole = image.dtype.kind in "bui"
    if reduction == "mean" and whole and not options and line_px << (8 * image.dtype.itemsize) <= 1 << 53:
        # no sum exceeds 2**53, so NumPy's float64 sums are exact
        total = build("numpy.astype", x=along_axes("sum", image, axes, keepdims, (), build), dtype="float64")
        return build("numpy.divide", x1=total, x2=np.float64(line_px))
    whole = whole and np.dtype(dict(options).get("dtype", image.dtype)).kind in "bui"
    exact = reduction in IN_PIECES and (whole or reduction not in ("sum", "prod"))
    if exact and line_px > LINE_PX and not any(option == "initial" for option, _ in options):
        length = max(1, int(PIECE_PX ** (1 / len(axes))))
        image = build("lepton.reduce_pieces", image=image, reduction=reduction, length=length, **given)
        reduction = IN_PIECES[reduction]
    return build(f"lepton.{reduction}_along", image=image, reduction=reduction, keepdims=keepdims, **given)


ENTRIES = tuple(
    Local(
        f"lepton.{name}_along",
        source=f"{__name__}.{reduce_lines.__name__}",
        function=reduce_lines,
        images=("image", "mask"),
        geometry=AlongAxes(),
        wants_where=True,
        tap_ns=cost_ns,
        taps=_line_px,
    )
    for name, cost_ns in COSTS.items()
)
