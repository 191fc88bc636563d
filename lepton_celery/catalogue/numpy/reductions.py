"""NumPy's reductions of a whole image: sums, extremes, percentiles, counts.

Sums of integers do not depend on an order, those of floats are added in NumPy's own (`pairwise`). Percentiles are order
statistics, found by counting digits, not by sorting.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, Where
from lepton_celery.catalogue.entries import Build, Composite, Entry, Reduction, Refused
from lepton_celery.catalogue.shared.pairwise import float_of, in_raster_order
from lepton_celery.catalogue.shared.values import finite, merge_counts, value_function
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid

DIGIT_BITS = 16
"""Bits of a pixel that one pass of the percentile search settles."""


_IN_PIXELS_PRECISION = np.lib.NumpyVersion(np.__version__) < "2.4.0"
"""Until NumPy 2.4, percents of float32 images were divided by 100 in float32."""


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
        ranks = needed_ranks(int(table.sum()), arguments["fractions"])
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


def fractions_of(percents: Any, dtype: np.dtype[Any]) -> Any:
    """Percents as fractions, in the precision in which `np.percentile` has them."""
    return np.true_divide(percents, dtype.type(100) if _IN_PIXELS_PRECISION and dtype.kind == "f" else 100)


def needed_ranks(n: int, fractions: Any) -> Array:
    """Ranks of the pixels that the quantiles lie between, and of the greatest (NaN is found there)."""
    previous, following, _ = _neighbours(n, np.asanyarray(fractions))
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


def quantile_from_ranks(found: dict[str, Array], fractions: Any, weak: bool, dtype: str) -> Any:
    """Source: `numpy.quantile`, method "linear", from the pixels at the ranks it looks at.

    `weak`: the fractions are Python numbers, which take on the pixels' dtype; NumPy's own scalars bring theirs.
    """
    kind = np.dtype(dtype)
    at_rank = pixels_at_ranks(found, kind)
    n = int(found["n"][0])
    greatest = at_rank[n - 1]
    previous_rank, following_rank, gamma = _neighbours(n, np.asanyarray(fractions))
    pick = np.vectorize(lambda rank: at_rank[int(rank)], otypes=[kind])
    previous, following = pick(previous_rank), pick(following_rank)
    has_nan = kind.kind == "f" and np.isnan(greatest)
    if has_nan and previous.ndim == 0:
        return greatest
    if np.asanyarray(fractions).dtype.kind in "bui":  # 0 and 1: nothing is interpolated
        return (np.full_like(previous, np.nan) if has_nan else previous)[()]
    weight = float(gamma) if weak else gamma
    step = following - previous
    result = np.asanyarray(np.add(previous, step * weight))
    upper = np.asanyarray(following - step * (1 - weight))
    found_values = np.where(np.asanyarray(gamma) >= 0.5, upper, result).astype(result.dtype)
    return (np.full_like(found_values, np.nan) if has_nan else found_values)[()]


def pixels_at_ranks(found: dict[str, Array], dtype: np.dtype[Any]) -> dict[int, Any]:
    """The pixel at each rank sought."""
    return {int(rank): value_of_key(int(key), dtype) for rank, key in zip(found["rank"], found["prefix"], strict=True)}


def median_from_ranks(found: dict[str, Array], dtype: str) -> Any:
    """Source: `numpy.median`, from the middle pixel or the two in the middle."""
    at_rank = pixels_at_ranks(found, np.dtype(dtype))
    n = int(found["n"][0])
    middle = sorted({(n - 1) // 2, n // 2})
    # a NaN anywhere is the greatest pixel
    taken = [at_rank[n - 1]] if at_rank[n - 1] != at_rank[n - 1] else [at_rank[rank] for rank in middle]
    return np.median(np.array(taken, dtype))


def prefixes(found: dict[str, Array]) -> Array:
    """The different prefixes to look under in the next pass, ascending."""
    return np.unique(found["prefix"])


def _search(image: Any, fractions: Any, build: Build) -> Any:
    """The pixels that the quantiles lie between, digit by digit."""
    dtype = str(image.dtype)
    found: Any = None
    search: Any = []
    for digit in range(digits_of(image.dtype)):
        if digit:
            search = build("lepton.prefixes", found=found)
        given = {"image": image, "search": search, "found": found, "digit": digit}
        found = build("lepton.digit", **given, fractions=fractions, dtype=dtype)
    return found


def _quantile(arguments: Arguments, build: Build) -> Any:
    return _interpolated(arguments, np.asanyarray(arguments["q"])[()], build)


def _percentile(arguments: Arguments, build: Build) -> Any:
    return _interpolated(arguments, fractions_of(arguments["q"], arguments["a"].dtype), build)


def _interpolated(arguments: Arguments, fractions: Any, build: Build) -> Any:
    found = _search(arguments["a"], fractions, build)
    given = {"fractions": fractions, "weak": type(arguments["q"]) in (int, float), "dtype": str(arguments["a"].dtype)}
    return build("lepton.quantile_from_ranks", found=found, **given)


def _median(arguments: Arguments, build: Build) -> Any:
    found = _search(arguments["a"], 0.5, build)
    return build("lepton.median_from_ranks", found=found, dtype=str(arguments["a"].dtype))


# ------------------------------------------------------------------------------------------------ sums


def mean_of(total: Any, count: int) -> Any:
    """The mean of so many pixels; NumPy divides by an integer of its own and then rounds to the pixels' precision."""
    return total.dtype.type(total / np.intp(count)) if total.dtype.kind == "f" else np.float64(total) / np.intp(count)


def deviation_of(squares: Any, count: int, ddof: Any, root: bool) -> Any:
    """Source: `numpy.var` and `numpy.std`, from the sum of the squared distances from the mean."""
    with np.errstate(all="ignore"):
        variance = squares.dtype.type(squares / np.maximum(np.intp(count) - ddof, 0))
        return variance.dtype.type(np.sqrt(variance)) if root else variance


def _total(image: Any, build: Build) -> Any:
    """The sum that NumPy's mean has: exact where no float64 can be rounded, otherwise in NumPy's order."""
    if image.dtype.kind in "bui" and math.prod(image.shape) << (8 * image.dtype.itemsize) <= 1 << 53:
        return build("lepton.sum_integers", a=image)
    return build("lepton.sum_in_order", image=in_raster_order(image, build))


def _sum(arguments: Arguments, build: Build) -> Any:
    image = arguments["a"]
    if image.dtype.kind in "bui":
        return build("lepton.sum_integers", a=image)
    return build("lepton.sum_in_order", image=in_raster_order(image, build))


def _mean(arguments: Arguments, build: Build) -> Any:
    image = arguments["a"]
    return build("lepton.mean_of", total=_total(image, build), count=math.prod(image.shape))


def _deviation(root: bool) -> Callable[[Arguments, Build], Any]:
    def expand(arguments: Arguments, build: Build) -> Any:
        image, ddof, correction = arguments["a"], arguments["ddof"], arguments["correction"]
        mean = _mean(arguments, build)
        squares = build("lepton.sum_in_order", image=in_raster_order(image, build), center=mean)
        ddof = correction if isinstance(correction, int | float) else ddof
        return build("lepton.deviation_of", squares=squares, count=math.prod(image.shape), ddof=ddof, root=root)

    return expand


# ------------------------------------------------------------------------------------------------ folds


@dataclass(frozen=True)
class Fold:
    """A reduction in which blocks may be joined in any order."""

    block: Callable[[Array], Any]
    """The value of one block."""
    join: np.ufunc
    dtype: Callable[[np.dtype[Any]], Any]
    """The value's dtype, from the pixels'."""
    kinds: str = "biuf"

    def partial(self, a: Array, **options: Any) -> Partial:
        return {"value": np.array([self.block(a)], self.dtype(a.dtype))}

    def merge(self, partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
        found = None
        for _, partial in partials:
            found = partial["value"] if found is None else self.join(found, partial["value"])
        assert found is not None  # an image has pixels
        return found[0]


def _long(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The integer that NumPy adds up integers in."""
    return np.dtype(np.uint64 if dtype.kind == "u" else np.int64)


def _bool(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(bool)


def _same(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype


FOLDS: Mapping[str, Fold] = {
    "lepton.sum_integers": Fold(np.sum, np.add, _long, "biu"),
    "numpy.prod": Fold(np.prod, np.multiply, _long, "biu"),
    "numpy.any": Fold(np.any, np.logical_or, _bool),
    "numpy.all": Fold(np.all, np.logical_and, _bool),
    "numpy.count_nonzero": Fold(np.count_nonzero, np.add, lambda dtype: np.dtype(np.int64)),
    "numpy.nanmin": Fold(lambda a: np.fmin.reduce(a, axis=None), np.fmin, _same),
    "numpy.nanmax": Fold(lambda a: np.fmax.reduce(a, axis=None), np.fmax, _same),
}


def _folded(name: str, fold: Fold) -> Reduction:
    return Reduction(
        name=name,
        source="numpy." + name.partition(".")[2].removesuffix("_integers"),
        images=("a",),
        dtype_kinds=fold.kinds,
        check=None if name.startswith("lepton.") else plain(name.partition(".")[2]),
        partial=fold.partial,
        merge=fold.merge,
        result=lambda arguments: ((), fold.dtype(arguments["a"].dtype)),
        cost_ns=1.0,
    )


def extreme_at(find: Callable[[Array], Any]) -> Callable[..., Partial]:
    """Partial of `argmin` or `argmax`: the first extreme pixel, and where it is in the whole image's raster order."""

    def partial(a: Array, where: Where, **options: Any) -> Partial:
        at = int(find(a))
        place = [int(i) + start for i, start in zip(np.unravel_index(at, a.shape), where.region.start, strict=True)]
        return {"value": a.ravel()[at : at + 1], "at": np.array([np.ravel_multi_index(place, where.shape)])}

    return partial


def merge_extreme_at(find: Callable[[Array], Any]) -> Callable[[Partials, Arguments, BlockGrid], Any]:
    def merge(partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
        best: tuple[int, Array] | None = None
        for _, partial in partials:
            # of equal pixels NumPy takes the first; NaN comes before all
            one = int(partial["at"][0]), partial["value"]
            pair = [one] if best is None else sorted([best, one], key=lambda item: item[0])
            best = pair[int(find(np.concatenate([value for _, value in pair])))]
        assert best is not None
        return np.intp(best[0])

    return merge


# ------------------------------------------------------------------------------------------------ counts


def histogram_edges(extent: Any, bins: Any, range: Any, dtype: str) -> Array:
    """The edges of `numpy.histogram`'s bins; `extent`, of the pixels, matters where no range is given."""
    given = range if range is not None else None if extent is None else finite(extent)
    edges: Array = np.histogram_bin_edges(np.zeros(1, dtype), bins=bins, range=given)
    return edges


def densities(counts: Array, edges: Array) -> Array:
    """Source: `numpy.histogram` with `density=True`, from the counts."""
    found: Array = counts / np.array(np.diff(edges), float) / counts.sum()
    return found


def _histogram(arguments: Arguments, build: Build) -> Any:
    image, bins, given = (arguments[name] for name in ("a", "bins", "range"))
    bins = np.asarray(bins)[()]
    known = given is not None or bins.ndim > 0
    form = {"bins": bins, "range": given, "dtype": str(image.dtype)}
    extent = given if known and not arguments["part"] else build("lepton.extent", image=image)
    if arguments["part"]:
        return build("lepton.histogram_edges", extent=extent, **form)
    counts = build("lepton.binned", image=image, extent=extent, bins=bins)
    if not arguments["density"]:
        return counts
    edges = histogram_edges(None, **form) if known else build("lepton.histogram_edges", extent=extent, **form)
    return build("lepton.densities", counts=counts, edges=edges)


def _histogram_result(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
    edges = histogram_edges(None, arguments["bins"], arguments["range"], str(arguments["a"].dtype))
    counts = np.dtype(np.float64 if arguments["density"] else np.int64)
    return ((edges.size,), edges.dtype) if arguments["part"] else ((edges.size - 1,), counts)


def _check_histogram(arguments: Arguments) -> None:
    bins = arguments["bins"]
    if isinstance(bins, str):
        raise InputError(f"bins={bins!r} chooses the bins from all pixels, which is not supported here; give a number")
    _no_weights(arguments)
    histogram_edges(None, bins, arguments["range"], "float64")


def _no_weights(arguments: Arguments) -> None:
    if arguments["weights"] is not None:
        raise InputError("weights are not supported here: sums of floats depend on their order; leave weights out")


_MOST_BINS = 2**25
"""256 MiB of counts: each block's are of this size, whatever the block's."""


def _bins(x: Array, minlength: int = 0) -> Partial:
    most = max(int(x.max(initial=0)), minlength)
    if most >= _MOST_BINS:
        raise InputError(
            f"bincount of values up to {most} makes a table of as many numbers; use numpy.unique with return_counts=True"
        )
    return {"counts": np.bincount(x, minlength=minlength)}


def unique_partial(ar: Array) -> Partial:
    values, counts = np.unique(ar, return_counts=True)
    return {"values": values, "counts": counts}


def merge_unique(partials: Partials, arguments: Arguments, grid: BlockGrid) -> dict[str, Array]:
    total: Partial = {}
    for _, partial in partials:
        if not total:
            total = partial
            continue
        values, place = np.unique(np.concatenate([total["values"], partial["values"]]), return_inverse=True)
        counts = np.zeros(values.size, np.int64)
        np.add.at(counts, place, np.concatenate([total["counts"], partial["counts"]]))
        total = {"values": values, "counts": counts}
    return total


def _unique(arguments: Arguments, build: Build) -> Any:
    found = build("lepton.unique", ar=arguments["ar"])
    return build("lepton.item", values=found, index=("values", "counts")[arguments.get("part", 0)])


def _unique_result(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return (-1,), np.dtype(np.int64) if arguments.get("part") else arguments["ar"].dtype


# ------------------------------------------------------------------------------------------------ entries


def plain(name: str, *allowed: str) -> Callable[[Arguments], None]:
    """A check that refuses all parameters of a NumPy reduction but some: it is taken over the whole image."""
    parameters = inspect.signature(getattr(np, name)).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in ("out", *allowed)}

    def check(arguments: Arguments) -> None:
        for parameter, default in defaults.items():
            given = arguments[parameter]
            if given is not default and not (isinstance(given, str) and given == default):
                usual = f" other than {default!r}" if isinstance(default, str | bool) else ""
                raise InputError(
                    f"numpy.{name} with {parameter}{usual} is not supported here; it is taken over the whole image"
                )

    return check


def _check_quantile(name: str, greatest: int) -> Callable[[Arguments], None]:
    is_plain = plain(name)

    def check(arguments: Arguments) -> None:
        is_plain(arguments)
        q = np.asarray(arguments["q"], dtype=float)
        if q.size == 0 or not ((q >= 0) & (q <= greatest)).all():
            words = "percents" if greatest == 100 else "fractions"
            raise InputError(f"{name} q={arguments['q']} is not within 0 and {greatest}; give {words}")

    return check


def _same_as(function: Callable[..., Any]) -> Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and dtype of a value, from those of two pixels."""

    def result(arguments: Arguments) -> tuple[tuple[int, ...], np.dtype[Any]]:
        more = (arguments["q"],) if "q" in arguments else ()
        probe = np.asarray(function(np.zeros(2, arguments["a"].dtype), *more))
        return probe.shape, probe.dtype

    return result


def _composite(name: str, expand: Callable[[Arguments, Build], Any], kinds: str = "biuf", **options: Any) -> Composite:
    """The entry of a reduction that is written in terms of parts."""
    return Composite(
        name=f"numpy.{name}",
        source=f"numpy.{name}",
        images=("a",),
        dtype_kinds=kinds,
        check=options.pop("check", None) or plain(name),
        expand=expand,
        result=options.pop("result", None) or _same_as(getattr(np, name)),
        **options,
    )


def _extreme(index: int) -> Callable[[Arguments, Build], Any]:
    def expand(arguments: Arguments, build: Build) -> Any:
        return build("lepton.item", values=build("lepton.extent", image=arguments["a"]), index=index)

    return expand


def difference(extent: Array) -> Any:
    """Source: `numpy.ptp`, from the least and the greatest pixel."""
    with np.errstate(all="ignore"):
        return np.subtract(extent[1:], extent[:1])[0]


def _ptp(arguments: Arguments, build: Build) -> Any:
    return build("lepton.difference", extent=build("lepton.extent", image=arguments["a"]))


def _value(dtype: Any = np.float64, ndim: int = 0) -> Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]]:
    return lambda arguments: ((-1,) * ndim, np.dtype(dtype))


def _parts() -> list[Entry]:
    here = "lepton_celery.catalogue.numpy.reductions"
    return [
        Reduction(
            name="lepton.digit",
            source=f"{here}.digit_partial",
            values=("search", "found"),
            partial=lambda image, search, digit, **_: digit_partial(image, np.asarray(search, np.uint64), digit),
            merge=merge_digit,
            result=_value(np.uint64, 1),
            cost_ns=14.0,
        ),
        Reduction(
            name="lepton.unique",
            source=f"{here}.unique_partial",
            images=("ar",),
            partial=unique_partial,
            merge=merge_unique,
            result=_value(np.int64, 1),
            cost_ns=60.0,
        ),
        value_function(prefixes, ("found",), _value(np.uint64, 1)),
        value_function(quantile_from_ranks, ("found",), _value()),
        value_function(median_from_ranks, ("found",), _value()),
        value_function(mean_of, ("total",), lambda a: ((), float_of(a["total"].dtype))),
        value_function(deviation_of, ("squares",), lambda a: ((), a["squares"].dtype)),
        value_function(difference, ("extent",), lambda a: ((), a["extent"].dtype)),
        value_function(histogram_edges, ("extent",), _value(ndim=1)),
        value_function(densities, ("counts", "edges"), _value(ndim=1)),
    ]


def entries() -> list[Entry]:
    """Reductions."""
    return [
        *_parts(),
        *[_folded(name, fold) for name, fold in FOLDS.items()],
        *[
            _composite(name, _extreme(index), result=lambda a: ((), a["a"].dtype))
            for index, name in enumerate(("min", "max"))
        ],
        _composite("sum", _sum),
        _composite("mean", _mean),
        *[
            _composite(name, _deviation(name == "std"), check=plain(name, "ddof", "correction"))
            for name in ("std", "var")
        ],
        _composite("ptp", _ptp, "iuf"),
        _composite("median", _median),
        _composite("percentile", _percentile, "iuf", check=_check_quantile("percentile", 100), example={"q": 5}),
        _composite("quantile", _quantile, "iuf", check=_check_quantile("quantile", 1), example={"q": 0.3}),
        _composite("histogram", _histogram, "iuf", check=_check_histogram, result=_histogram_result, returns=2),
        *[
            Reduction(
                name=f"numpy.{find.__name__}",
                source=f"numpy.{find.__name__}",
                images=("a",),
                check=plain(find.__name__),
                partial=extreme_at(find),
                merge=merge_extreme_at(find),
                result=_value(np.intp),
                wants_where=True,
                cost_ns=1.0,
            )
            for find in (np.argmin, np.argmax)
        ],
        Reduction(
            name="numpy.bincount",
            source="numpy.bincount",
            images=("x",),
            dtypes=("bool", "uint8", "uint16", "int8", "int16", "int32"),
            ndims=(1,),
            samples={"x": "counts"},
            check=_no_weights,
            partial=_bins,
            merge=merge_counts,
            result=_value(np.intp, 1),
            cost_ns=2.0,
        ),
        Composite(
            name="numpy.unique",
            source="numpy.unique",
            images=("ar",),
            dtype_kinds="biu",
            check=plain("unique", "return_counts"),
            expand=_unique,
            result=_unique_result,
            returns=lambda arguments: 2 if arguments["return_counts"] else 0,
        ),
        Refused(
            name="numpy.cov",
            source="numpy.cov",
            images=("m",),
            reason="it multiplies matrices, which add up floats in an order that depends on their shape",
            instead="numpy.var for one image, or numpy.cov of a computed array",
        ),
    ]
