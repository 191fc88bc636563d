"""Whole-image values: extent, histogram, thresholds, percentiles, and the functions that need them.

Every value is exact: extents and integer counts do not depend on the order in which blocks are merged, and order
statistics are found by counting digits, not by sorting.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np

from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid
from lepton_celery.operations.spec import (
    Arguments,
    Array,
    Build,
    Composite,
    Entry,
    Partial,
    Reduction,
    ValueFunction,
)

Partials = Iterable[tuple[int, Partial]]

DIGIT_BITS = 16
"""Bits of a pixel that one pass of the percentile search settles."""
_IN_PIXELS_PRECISION = np.lib.NumpyVersion(np.__version__) < "2.4.0"
"""Until NumPy 2.4, percents of float32 images were divided by 100 in float32."""


# ------------------------------------------------------------------------------------------------ extent


def extent_partial(image: Array) -> Partial:
    """Least and greatest pixel; NaN if there is one, as `np.min` has it."""
    return {"extent": np.array([image.min(), image.max()], dtype=image.dtype)}


def merge_extent(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    total: Array | None = None
    for _, partial in partials:
        found = partial["extent"]
        total = found if total is None else np.array([min_nan(total[0], found[0]), max_nan(total[1], found[1])])
    if total is None:
        raise InputError("an image without pixels has no least or greatest value; give an image that is not empty")
    return total


def min_nan(a: Any, b: Any) -> Any:
    """The lesser, NaN if either is."""
    return np.minimum(a, b)


def max_nan(a: Any, b: Any) -> Any:
    """The greater, NaN if either is."""
    return np.maximum(a, b)


def any_negative(image: Array) -> Partial:
    return {"any": np.array([bool((image < 0).any())])}


def merge_any(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
    found = False
    for _, partial in partials:
        found = found or bool(partial["any"][0])
    return np.bool_(found)


# ------------------------------------------------------------------------------------------------ histogram


def histogram_partial(image: Array, extent: Array, nbins: int) -> Partial:
    """Counts of `skimage.exposure.histogram` over the whole image's extent, for this block's pixels."""
    low, high = extent
    if image.dtype.kind in "iu":
        shifted = image.astype(np.int64) - int(low)
        return {"counts": np.bincount(shifted.ravel(), minlength=int(high) - int(low) + 1)}
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(
            f"the image's values range over [{low}, {high}]; a histogram needs finite values: fill NaN first"
        )
    counts, _ = np.histogram(image, bins=nbins, range=(low, high))
    return {"counts": counts}


def merge_histogram(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Array:
    total: Array | None = None
    for _, partial in partials:
        total = partial["counts"] if total is None else total + partial["counts"]
    return np.zeros(0, dtype=np.int64) if total is None else total


def bin_centers(extent: Array, counts: Array) -> Array:
    """Centres of the histogram's bins, in the dtype in which scikit-image has them."""
    low, high = extent
    if extent.dtype.kind in "iu":
        return np.arange(int(low), int(high) + 1)
    # the same call on two pixels: NumPy derives the edges from the range and the dtype alone
    edges = np.histogram_bin_edges(extent, bins=counts.size, range=(low, high))
    centers: Array = (edges[:-1] + edges[1:]) / 2.0
    return centers


def otsu(extent: Array, counts: Array) -> Any:
    """Source: `skimage.filters.threshold_otsu`, given the histogram; a constant image is its own threshold."""
    from skimage.filters import threshold_otsu

    if extent[0] == extent[1]:
        return extent[0]
    return threshold_otsu(hist=(counts, bin_centers(extent, counts)))


def _expand_otsu(arguments: Arguments, build: Build) -> Any:
    image = arguments["image"]
    extent = build("lepton.extent", image=image)
    counts = build("lepton.histogram", image=image, extent=extent, nbins=arguments["nbins"])
    return build("lepton.otsu", extent=extent, counts=counts)


def _otsu_result(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
    dtype = arguments["image"].dtype
    return (), np.dtype(np.int64) if dtype.kind in "iu" else dtype


def _check_otsu(arguments: Arguments) -> None:
    if arguments["image"] is None or arguments.get("hist") is not None:
        raise InputError("threshold_otsu is found from the image here; give the image and no hist")
    image = arguments["image"]
    if image.dtype.kind in "iu" and image.dtype.itemsize > 2:
        raise InputError(
            f"an image of {image.dtype} would need one bin for each of its values; "
            "convert it to uint8, uint16 or a float dtype first"
        )


# ------------------------------------------------------------------------------------------------ percentile


def ordered_keys(image: Array) -> Array:
    """Unsigned integers in the order of the pixels (NaN last), as wide as the pixels."""
    bits = image.dtype.itemsize * 8
    if image.dtype.kind in "bu":
        return image.view(np.uint8) if image.dtype == bool else image
    unsigned = np.dtype(f"u{image.dtype.itemsize}")
    sign = unsigned.type(1 << (bits - 1))
    if image.dtype.kind == "i":
        flipped: Array = image.view(unsigned) ^ sign
        return flipped
    # + 0.0 makes -0.0 the same key as 0.0; NaNs of either sign go last
    raw = np.where(np.isnan(image), np.array(np.nan, image.dtype), image + image.dtype.type(0)).view(unsigned)
    keys: Array = np.where(raw & sign, ~raw, raw | sign)
    return keys


def value_of_key(key: int, dtype: np.dtype[Any]) -> Any:
    """The pixel value that has this key."""
    bits = dtype.itemsize * 8
    sign = 1 << (bits - 1)
    mask = (1 << bits) - 1
    if dtype.kind == "i":
        key ^= sign
    elif dtype.kind == "f":
        key = key ^ sign if key & sign else ~key & mask
    return np.array([key], dtype=f"u{dtype.itemsize}").view(dtype)[0]


def digits_of(dtype: np.dtype[Any]) -> int:
    """Passes that settle all bits of a pixel."""
    return max(1, dtype.itemsize * 8 // DIGIT_BITS)


def digit_partial(image: Array, search: Array, digit: int) -> Partial:
    """How often each value of this digit occurs among pixels whose higher digits are a searched prefix.

    `search` has the prefixes found so far, ascending, shape `(prefixes,)`. Only digits that occur are kept, as flat
    positions in a `(prefixes, 65536)` table and their counts.
    """
    keys = ordered_keys(image).ravel()
    bits = image.dtype.itemsize * 8
    shift = max(0, bits - DIGIT_BITS * (digit + 1))
    width = min(DIGIT_BITS, bits)
    digits = (keys >> keys.dtype.type(shift)) & keys.dtype.type((1 << width) - 1)
    if digit == 0:
        table = np.bincount(digits, minlength=1 << width)
    else:
        prefix = (keys >> keys.dtype.type(shift + width)).astype(np.uint64)
        slot = np.searchsorted(search, prefix)
        slot[slot == search.size] = 0
        inside = search[slot] == prefix
        flat = slot[inside] * (1 << width) + digits[inside].astype(np.int64)
        table = np.bincount(flat, minlength=search.size << width)
    at = np.flatnonzero(table)
    return {"at": at, "count": table[at]}


def merge_digit(partials: Partials, arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    """Narrows each rank sought to one more digit: `{"prefix", "below", "rank"}`, one entry per rank."""
    dtype, digit = np.dtype(arguments["dtype"]), int(arguments["digit"])
    bits = dtype.itemsize * 8
    width = min(DIGIT_BITS, bits)
    search = np.asarray(arguments["search"], dtype=np.uint64)
    table = np.zeros(max(1, search.size) << width, dtype=np.int64)
    for _, partial in partials:
        np.add.at(table, partial["at"], partial["count"])
    if digit == 0:
        ranks = needed_ranks(int(table.sum()), arguments["q"], dtype)
        prefixes, below = np.zeros(ranks.size, np.uint64), np.zeros(ranks.size, np.int64)
    else:
        earlier = arguments["found"]
        ranks, prefixes, below = earlier["rank"], earlier["prefix"], earlier["below"]
    rows = table.reshape(-1, 1 << width)
    found, counted = [], []
    for rank, prefix, start in zip(ranks, prefixes, below, strict=True):
        row = rows[0] if digit == 0 else rows[int(np.searchsorted(search, prefix))]
        cumulative = np.cumsum(row) + start
        at = int(np.searchsorted(cumulative, rank, side="right"))
        found.append((int(prefix) << width) | at)
        counted.append(int(cumulative[at - 1]) if at else int(start))
    return {
        "rank": np.asarray(ranks, np.int64),
        "prefix": np.array(found, np.uint64),
        "below": np.array(counted, np.int64),
        "n": np.array([table.sum() if digit == 0 else arguments["found"]["n"][0]], np.int64),
    }


def quantiles(q: Any, dtype: np.dtype[Any]) -> Any:
    """Percents as fractions, in the precision in which `np.percentile` has them."""
    return np.true_divide(q, dtype.type(100) if _IN_PIXELS_PRECISION and dtype.kind == "f" else 100)


def needed_ranks(n: int, q: Any, dtype: np.dtype[Any]) -> Array:
    """Ranks of the pixels that the percentiles lie between, and of the greatest (NaN is found there)."""
    previous, following, _ = _neighbours(n, np.asanyarray(quantiles(q, dtype)))
    return np.unique(np.concatenate([previous.ravel(), following.ravel(), [n - 1]]))


def _neighbours(n: int, fractions: Array) -> tuple[Array, Array, Array]:
    virtual = np.asanyarray((n - 1) * fractions)
    previous = np.floor(virtual)
    following = np.add(previous, 1)
    above = virtual >= n - 1
    previous = np.where(above, n - 1, previous).astype(np.intp)
    following = np.where(above, n - 1, following).astype(np.intp)
    # NumPy marks the last element by index -1, and takes the weight from that index
    gamma = np.asanyarray(virtual - np.where(above, -1, previous), dtype=virtual.dtype)
    return previous, following, gamma


def percentile_from_ranks(found: dict[str, Array], q: Any, dtype: str) -> Any:
    """Source: `numpy.percentile`, method "linear", from the pixels at the ranks it looks at."""
    kind = np.dtype(dtype)
    at_rank = {
        int(rank): value_of_key(int(key), kind) for rank, key in zip(found["rank"], found["prefix"], strict=True)
    }
    n = int(found["n"][0])
    greatest = at_rank[n - 1]
    fractions = quantiles(q, kind)
    weak = type(q) in (int, float)  # NumPy's own scalars bring their dtype
    previous_rank, following_rank, gamma = _neighbours(n, np.asanyarray(fractions))
    pick = np.vectorize(lambda rank: at_rank[int(rank)], otypes=[kind])
    previous, following = pick(previous_rank), pick(following_rank)
    has_nan = kind.kind == "f" and np.isnan(greatest)
    if has_nan and previous.ndim == 0:
        return greatest
    weight = float(gamma) if weak else gamma
    step = following - previous
    result = np.asanyarray(np.add(previous, step * weight))
    upper = np.asanyarray(following - step * (1 - weight))
    found_values = np.where(np.asanyarray(gamma) >= 0.5, upper, result).astype(result.dtype)
    return (np.full_like(found_values, np.nan) if has_nan else found_values)[()]


def _expand_percentile(arguments: Arguments, build: Build) -> Any:
    image, q = arguments["a"], arguments["q"]
    dtype = str(image.dtype)
    found: Any = None
    search: Any = []
    for digit in range(digits_of(image.dtype)):
        if digit:
            search = build("lepton.prefixes", found=found)
        found = build("lepton.digit", image=image, search=search, found=found, digit=digit, q=q, dtype=dtype)
    return build("lepton.percentile_from_ranks", found=found, q=q, dtype=dtype)


def prefixes(found: dict[str, Array]) -> Array:
    """The different prefixes to look under in the next pass, ascending."""
    return np.unique(found["prefix"])


def _percentile_result(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
    image, q = arguments["a"], arguments["q"]
    probe = np.asarray(np.percentile(np.zeros(2, image.dtype), q))
    return probe.shape, probe.dtype


def _check_percentile(arguments: Arguments) -> None:
    for name in ("axis", "out", "weights"):
        if arguments.get(name) is not None:
            raise InputError(f"percentile with {name} is not supported here; it is taken over the whole image")
    if arguments["method"] != "linear" or arguments["keepdims"] or arguments["overwrite_input"]:
        raise InputError("percentile is supported with method='linear' and no keepdims or overwrite_input")
    q = np.asarray(arguments["q"], dtype=float)
    if q.size == 0 or not ((q >= 0) & (q <= 100)).all():
        raise InputError(f"percentile q={arguments['q']} is not within 0 and 100; give percents")


def _expand_extreme(index: int) -> Any:
    def expand(arguments: Arguments, build: Build) -> Any:
        return build("lepton.item", values=build("lepton.extent", image=arguments["a"]), index=index)

    return expand


def _check_extreme(arguments: Arguments) -> None:
    defaults = inspect.signature(np.min).parameters
    for name in ("axis", "keepdims", "initial", "where"):
        if arguments[name] is not defaults[name].default:
            raise InputError(f"min and max with {name} are not supported here; they are taken over the whole image")


def item(values: Array, index: int) -> Any:
    return values[index]


# ------------------------------------------------------------------------------------------------ value, then pixels


def _expand_rescale(arguments: Arguments, build: Build) -> Any:
    image, in_range, out_range = (arguments[name] for name in ("image", "in_range", "out_range"))
    in_range, out_range = _range(in_range), _range(out_range)
    extent: Any = [0, 0]
    if in_range == "image" or out_range == "image":
        extent = build("lepton.extent", image=image)
    return build("lepton.rescale", image=image, extent=extent, in_range=in_range, out_range=out_range)


def _range(value: Any) -> Any:
    """A pair, or the name of a range; dtypes by their name."""
    return np.dtype(value).name if isinstance(value, type) else value


def _check_unsharp(arguments: Arguments) -> None:
    axis = arguments["channel_axis"]
    if axis is not None and axis < 0:
        raise InputError(
            f"scikit-image leaves pixels unset for channel_axis={axis}; "
            f"count from the first axis: channel_axis={axis + len(arguments['image'].shape)}"
        )


def _expand_unsharp(arguments: Arguments, build: Build) -> Any:
    image, preserve = arguments["image"], arguments["preserve_range"]
    options = {name: arguments[name] for name in ("radius", "amount", "channel_axis")}
    single = image.dtype == np.float32
    if preserve:
        return build("lepton.unsharp", image=image, bounds=None, **options)
    scaled = build("util.img_as_float", image=image)
    scaled = scaled if single else build("numpy.astype", x=scaled, dtype="float64")
    if image.dtype.kind in "bu":
        return build("lepton.unsharp", image=scaled, bounds=[0.0, 1.0], **options)
    negative = build("lepton.any_negative", image=scaled)
    return build("lepton.unsharp_clipped", image=scaled, negative=negative, **options)


def _same(name: str) -> Any:
    return lambda arguments: ((2,), arguments[name].dtype)


def entries() -> list[Entry]:
    """Whole-image values and what is built on them."""
    here = "lepton_celery.operations.statistics"
    return [
        Reduction(
            name="lepton.extent",
            source=f"{here}.extent_partial",
            partial=extent_partial,
            merge=merge_extent,
            result=_same("image"),
            cost_ns=1.0,
        ),
        Reduction(
            name="lepton.any_negative",
            source=f"{here}.any_negative",
            partial=any_negative,
            merge=merge_any,
            result=lambda arguments: ((), np.dtype(bool)),
            cost_ns=1.0,
        ),
        Reduction(
            name="lepton.histogram",
            source=f"{here}.histogram_partial",
            values=("extent",),
            partial=histogram_partial,
            merge=merge_histogram,
            result=lambda arguments: ((-1,), np.dtype(np.int64)),
            cost_ns=7.0,
        ),
        ValueFunction(
            name="lepton.otsu",
            source=f"{here}.otsu",
            images=(),
            values=("extent", "counts"),
            function=otsu,
            result=lambda arguments: ((), arguments["extent"].dtype),
        ),
        Reduction(
            name="lepton.digit",
            source=f"{here}.digit_partial",
            values=("search", "found"),
            partial=lambda image, search, digit, **_: digit_partial(image, np.asarray(search, np.uint64), digit),
            merge=merge_digit,
            result=lambda arguments: ((-1,), np.dtype(np.uint64)),
            cost_ns=14.0,
        ),
        ValueFunction(
            name="lepton.prefixes",
            source=f"{here}.prefixes",
            images=(),
            values=("found",),
            function=prefixes,
            result=lambda arguments: ((-1,), np.dtype(np.uint64)),
        ),
        ValueFunction(
            name="lepton.percentile_from_ranks",
            source=f"{here}.percentile_from_ranks",
            images=(),
            values=("found",),
            function=percentile_from_ranks,
            result=lambda arguments: (np.shape(arguments["q"]), np.dtype(float)),
        ),
        ValueFunction(
            name="lepton.item",
            source=f"{here}.item",
            images=(),
            values=("values",),
            function=item,
            result=lambda arguments: ((), arguments["values"].dtype),
        ),
        Composite(
            name="filters.threshold_otsu",
            source="skimage.filters.threshold_otsu",
            kinds="iuf",
            check=_check_otsu,
            expand=_expand_otsu,
            result=_otsu_result,
        ),
        Composite(
            name="numpy.percentile",
            source="numpy.percentile",
            images=("a",),
            kinds="iuf",
            check=_check_percentile,
            expand=_expand_percentile,
            result=_percentile_result,
        ),
        *[
            Composite(
                name=f"numpy.{name}",
                source=f"numpy.{name}",
                images=("a",),
                check=_check_extreme,
                expand=_expand_extreme(index),
                result=lambda arguments: ((), arguments["a"].dtype),
            )
            for index, name in enumerate(("min", "max"))
        ],
        Composite(
            name="exposure.rescale_intensity",
            source="skimage.exposure.rescale_intensity",
            kinds="iuf",
            expand=_expand_rescale,
            gives="image",
        ),
        Composite(
            name="filters.unsharp_mask",
            source="skimage.filters.unsharp_mask",
            check=_check_unsharp,
            expand=_expand_unsharp,
            gives="image",
        ),
    ]
