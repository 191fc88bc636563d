"""`scipy.ndimage`: filters and morphology, with SciPy's own signatures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import cycle
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Build, Composite, Entry, Local, Refused, resolve
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.promise import IDENTICAL, Promise, within
from lepton_celery.catalogue.shared.axes import Lines, strips
from lepton_celery.catalogue.shared.halos import gaussian_radius, mirrored
from lepton_celery.errors import InputError
from lepton_celery.kernels import Kernel, trials
from lepton_celery.kernels.border import MODES, is_plain

Halo = Callable[[Arguments], int | tuple[int, ...]]
Check = Callable[[Arguments], None]

WINDOW = "size // 2 + |origin| per axis"

# ------------------------------------------------------------------------------------------------ parameters per axis


def _axes(arguments: Arguments) -> tuple[int, ...]:
    """The axes that the function filters, counted from the first."""
    ndim = len(arguments["input"].shape)
    axes: Any = arguments.get("axes")
    listed: Iterable[Any] = range(ndim) if axes is None else [axes] if np.isscalar(axes) else axes
    if any(not -ndim <= axis < ndim for axis in listed):
        raise InputError(f"axes={axes} for an image of {ndim} axes; give axes from {-ndim} to {ndim - 1}")
    return tuple(int(axis) % ndim for axis in listed)


def _axis(arguments: Arguments) -> int:
    return _axes({**arguments, "axes": arguments["axis"]})[0]


def _per_axis(value: Any, arguments: Arguments, name: str, rest: Any = 0) -> list[Any]:
    """One for all filtered axes or one for each of them, as one for each axis of the image; `rest` on the others."""
    axes = _axes(arguments)
    values = list(value) if np.iterable(value) and not isinstance(value, str) else [value] * len(axes)
    if len(values) != len(axes):
        raise InputError(f"{name}={value} has {len(values)} members for {len(axes)} axes; give one for each axis")
    found = [rest] * len(arguments["input"].shape)
    for axis, member in zip(axes, values, strict=True):
        found[axis] = member
    return found


def _widths(value: Any, arguments: Arguments, name: str, rest: float = 0) -> list[Any]:
    """As `_per_axis`, for halos: SciPy goes by the order of `axes` in some places only, so with another than the
    ascending one every axis gets the widest."""
    found, axes = _per_axis(value, arguments, name, rest), _axes(arguments)
    if list(axes) == sorted(axes):
        return found
    return [max(map(abs, found)) if at in axes else rest for at in range(len(found))]


def _window_shape(arguments: Arguments) -> Any:
    """Shape of the window, or its length on every axis: footprint before structure before size, as SciPy has it."""
    for name in ("footprint", "structure"):
        if arguments.get(name) is not None:
            return np.shape(arguments[name])
    if arguments["size"] is None:
        raise InputError("the window has no size; give size or footprint")
    return arguments["size"]


def _reach(shape: Any, arguments: Arguments, origin: str = "origin") -> tuple[int, ...]:
    """How far a window of `shape` reaches from the pixel that it is for."""
    sizes, origins = _widths(shape, arguments, "size", 1), _widths(arguments[origin], arguments, origin)
    reach = tuple(int(size) // 2 + abs(int(shift)) for size, shift in zip(sizes, origins, strict=True))
    if "axis" not in arguments:  # along one axis only, SciPy mirrors as often as needed
        mirrored(reach, arguments["input"].shape, arguments.get("mode"))
    return reach


def _window(passes: int = 1) -> Halo:
    return lambda arguments: tuple(passes * reach for reach in _reach(_window_shape(arguments), arguments))


def _along_axis(halo: Callable[[Arguments], tuple[int, ...]]) -> Halo:
    """The halo of a function that filters along one axis."""
    return lambda arguments: halo({**arguments, "axes": (_axis(arguments),)})


def _weights(arguments: Arguments) -> tuple[int, ...]:
    return _reach(np.shape(arguments["weights"]), arguments)


def _gaussian(arguments: Arguments, radius: Arguments | None = None) -> tuple[int, ...]:
    """The reach of a gaussian; `radius`: the arguments with the axes that the radius is for, where these are others."""
    truncate, given = arguments.get("truncate", 4.0), arguments.get("radius")
    sigmas = _widths(arguments["sigma"], arguments, "sigma")
    radii = [None] * len(sigmas) if given is None else _widths(given, radius or arguments, "radius")
    return tuple(
        0 if s <= 1e-15 else gaussian_radius(s, truncate) if r is None else int(r)
        for s, r in zip(sigmas, radii, strict=True)
    )


def _gaussian_laplace(arguments: Arguments) -> tuple[int, ...]:
    return _gaussian(arguments, radius={**arguments, "axes": None})


def _gaussian_gradient(arguments: Arguments) -> tuple[int, ...]:
    return _gaussian({**arguments, "axes": None})  # it smooths along all axes, `axes` are those it differentiates along


def _structure_shape(structure: Any) -> Any:
    return 3 if structure is None else np.shape(structure)


def _structure(passes: int) -> Halo:
    def halo(arguments: Arguments) -> tuple[int, ...]:
        once = _reach(_structure_shape(arguments["structure"]), arguments)
        return tuple(passes * int(arguments["iterations"]) * reach for reach in once)

    return halo


def _hit_or_miss(arguments: Arguments) -> tuple[int, ...]:
    hit, miss = arguments["structure1"], arguments["structure2"]
    second = "origin1" if arguments["origin2"] is None else "origin2"
    first = _reach(_structure_shape(hit), arguments, "origin1")
    other = _reach(_structure_shape(hit if miss is None else miss), arguments, second)
    return tuple(map(max, first, other))


# ------------------------------------------------------------------------------------------------ what is refused


def _check(arguments: Arguments) -> None:
    """Refuse what is not supported, for every function here."""
    _check_output(arguments.get("output"))
    mode = arguments.get("mode")
    if mode == "grid-wrap":
        raise InputError("mode='grid-wrap' is not supported here; mode='wrap' is the same for these filters")
    if not isinstance(mode, str | None) and any(str(one).endswith("wrap") for one in mode):
        raise InputError(f"mode={mode} wraps some axes, which is not supported here; give mode='wrap' for all axes")
    if np.iscomplexobj(arguments.get("weights", 0)) or np.iscomplexobj(arguments.get("cval", 0)):
        raise InputError("complex weights are not supported here; filter with their real and imaginary parts in turn")
    footprint, structure = arguments.get("footprint"), arguments.get("structure")
    if footprint is not None and structure is not None and np.shape(footprint) != np.shape(structure):
        raise InputError(
            f"footprint of shape {np.shape(footprint)} and structure of shape {np.shape(structure)} do not match; "
            "give both the same shape"
        )


def _check_size(arguments: Arguments) -> None:
    _check(arguments)
    if np.min(arguments["size"]) < 1:
        raise InputError(f"size={arguments['size']} is too small; give at least 1")


def _check_output(output: Any) -> None:
    if output is None:
        return
    if isinstance(output, np.ndarray) or np.dtype(output).kind not in "iuf":
        raise InputError(
            f"output is {type(output).__name__} {output!r}; give a dtype of integers or floats, the result is returned"
        )


def _check_binary(arguments: Arguments) -> None:
    if arguments["output"] is not None:
        raise InputError("output is not supported here; the result is returned")
    if arguments.get("iterations", 1) < 1:
        raise InputError(
            f"iterations={arguments['iterations']} goes on until nothing changes anywhere in the image; "
            "give how many iterations at least 1, or use morphology.reconstruction"
        )


def _output_dtype(arguments: Arguments) -> np.dtype[Any]:
    given = arguments["output"]
    dtype: np.dtype[Any] = arguments["input"].dtype if given is None else np.dtype(given)
    return dtype


# ------------------------------------------------------------------------------------------------ running minima, ranks


def _has_gaps(arguments: Arguments) -> bool:
    """Whether the window is not a plain box, which SciPy goes through line by line."""
    footprint = arguments.get("footprint")
    return arguments.get("structure") is not None or (footprint is not None and not np.all(footprint))


def _runs(name: str) -> Callable[[Arguments], bool]:
    """Whether SciPy finds a minimum, maximum or rank from that of the pixel before."""

    def box(arguments: Arguments) -> bool:
        return not _has_gaps(arguments)

    def rank(arguments: Arguments) -> bool:
        if len(arguments["input"].shape) == 1:
            return True
        sizes = _per_axis(_window_shape({"size": None, **arguments}), arguments, "size", 1)
        size = (
            math.prod(sizes)
            if arguments.get("footprint") is None
            else int(np.sum(np.asarray(arguments["footprint"]) != 0))
        )
        if name == "percentile_filter":
            wanted = int(size * (float(arguments["percentile"]) % 100) / 100)
            extreme = arguments["percentile"] == 100 or wanted == 0
        else:
            wanted = size // 2 if name == "median_filter" else int(arguments["rank"]) % size
            extreme = wanted == 0
        return not _has_gaps(arguments) and (extreme or wanted == size - 1)

    return rank if name in _RANKS else box


def _without_nan(name: str) -> Callable[..., Array]:
    """Source: `scipy.ndimage.{name}`; where it goes on from the pixel before, NaN would run on along the line."""
    runs = _runs(name)

    def function(**arguments: Any) -> Array:
        image = arguments["input"]
        if image.dtype.kind == "f" and runs(arguments) and np.isnan(image).any():
            raise InputError(
                f"the image has NaN, which SciPy's ndimage.{name} of a box carries along whole lines; "
                "fill it first, for instance with numpy.nan_to_num"
            )
        result: Array = resolve(f"scipy.ndimage.{name}")(**arguments)
        return result

    return function


def _rank_promise(arguments: Arguments) -> Promise:
    if len(arguments["input"].shape) == 1 and arguments["input"].dtype.kind == "f":
        return within(1, "of 0.0 and -0.0, SciPy's running rank of a line gives now the one and now the other")
    return IDENTICAL


# ------------------------------------------------------------------------------------------------ running sums, splines


def _sums_exactly(arguments: Arguments, sizes: Iterable[int]) -> bool:
    """Whether running sums have no rounding: those of integers that a double holds."""
    modes = [arguments["mode"]] if isinstance(arguments["mode"], str) else arguments["mode"]
    whole_cval = float(arguments["cval"]).is_integer() and abs(arguments["cval"]) < 2**32
    dtypes = (arguments["input"].dtype, _output_dtype(arguments))
    return (
        all(dtype.kind in "biu" and dtype.itemsize <= 4 for dtype in dtypes)
        and (whole_cval or not any("constant" in mode for mode in modes))
        and max(sizes, default=1) < 2**20
    )


def _expand_uniform(arguments: Arguments, build: Build) -> Any:
    """Running sums of floats carry their rounding along the line: these go axis by axis, over whole lines."""
    arguments = dict(arguments)
    if one := "axis" in arguments:
        arguments["axes"] = (_axis(arguments),)
        del arguments["axis"]
    named = {"size": 1, "origin": 0, "mode": "reflect"}
    table = {name: _per_axis(arguments[name], arguments, name, rest) for name, rest in named.items()}
    if _sums_exactly(arguments, table["size"]):
        return build("lepton.uniform_filter", **arguments)
    node, output = arguments["input"], arguments["output"]
    for axis in _axes(arguments):
        if table["size"][axis] > 1 or one:  # uniform_filter1d adds up differences even for a size of 1
            options: dict[str, Any] = {name: values[axis] for name, values in table.items()}
            options["size"] = int(options["size"])
            node = build("lepton.uniform_line", input=node, axis=axis, output=output, cval=arguments["cval"], **options)
            output = None
    if node is arguments["input"]:
        return build("numpy.astype", x=node, dtype=_output_dtype(arguments).name)
    return node


def _expand_spline(arguments: Arguments, build: Build) -> Any:
    node, options = arguments["input"], {name: arguments[name] for name in ("order", "output", "mode")}
    for axis in [_axis(arguments)] if "axis" in arguments else _axes(arguments):
        node = build("lepton.spline_line", input=node, axis=axis, **options)
    return node


def _check_spline(arguments: Arguments) -> None:
    _check_output(arguments["output"])
    if "axis" not in arguments and arguments["order"] not in (2, 3, 4, 5):
        raise InputError(f"order={arguments['order']} is no spline to filter for; give an order from 2 to 5")


# ------------------------------------------------------------------------------------------------ entries

_LINEAR: Mapping[str, tuple[Halo, str, float, float]] = {
    "gaussian_filter": (_gaussian, "int(truncate * sigma + 0.5) or radius, per axis", 4.0, 0.33),
    "gaussian_filter1d": (_along_axis(_gaussian), "int(truncate * sigma + 0.5) or radius, along axis", 1.0, 0.2),
    "gaussian_laplace": (_gaussian_laplace, "as gaussian_filter", 10.0, 0.66),
    "gaussian_gradient_magnitude": (_gaussian_gradient, "as gaussian_filter, on all axes", 12.0, 0.66),
    "laplace": (lambda a: 1, "1", 15.0, 0.0),
    "sobel": (lambda a: 1, "1", 8.0, 0.0),
    "prewitt": (lambda a: 1, "1", 8.0, 0.0),
    "correlate": (_weights, "weights.shape // 2 + |origin|", 10.0, 0.0),
    "convolve": (_weights, "weights.shape // 2 + |origin|", 10.0, 0.0),
    "correlate1d": (_along_axis(_weights), "len(weights) // 2 + |origin| along axis", 2.0, 0.0),
    "convolve1d": (_along_axis(_weights), "len(weights) // 2 + |origin| along axis", 2.0, 0.0),
}


def _takes_median(arguments: Arguments) -> bool:
    """Whether the compiled median takes the arguments: 3 × 3 pixels around each one of small integers."""
    image, footprint, mode = arguments["input"], arguments["footprint"], arguments["mode"]
    if not is_plain(image) or image.dtype.name not in ("uint8", "uint16", "int16") or image.ndim != 2:
        return False
    if footprint is None:
        window = np.shape(arguments["size"]) in ((), (2,)) and bool(np.all(np.equal(arguments["size"], 3)))
    else:
        window = np.shape(footprint) == (3, 3) and bool(np.all(footprint))
    info, cval = np.iinfo(image.dtype), float(arguments["cval"])
    inside = mode != "constant" or (cval.is_integer() and info.min <= cval <= info.max)
    return window and isinstance(mode, str) and mode in MODES and inside and not np.any(arguments["origin"])


def _median_trials() -> Iterator[dict[str, Any]]:
    for image in trials.integers("uint8", "uint16", "int16"):
        if image.ndim == 2:
            for mode in MODES:
                yield _trial(image, mode, size=3, footprint=None, cval=7)


def _takes_gaussian(arguments: Arguments) -> bool:
    """Whether the compiled gaussian takes the arguments: images of floats, no derivative."""
    image, mode = arguments["input"], arguments["mode"]
    plain = is_plain(image) and image.dtype.kind == "f" and isinstance(mode, str) and mode in MODES
    positive = bool(np.all(np.asarray(arguments["sigma"]) >= 0))
    return plain and positive and not np.any(arguments["order"]) and arguments["radius"] is None


def _gaussian_trials() -> Iterator[dict[str, Any]]:
    modes = cycle(MODES)
    for image in trials.floats():
        yield _trial(image, next(modes), sigma=1.7, order=0, cval=0.3, truncate=3.0, radius=None)


def _trial(image: Array, mode: str, **arguments: Any) -> dict[str, Any]:
    rest = {"origin": 0} if "size" in arguments else {}
    return {"input": image, "mode": mode, "output": None, "axes": None, **rest, **arguments}


def _is_all(takes: Callable[[Arguments], bool]) -> Callable[[Arguments], bool]:
    """The predicate, of results of the image's own dtype and of all axes."""
    return lambda arguments: arguments["output"] is None and arguments["axes"] is None and takes(arguments)


_KERNELS = {
    "median_filter": Kernel("lepton_celery.kernels.median.median_filter", _is_all(_takes_median), _median_trials),
    "gaussian_filter": Kernel(
        "lepton_celery.kernels.gaussian.gaussian_filter", _is_all(_takes_gaussian), _gaussian_trials
    ),
}

_RANKS = {"median_filter": 160.0, "percentile_filter": 80.0, "rank_filter": 80.0}
_EXTREMA = {"minimum_filter": 30.0, "maximum_filter": 30.0, "grey_erosion": 30.0, "grey_dilation": 30.0}
_GREY = {
    **{name: (1, cost) for name, cost in (_RANKS | _EXTREMA).items()},
    "grey_opening": (2, 60.0),
    "grey_closing": (2, 60.0),
    "white_tophat": (2, 62.0),
    "black_tophat": (2, 62.0),
    "morphological_gradient": (1, 62.0),
    "morphological_laplace": (1, 65.0),
}
"""Passes of the window, and nanoseconds per pixel of a small one."""
_BINARY = {"binary_erosion": 1, "binary_dilation": 1, "binary_opening": 2, "binary_closing": 2}

_FUNCTION = "it takes a function, which cannot be sent to workers"
_SPECTRUM = "it multiplies the spectrum of the whole image"
_MOVED = "each pixel comes from a place that the whole image's shape and spline decide"
_OBJECTS = "it gives a list for each object of the whole image"
_TABLE = "measure.regionprops_table"
_REFUSED: Mapping[str, tuple[str, str]] = {
    "generic_filter": (_FUNCTION, "lepton.map_blocks with the function's name and reach"),
    "generic_filter1d": (_FUNCTION, "lepton.map_blocks with the function's name and reach"),
    "vectorized_filter": (_FUNCTION, "lepton.map_blocks with the function's name and reach"),
    "generic_laplace": (_FUNCTION, "ndimage.laplace or ndimage.gaussian_laplace"),
    "generic_gradient_magnitude": (_FUNCTION, "ndimage.gaussian_gradient_magnitude or filters.sobel"),
    "fourier_ellipsoid": (_SPECTRUM, "ndimage.convolve with that kernel"),
    "fourier_gaussian": (_SPECTRUM, "ndimage.gaussian_filter"),
    "fourier_shift": (_SPECTRUM, "scipy.ndimage.fourier_shift on the whole image"),
    "fourier_uniform": (_SPECTRUM, "ndimage.uniform_filter"),
    "zoom": (_MOVED, "transform.rescale, or compute it on the whole image"),
    "rotate": (_MOVED, "transform.rotate, or compute it on the whole image"),
    "shift": (_MOVED, "slices for whole pixels, or compute it on the whole image"),
    "affine_transform": (_MOVED, "transform.warp, or compute it on the whole image"),
    "geometric_transform": (_FUNCTION, "transform.warp, or compute it on the whole image"),
    "map_coordinates": (_MOVED, "transform.warp, or compute it on the whole image"),
    "watershed_ift": ("it floods from all markers at once over the whole image", "segmentation.watershed"),
    "find_objects": (_OBJECTS, f"{_TABLE} with properties=('label', 'bbox')"),
    "value_indices": (_OBJECTS, f"{_TABLE} with properties=('label', 'bbox')"),
    "labeled_comprehension": (_FUNCTION, _TABLE),
    **dict.fromkeys(("sum", "sum_labels", "mean", "median", "variance", "standard_deviation"), (_OBJECTS, _TABLE)),
    **dict.fromkeys(("minimum", "maximum", "extrema", "histogram", "center_of_mass"), (_OBJECTS, _TABLE)),
    **dict.fromkeys(("minimum_position", "maximum_position"), (_OBJECTS, _TABLE)),
}
_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    **{name: {"sigma": 1.0} for name in _LINEAR if name.startswith("gaussian")},
    **{
        name: {"weights": lambda ndim: np.arange(1.0, 4.0).reshape((1,) * (ndim - 1) + (3,))}
        for name in ("correlate", "convolve")
    },
    **{name: {"weights": np.array([1.0, 2.0, 1.0])} for name in ("correlate1d", "convolve1d")},
    **{name: {"size": 3} for name in _GREY},
    **{name: {"size": 3} for name in ("minimum_filter1d", "maximum_filter1d")},
    "percentile_filter": {"size": 3, "percentile": 30},
    "rank_filter": {"size": 3, "rank": 2},
}


def _local(name: str, halo: Halo, formula: str, **options: Any) -> Local:
    options.setdefault("images", ("input",))
    options.setdefault("check", _check)
    return Local(
        name=f"ndimage.{name}",
        source=f"scipy.ndimage.{name}",
        geometry=Stencil(halo, formula),
        example=_EXAMPLES.get(name, {}),
        kernel=_KERNELS.get(name),
        **options,
    )


def _grey(name: str, passes: int, cost_ns: float) -> Local:
    promise = _rank_promise if name in _RANKS else IDENTICAL
    formula = f"{passes} * ({WINDOW})" if passes > 1 else WINDOW
    kinds = "iuf" if name.startswith("morphological") else "biuf"
    return _local(
        name, _window(passes), formula, function=_without_nan(name), promise=promise, dtype_kinds=kinds, cost_ns=cost_ns
    )


def _composite(name: str, expand: Callable[[Arguments, Build], Any], cost_ns: float, **options: Any) -> Composite:
    return Composite(
        name=f"ndimage.{name}",
        source=f"scipy.ndimage.{name}",
        images=("input",),
        expand=expand,
        gives="image",
        cost_ns=cost_ns,
        **options,
    )


def _part(name: str, source: str, geometry: Any, **options: Any) -> Local:
    return Local(
        name=f"lepton.{name}", source=f"scipy.ndimage.{source}", images=("input",), geometry=geometry, **options
    )


def entries() -> list[Entry]:
    """Filters and morphology of SciPy."""
    return [
        *[
            _local(name, halo, formula, cost_ns=cost, tap_ns=tap)
            for name, (halo, formula, cost, tap) in _LINEAR.items()
        ],
        *[_grey(name, passes, cost) for name, (passes, cost) in _GREY.items()],
        *[
            _local(
                f"{name}_filter1d",
                _along_axis(lambda arguments: _reach(arguments["size"], arguments)),
                "size // 2 + |origin| along axis",
                function=_without_nan(f"{name}_filter1d"),
                cost_ns=7.0,
            )
            for name in ("minimum", "maximum")
        ],
        *[
            _local(
                name,
                _structure(passes),
                f"{passes} * iterations * (structure.shape // 2 + |origin|)",
                images=("input", "mask"),
                samples={"input": "mask", "mask": "mask"},
                check=_check_binary,
                cost_ns=20.0 * passes,
            )
            for name, passes in _BINARY.items()
        ],
        _local(
            "binary_hit_or_miss",
            _hit_or_miss,
            "structure.shape // 2 + |origin|, of the larger",
            samples={"input": "mask"},
            check=_check_binary,
            cost_ns=40.0,
        ),
        _composite("uniform_filter", _expand_uniform, 6.0, check=_check_size),
        _composite("uniform_filter1d", _expand_uniform, 2.0, check=_check_size, example={"size": 3}),
        _composite("spline_filter", _expand_spline, 10.0, check=_check_spline),
        _composite("spline_filter1d", _expand_spline, 10.0, check=_check_spline),
        _part("uniform_filter", "uniform_filter", Stencil(_window()), cost_ns=12.0),
        _part("uniform_line", "uniform_filter1d", Lines(), own_stage=strips, cost_ns=2.0),
        _part("spline_line", "spline_filter1d", Lines(), own_stage=strips, cost_ns=5.0),
        *[
            Refused(
                name=f"ndimage.{name}",
                source=f"scipy.ndimage.{name}",
                images=("input",),
                reason=reason,
                instead=instead,
            )
            for name, (reason, instead) in _REFUSED.items()
        ],
    ]
