"""`scipy.ndimage`: uniform and spline filters, whose rounding errors propagate along whole lines of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, DType, Lazy
from lepton_celery.catalogue.entries import Build, Composite, Local
from lepton_celery.catalogue.geometry import Geometry, Stencil
from lepton_celery.catalogue.ndimage.checks import check_size, check_spline
from lepton_celery.catalogue.ndimage.windows import axes_of, axis_of, per_axis, window_halo
from lepton_celery.catalogue.shared.axes import Lines, strips


def _output_dtype(arguments: Arguments) -> DType:
    given = arguments["output"]
    dtype: DType = arguments["input"].dtype if given is None else np.dtype(given)
    return dtype


def _adds_up_exactly(arguments: Arguments, sizes: Iterable[int]) -> bool:
    """Whether running sums are exact, because float64 can hold them as integers."""
    modes = [arguments["mode"]] if isinstance(arguments["mode"], str) else arguments["mode"]
    whole_cval = float(arguments["cval"]).is_integer() and abs(arguments["cval"]) < 2**32
    dtypes = (arguments["input"].dtype, _output_dtype(arguments))
    return (
        all(dtype.kind in "biu" and dtype.itemsize <= 4 for dtype in dtypes)
        and (whole_cval or not any("constant" in mode for mode in modes))
        and max(sizes, default=1) < 2**20
    )


def _expand_uniform(arguments: Arguments, build: Build) -> Lazy:
    """The node that filters blocks if running sums are exact, else nodes that filter whole lines, one per axis."""
    arguments = dict(arguments)
    if along_one_axis := "axis" in arguments:
        arguments["axes"] = (axis_of(arguments),)
        del arguments["axis"]
    named = {"size": 1, "origin": 0, "mode": "reflect"}
    table = {name: per_axis(arguments[name], arguments, name, rest) for name, rest in named.items()}
    if _adds_up_exactly(arguments, table["size"]):
        return build("lepton.uniform_filter", **arguments)
    image: Lazy = arguments["input"]
    node, output = image, arguments["output"]
    for axis in axes_of(arguments):
        if table["size"][axis] > 1 or along_one_axis:  # uniform_filter1d keeps a running sum even for a size of 1
            options: dict[str, Any] = {name: values[axis] for name, values in table.items()}
            options["size"] = int(options["size"])
            node = build("lepton.uniform_line", input=node, axis=axis, output=output, cval=arguments["cval"], **options)
            output = None
    if node is image:
        return build("numpy.astype", x=node, dtype=_output_dtype(arguments).name)
    return node


def _expand_spline(arguments: Arguments, build: Build) -> Lazy:
    node: Lazy = arguments["input"]
    options = {name: arguments[name] for name in ("order", "output", "mode")}
    for axis in [axis_of(arguments)] if "axis" in arguments else axes_of(arguments):
        node = build("lepton.spline_line", input=node, axis=axis, **options)
    return node


def _composite(name: str, expand: Callable[[Arguments, Build], Lazy], cost_ns: float, **options: Any) -> Composite:
    return Composite(f"ndimage.{name}", images=("input",), expand=expand, gives="image", cost_ns=cost_ns, **options)


def _internal(name: str, source: str, geometry: Geometry, **options: Any) -> Local:
    return Local(f"lepton.{name}", source=f"scipy.ndimage.{source}", images=("input",), geometry=geometry, **options)


ENTRIES = (
    _composite("uniform_filter", _expand_uniform, 6.0, check=check_size),
    _composite("uniform_filter1d", _expand_uniform, 2.0, check=check_size, example={"size": 3}),
    _composite("spline_filter", _expand_spline, 10.0, check=check_spline),
    _composite("spline_filter1d", _expand_spline, 10.0, check=check_spline),
    _internal("uniform_filter", "uniform_filter", Stencil(window_halo()), cost_ns=12.0),
    _internal("uniform_line", "uniform_filter1d", Lines(), own_stage=strips, cost_ns=2.0),
    _internal("spline_line", "spline_filter1d", Lines(), own_stage=strips, cost_ns=5.0),
)
