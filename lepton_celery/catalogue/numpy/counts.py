"""NumPy's counts: `histogram`, `bincount` and `unique`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Lazy, Partial
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, Reduction, ValueFunction
from lepton_celery.catalogue.numpy.defaults import check_defaults
from lepton_celery.catalogue.results import ValueType, value_of
from lepton_celery.catalogue.shared.histograms import Bins, finite, merge_counts
from lepton_celery.catalogue.shared.values import Extent
from lepton_celery.errors import InputError


def _edges_type(arguments: Arguments) -> ValueType:
    edges = np.histogram_bin_edges(np.zeros(1, arguments["dtype"]), bins=arguments["bins"], range=arguments["range"])
    return edges.shape, edges.dtype


@declare(ValueFunction("lepton.histogram_edges", values=("extent",), result=_edges_type))
def histogram_edges(extent: Extent | None, bins: Bins, range: Any, dtype: str) -> Array:
    """The bin edges of `numpy.histogram`; the pixels' `extent` is used if `range` is None."""
    given = range if range is not None else None if extent is None else finite(extent)
    edges: Array = np.histogram_bin_edges(np.zeros(1, dtype), bins=bins, range=given)
    return edges


@declare(ValueFunction("lepton.densities", values=("counts", "edges"), result=value_of(float, -1)))
def densities(counts: Array, edges: Array) -> Array:
    """The result of `numpy.histogram` with `density=True`, from its counts."""
    shares: Array = counts / np.array(np.diff(edges), float) / counts.sum()
    return shares


def _histogram_result(arguments: Arguments) -> ValueType:
    edges = histogram_edges(None, arguments["bins"], arguments["range"], str(arguments["a"].dtype))
    counts = np.dtype(np.float64 if arguments["density"] else np.int64)
    return ((edges.size,), edges.dtype) if arguments["result_index"] else ((edges.size - 1,), counts)


def _check_histogram(arguments: Arguments) -> None:
    bins = arguments["bins"]
    if isinstance(bins, str):
        raise InputError(f"bins={bins!r} depends on all pixels, which is not supported here; give a number or edges")
    _no_weights(arguments)
    histogram_edges(None, bins, arguments["range"], "float64")


@declare(
    Composite(
        "numpy.histogram",
        images=("a",),
        dtype_kinds="iuf",
        check=_check_histogram,
        result=_histogram_result,
        returns=2,
    )
)
def _expand_histogram(arguments: Arguments, build: Build) -> Lazy:
    image, bins, given = (arguments[name] for name in ("a", "bins", "range"))
    bins = np.asarray(bins)[()]
    known = given is not None or bins.ndim > 0
    form = {"bins": bins, "range": given, "dtype": str(image.dtype)}
    extent = given if known and not arguments["result_index"] else build("lepton.extent", image=image)
    if arguments["result_index"]:
        return build("lepton.histogram_edges", extent=extent, **form)
    counts = build("lepton.binned", image=image, extent=extent, bins=bins)
    if not arguments["density"]:
        return counts
    edges = histogram_edges(None, **form) if known else build("lepton.histogram_edges", extent=extent, **form)
    return build("lepton.densities", counts=counts, edges=edges)


def _no_weights(arguments: Arguments) -> None:
    if arguments["weights"] is not None:
        raise InputError("weights are not supported here: sums of floats depend on their order; leave weights out")


_MAX_BINS = 2**25
"""Largest number of counts in a partial: 256 MiB per block."""


@declare(
    Reduction(
        "numpy.bincount",
        images=("x",),
        dtypes=("bool", "uint8", "uint16", "int8", "int16", "int32"),
        ndims=(1,),
        samples={"x": "counts"},
        check=_no_weights,
        merge=merge_counts,
        result=value_of(np.intp, -1),
        cost_ns=2.0,
    )
)
def _bincount(x: Array, minlength: int = 0) -> Partial:
    greatest = max(int(x.max(initial=0)), minlength)
    if greatest >= _MAX_BINS:
        raise InputError(
            f"bincount of values up to {greatest} would need a table of that length; "
            "use numpy.unique with return_counts=True"
        )
    return {"counts": np.bincount(x, minlength=minlength)}


def _unique_result(arguments: Arguments) -> ValueType:
    return (-1,), np.dtype(np.int64) if arguments.get("result_index") else arguments["ar"].dtype


@declare(
    Composite(
        "numpy.unique",
        images=("ar",),
        dtype_kinds="biu",
        check=check_defaults("unique", "return_counts"),
        result=_unique_result,
        returns=lambda arguments: 2 if arguments["return_counts"] else 0,
    )
)
def _expand_unique(arguments: Arguments, build: Build) -> Lazy:
    counts = build("lepton.value_counts", image=arguments["ar"])
    return build("lepton.occurrences" if arguments.get("result_index") else "lepton.occurring", counts=counts)
