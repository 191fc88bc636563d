"""NumPy's percentiles, quantiles and median, found by radix selection: by counting digits of the pixels, without sorting.

Each pass over the image determines the next `DIGIT_BITS` bits of the pixels at the wanted ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Partial, Partials
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Reduction, ValueFunction
from lepton_celery.catalogue.numpy.reducing import Expand, Reducing
from lepton_celery.catalogue.results import ValueType, value_of
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

DIGIT_BITS = 16
"""Bits of a pixel that one pass determines."""

_DIVIDES_IN_PIXELS_PRECISION = np.lib.NumpyVersion(np.__version__) < "2.4.0"
"""Before NumPy 2.4, percents for float32 images were divided by 100 in float32."""

Ranks = dict[str, Array]
"""State of the search: the wanted ranks (`rank`), for each the digits found so far (`prefix`) and the number of pixels with
lesser digits (`below`), and the number of all pixels (`n`)."""


def ordered_keys(image: Array) -> Array:
    """Unsigned integers of the pixels' size that sort as the pixels do, NaN last."""
    bits = image.dtype.itemsize * 8
    if image.dtype.kind in "bu":
        return image.view(np.uint8) if image.dtype == bool else image
    unsigned = np.dtype(f"u{image.dtype.itemsize}")
    sign = unsigned.type(1 << (bits - 1))
    if image.dtype.kind == "i":
        flipped: Array = image.view(unsigned) ^ sign
        return flipped
    # adding 0.0 turns -0.0 into 0.0; one NaN replaces NaNs of either sign
    raw = np.where(np.isnan(image), np.array(np.nan, image.dtype), image + image.dtype.type(0)).view(unsigned)
    keys: Array = np.where(raw & sign, ~raw, raw | sign)
    return keys


def value_of_key(key: int, dtype: DType) -> Any:
    """The pixel with this key; the inverse of `ordered_keys`."""
    bits = dtype.itemsize * 8
    sign = 1 << (bits - 1)
    mask = (1 << bits) - 1
    if dtype.kind == "i":
        key ^= sign
    elif dtype.kind == "f":
        key = key ^ sign if key & sign else ~key & mask
    return np.array([key], dtype=f"u{dtype.itemsize}").view(dtype)[0]


def digits_of(dtype: DType) -> int:
    """Number of passes that determine all bits of a pixel."""
    return max(1, dtype.itemsize * 8 // DIGIT_BITS)


def merge_digit(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Ranks:
    """Determine the next digit of the pixel at each wanted rank."""
    dtype, digit = np.dtype(arguments["dtype"]), int(arguments["digit"])
    bits = dtype.itemsize * 8
    width = min(DIGIT_BITS, bits)
    search = np.asarray(arguments["search"], dtype=np.uint64)
    table = np.zeros(max(1, search.size) << width, dtype=np.int64)
    for _, partial in partials:
        np.add.at(table, partial["position"], partial["count"])
    if digit == 0:
        ranks = needed_ranks(int(table.sum()), arguments["fractions"])
        prefixes, below = np.zeros(ranks.size, np.uint64), np.zeros(ranks.size, np.int64)
    else:
        earlier = arguments["ranks"]
        ranks, prefixes, below = earlier["rank"], earlier["prefix"], earlier["below"]
    rows = table.reshape(-1, 1 << width)
    longer, lesser = [], []
    for rank, prefix, start in zip(ranks, prefixes, below, strict=True):
        row = rows[0] if digit == 0 else rows[int(np.searchsorted(search, prefix))]
        cumulative = np.cumsum(row) + start
        value = int(np.searchsorted(cumulative, rank, side="right"))
        longer.append((int(prefix) << width) | value)
        lesser.append(int(cumulative[value - 1]) if value else int(start))
    return {
        "rank": np.asarray(ranks, np.int64),
        "prefix": np.array(longer, np.uint64),
        "below": np.array(lesser, np.int64),
        "n": np.array([table.sum() if digit == 0 else arguments["ranks"]["n"][0]], np.int64),
    }


@declare(
    Reduction(
        "lepton.digit", values=("search", "ranks"), merge=merge_digit, result=value_of(np.uint64, -1), cost_ns=14.0
    )
)
def digit_partial(
    image: Array, search: Array, digit: int, ranks: Ranks | None = None, fractions: Any = None, dtype: str = ""
) -> Partial:
    """Count the values of a digit among the pixels whose higher digits are one of the prefixes in `search`.

    `search` is ascending. The partial lists the digits that occur, as flat positions in a table of shape
    `(prefixes, 65536)`, and their counts. The other arguments are for the merge.
    """
    search = np.asarray(search, np.uint64)
    keys = ordered_keys(image).ravel()
    bits = image.dtype.itemsize * 8
    shift = max(0, bits - DIGIT_BITS * (digit + 1))
    width = min(DIGIT_BITS, bits)
    digits = (keys >> keys.dtype.type(shift)) & keys.dtype.type((1 << width) - 1)
    if digit == 0:
        table = np.bincount(digits, minlength=1 << width)
    else:
        prefix = (keys >> keys.dtype.type(shift + width)).astype(np.uint64)
        row = np.searchsorted(search, prefix)
        row[row == search.size] = 0
        inside = search[row] == prefix
        flat = row[inside] * (1 << width) + digits[inside].astype(np.int64)
        table = np.bincount(flat, minlength=search.size << width)
    present = np.flatnonzero(table)
    return {"position": present, "count": table[present]}


def fractions_of(percents: Any, dtype: DType) -> Any:
    """Percents as fractions, in the precision in which `np.percentile` computes them."""
    return np.true_divide(percents, dtype.type(100) if _DIVIDES_IN_PIXELS_PRECISION and dtype.kind == "f" else 100)


def needed_ranks(n: int, fractions: Any) -> Array:
    """The ranks of the pixels around each quantile, and of the greatest pixel, which is NaN if any pixel is."""
    previous, following, _ = _neighbours(n, np.asanyarray(fractions))
    return np.unique(np.concatenate([previous.ravel(), following.ravel(), [n - 1]]))


def _neighbours(n: int, fractions: Array) -> tuple[Array, Array, Array]:
    """The ranks before and after each quantile of `n` pixels, and its distance from the first, as in `numpy.quantile`."""
    virtual = np.asanyarray((n - 1) * fractions)
    previous = np.floor(virtual)
    following = np.add(previous, 1)
    above = virtual >= n - 1
    previous = np.where(above, n - 1, previous).astype(np.intp)
    following = np.where(above, n - 1, following).astype(np.intp)
    # NumPy marks the last element by index -1, and takes the weight from that index
    gamma = np.asanyarray(virtual - np.where(above, -1, previous), dtype=virtual.dtype)
    return previous, following, gamma


@declare(ValueFunction("lepton.prefixes", values=("ranks",), result=value_of(np.uint64, -1)))
def prefixes(ranks: Ranks) -> Array:
    """The distinct prefixes for the next pass, ascending."""
    return np.unique(ranks["prefix"])


def _quantile_type(arguments: Arguments) -> ValueType:
    fractions, sample = arguments["fractions"], np.zeros(2, arguments["dtype"])
    found = np.asarray(np.quantile(sample, fractions.item() if arguments["weak"] else fractions))
    return found.shape, found.dtype


@declare(ValueFunction("lepton.quantile_from_ranks", values=("ranks",), result=_quantile_type))
def quantile_from_ranks(ranks: Ranks, fractions: Any, weak: bool, dtype: str) -> Any:
    """`numpy.quantile` with method "linear", from the pixels between which it interpolates.

    With `weak`, the fractions are Python numbers, which adopt the pixels' dtype; NumPy scalars keep their own dtype.
    """
    pixel_dtype = np.dtype(dtype)
    at_rank = pixels_at_ranks(ranks, pixel_dtype)
    n = int(ranks["n"][0])
    greatest = at_rank[n - 1]
    previous_rank, following_rank, gamma = _neighbours(n, np.asanyarray(fractions))
    pick = np.vectorize(lambda rank: at_rank[int(rank)], otypes=[pixel_dtype])
    previous, following = pick(previous_rank), pick(following_rank)
    has_nan = pixel_dtype.kind == "f" and np.isnan(greatest)
    if has_nan and previous.ndim == 0:
        return greatest
    if np.asanyarray(fractions).dtype.kind in "bui":  # 0 and 1: nothing is interpolated
        return (np.full_like(previous, np.nan) if has_nan else previous)[()]
    weight = float(gamma) if weak else gamma
    step = following - previous
    from_previous = np.asanyarray(np.add(previous, step * weight))
    from_following = np.asanyarray(following - step * (1 - weight))
    quantiles = np.where(np.asanyarray(gamma) >= 0.5, from_following, from_previous).astype(from_previous.dtype)
    return (np.full_like(quantiles, np.nan) if has_nan else quantiles)[()]


def pixels_at_ranks(ranks: Ranks, dtype: DType) -> dict[int, Any]:
    """The pixel at each wanted rank."""
    return {int(rank): value_of_key(int(key), dtype) for rank, key in zip(ranks["rank"], ranks["prefix"], strict=True)}


def _median_type(arguments: Arguments) -> ValueType:
    return (), np.median(np.zeros(2, arguments["dtype"])).dtype


@declare(ValueFunction("lepton.median_from_ranks", values=("ranks",), result=_median_type))
def median_from_ranks(ranks: Ranks, dtype: str) -> Any:
    """`numpy.median`, from the one or two pixels in the middle."""
    at_rank = pixels_at_ranks(ranks, np.dtype(dtype))
    n = int(ranks["n"][0])
    middle = sorted({(n - 1) // 2, n // 2})
    # if a pixel is NaN, so is the greatest
    taken = [at_rank[n - 1]] if at_rank[n - 1] != at_rank[n - 1] else [at_rank[rank] for rank in middle]
    return np.median(np.array(taken, dtype))


# ------------------------------------------------------------------------------------------------ composites


def _search(image: Lazy, fractions: Any, build: Build) -> Lazy:
    """The node that finds the pixels around each quantile, digit by digit."""
    dtype = str(image.dtype)
    ranks: Lazy | None = None
    search: Any = []
    for digit in range(digits_of(image.dtype)):
        if digit:
            search = build("lepton.prefixes", ranks=ranks)
        given = {"image": image, "search": search, "ranks": ranks, "digit": digit}
        ranks = build("lepton.digit", **given, fractions=fractions, dtype=dtype)
    assert ranks is not None  # every pixel has a digit
    return ranks


def expand_quantile(arguments: Arguments, build: Build) -> Lazy:
    return _interpolated(arguments, np.asanyarray(arguments["q"])[()], build)


def expand_percentile(arguments: Arguments, build: Build) -> Lazy:
    return _interpolated(arguments, fractions_of(arguments["q"], arguments["a"].dtype), build)


def _interpolated(arguments: Arguments, fractions: Any, build: Build) -> Lazy:
    ranks = _search(arguments["a"], fractions, build)
    given = {"fractions": fractions, "weak": type(arguments["q"]) in (int, float), "dtype": str(arguments["a"].dtype)}
    return build("lepton.quantile_from_ranks", ranks=ranks, **given)


def expand_median(arguments: Arguments, build: Build) -> Lazy:
    ranks = _search(arguments["a"], 0.5, build)
    return build("lepton.median_from_ranks", ranks=ranks, dtype=str(arguments["a"].dtype))


def check_quantile(name: str, greatest: int) -> Callable[[Arguments], None]:
    def check(arguments: Arguments) -> None:
        q = np.asarray(arguments["q"], dtype=float)
        if q.size == 0 or not ((q >= 0) & (q <= greatest)).all():
            words = "percents" if greatest == 100 else "fractions"
            raise InputError(f"{name} q={arguments['q']} is not within 0 and {greatest}; give {words}")

    return check


def _quantile(name: str, greatest: int, expand: Expand) -> Reducing:
    return Reducing(name, expand, along=("method",), more_checks=check_quantile(name, greatest))


ENTRIES = (
    Reducing("median", expand_median).entry(),
    _quantile("percentile", 100, expand_percentile).entry(dtype_kinds="iuf", example={"q": 5}),
    _quantile("quantile", 1, expand_quantile).entry(dtype_kinds="iuf", example={"q": 0.3}),
)
