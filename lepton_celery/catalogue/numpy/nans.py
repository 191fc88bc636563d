"""NumPy's reductions that leave out NaN, such as `nanmean`, `nanmax` and `nanpercentile`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Lazy
from lepton_celery.catalogue.entries import Build, Entry
from lepton_celery.catalogue.numpy import percentiles, reductions
from lepton_celery.catalogue.numpy.defaults import given_options
from lepton_celery.catalogue.numpy.reducing import Expand, Reducing
from lepton_celery.catalogue.numpy.selected import select_pixels
from lepton_celery.errors import InputError


def _numbers(image: Lazy, build: Build) -> tuple[Lazy, Lazy]:
    """The image with 0 in place of NaN, as NumPy computes with it, and the mask of NaN."""
    mask = build("numpy.isnan", x=image)
    return build("numpy.where", condition=mask, x=0, y=image), mask


def _counted(mask: Lazy, build: Build) -> Lazy:
    """The number of pixels that are no NaN."""
    return build("lepton.sum_of_all", a=build("numpy.logical_not", x=mask))


def _expand_sum(arguments: Arguments, build: Build) -> Lazy:
    filled, _ = _numbers(arguments["a"], build)
    return reductions.sum_of(filled, filled.dtype, build)


def _expand_mean(arguments: Arguments, build: Build) -> Lazy:
    filled, mask = _numbers(arguments["a"], build)
    total = reductions.sum_of(filled, filled.dtype, build)
    return build("lepton.mean_of", total=total, count=_counted(mask, build))


def _expand_deviation(root: bool) -> Expand:
    def expand(arguments: Arguments, build: Build) -> Lazy:
        filled, mask = _numbers(arguments["a"], build)
        distance = build("numpy.subtract", x1=filled, x2=_expand_mean(arguments, build))
        distance = build("numpy.where", condition=mask, x=0, y=distance)
        squares = reductions.sum_of(build("numpy.multiply", x1=distance, x2=distance), filled.dtype, build)
        correction = arguments["correction"]
        ddof = correction if isinstance(correction, int | float) else arguments["ddof"]
        return build("lepton.deviation_of", squares=squares, count=_counted(mask, build), ddof=ddof, root=root)

    return expand


def _expand_rank(name: str) -> Expand:
    """The reduction of the pixels that are no NaN, which one process gathers."""

    def expand(arguments: Arguments, build: Build) -> Lazy:
        image = arguments["a"]
        mask = build("numpy.logical_not", x=build("numpy.isnan", x=image))
        options = given_options(name, arguments)
        chosen = select_pixels(image, mask, build)
        return build("lepton.reduced", a=chosen, reduction=name, axis=None, keepdims=False, options=options)

    return expand


def _unless_integer(plain: Expand, expand: Expand) -> Expand:
    """`plain`, the function that knows no NaN, for images that have none."""

    def chosen(arguments: Arguments, build: Build) -> Lazy:
        return (expand if arguments["a"].dtype.kind == "f" else plain)(arguments, build)

    return chosen


def _extreme(name: str) -> Expand:
    return lambda arguments, build: build(f"lepton.{name}_of_all", a=arguments["a"])


def _check_dtype(name: str, check: Callable[[Arguments], None]) -> Callable[[Arguments], None]:
    """`check`, and a check that the result's dtype does not depend on the pixels."""

    def both(arguments: Arguments) -> None:
        check(arguments)
        a, axis, q = (arguments[key] for key in ("a", "axis", "q"))
        found = getattr(np, name)(np.ones(2, a.dtype), q).dtype
        if axis is not None and a.dtype.kind == "f" and found != a.dtype:
            raise InputError(
                f"numpy.{name} of {a.dtype} with these q gives {a.dtype} if the first line has NaN only, and else {found}; "
                f"give one q at a time, or convert the image to {found} first"
            )

    return both


def _entries() -> list[Entry]:
    degrees = ("dtype", *reductions.DEGREES)
    found: list[Reducing] = [Reducing(name, _extreme(name)) for name in ("nanmin", "nanmax")]
    found += [
        Reducing("nansum", _unless_integer(reductions.expand_sum, _expand_sum), along=("dtype",)),
        Reducing("nanmean", _unless_integer(reductions.expand_mean, _expand_mean), along=("dtype",)),
    ]
    for name, root in (("nanstd", True), ("nanvar", False)):
        expand = _unless_integer(reductions.expand_deviation(root), _expand_deviation(root))
        found.append(Reducing(name, expand, along=degrees, over_all=reductions.DEGREES))
    median = _unless_integer(percentiles.expand_median, _expand_rank("nanmedian"))
    entries: list[Entry] = [reducing.entry() for reducing in (*found, Reducing("nanmedian", median))]
    for name, plain, greatest, q in (
        ("nanpercentile", percentiles.expand_percentile, 100, 5),
        ("nanquantile", percentiles.expand_quantile, 1, 0.3),
    ):
        check = _check_dtype(name, percentiles.check_quantile(name, greatest))
        reducing = Reducing(name, _unless_integer(plain, _expand_rank(name)), along=("method",), more_checks=check)
        entries.append(reducing.entry(dtype_kinds="iuf", example={"q": q}))
    return entries


ENTRIES = tuple(_entries())
