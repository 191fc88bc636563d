"""What a catalogue entry is: one declarative record per function.

An entry is one of

- `Local`: a block of the result follows from a bounded neighbourhood of the inputs (pointwise functions, stencils);
- `Reduction`: one whole-image value, found by merging a partial of each block;
- `ValueFunction`: whole-image values in, a whole-image value out (no pixels);
- `Labelling`: blocks are labelled alone and joined across their faces;
- `Composite`: written in terms of the others; the planner expands it.

Functions here see NumPy arrays only. They know nothing of stores, jobs or Celery.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.grid import BlockGrid, Region

Array = NDArray[Any]
Arguments = Mapping[str, Any]
"""Arguments by parameter name: images and values with their shape and dtype, the rest as plain Python values."""
Partial = dict[str, Array]
"""What one block adds to a whole-image value: named arrays."""


class Exactness(StrEnum):
    """How the split result compares with scikit-image on the whole image."""

    IDENTICAL = "identical"
    ULP = "within k ulp"
    APPROXIMATE = "approximate"


class Geometry(Protocol):
    """How the pixels of a result depend on the pixels of its images."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        """Shape of the result for images of these shapes."""

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        """The region of each image from which `region` of the result follows."""

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        """`region`, cut from what the function returned for the regions read."""


def no_halo(arguments: Arguments) -> int:
    """Halo of a pointwise function."""
    return 0


@dataclass(frozen=True)
class Stencil:
    """Result and images have one shape; a pixel depends on those within `halo` pixels."""

    halo: Callable[[Arguments], int | tuple[int, ...]] = no_halo

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        if any(shape != images[0] for shape in images):
            listed = " and ".join(str(shape) for shape in images)
            raise InputError(f"images of shapes {listed} do not match; all images of one function need the same shape")
        return images[0]

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        """Pixels read on each side of each axis."""
        halo = self.halo(arguments)
        return (halo,) * ndim if isinstance(halo, int) else halo

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        return [region.expand(self.halo_px(region.ndim, arguments), shape) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.within(read[0])]


@dataclass(frozen=True)
class Entry:
    """What all entries of the catalogue have."""

    name: str
    """Public name, module and function: `filters.gaussian`."""
    source: str
    """Import path of the function whose result this gives: `skimage.filters.gaussian`."""
    images: tuple[str, ...] = ("image",)
    """Parameters that take an image."""
    values: tuple[str, ...] = ()
    """Parameters that take a whole-image value (a literal is welcome too)."""
    kinds: str = "biuf"
    """NumPy dtype kinds that the images may have."""
    check: Callable[[Arguments], None] | None = None
    """Raises InputError for arguments that would not be exact or make no sense."""
    exactness: Exactness = Exactness.IDENTICAL
    cost_ns: float = 2.0
    """Time per pixel on one core, a shipped default; only ratios matter to the planner's choices."""
    tap_ns: float = 0.0
    """Time per pixel more for each pixel that a separable kernel reaches, its axes added up."""

    @property
    def signature(self) -> inspect.Signature:
        """The parameters, as scikit-image has them."""
        return _signature(self.source)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, as the source's own signature takes them.

        Raises:
            InputError: an argument is missing, unknown or given twice.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(f"{self.name}: {error}; its parameters are {self.signature}") from None
        return dict(bound.arguments)

    def complete(self, arguments: Arguments) -> dict[str, Any]:
        """The arguments, with the source's defaults for those not given."""
        defaults = {
            name: parameter.default
            for name, parameter in self.signature.parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        return {**defaults, **arguments}

    def validate(self, arguments: Arguments) -> None:
        """Refuse what the function cannot do, before anything runs."""
        for name in self.images:
            image: Any = arguments.get(name)
            if not hasattr(image, "dtype"):
                continue  # left out, or a literal in a place that takes both
            if image.dtype.kind not in self.kinds or image.dtype in (np.float16, np.longdouble):
                raise DtypeNotSupported(
                    f"{self.name} cannot take {name} of dtype {image.dtype}; it takes {describe_kinds(self.kinds)}; "
                    f"convert it first, for instance with .astype"
                )
        if self.check is not None:
            self.check(self.complete(arguments))


@dataclass(frozen=True)
class Local(Entry):
    """A function of a bounded neighbourhood."""

    function: Callable[..., Array] | None = None
    """Called with the arguments by name, images as arrays of the regions read; None: the source itself."""
    geometry: Geometry = Stencil()
    located: bool = False
    """The function also wants `region`, the part of the image it is given, and `grid` where its input was labelled."""
    dtype: Callable[[Arguments], np.dtype[Any]] | None = None
    """Result dtype; None: found by trying the function on a few pixels."""

    def evaluate(self, arguments: Arguments) -> Array:
        """The function's result for arguments by name, images as arrays."""
        function = self.function if self.function is not None else resolve(self.source)
        if isinstance(function, np.ufunc):  # ufuncs take no names
            return np.asarray(function(*(arguments[name] for name in self.images)))
        return np.asarray(function(**arguments))


@dataclass(frozen=True)
class Reduction(Entry):
    """A whole-image value from a partial of each block."""

    partial: Callable[..., Partial] = dict
    """(arguments by name, images as arrays) -> this block's partial; also gets `region` when `located`."""
    merge: Callable[[Iterable[tuple[int, Partial]], Arguments, BlockGrid], Any] = lambda partials, arguments, grid: None
    """(block index, partial) in index order -> the value; streams, so that memory stays with one partial."""
    result: Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]] = lambda arguments: ((), np.dtype(float))
    """Shape and dtype of the value."""
    located: bool = False


@dataclass(frozen=True)
class ValueFunction(Entry):
    """Whole-image values in, a whole-image value out."""

    function: Callable[..., Any] = lambda: None
    result: Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]] = lambda arguments: ((), np.dtype(float))


@dataclass(frozen=True)
class Labelling(Entry):
    """Blocks labelled alone; `merge` says what the global label of each block's label is."""

    function: Callable[..., tuple[Array, Partial]] = lambda: (np.zeros(0), {})
    merge: Callable[[Iterable[tuple[int, Partial]], Arguments, BlockGrid], Any] = lambda partials, arguments, grid: None


Build = Callable[..., Any]
"""`build("filters.sobel", image=node, axis=0)` makes a node while a composite is expanded."""


@dataclass(frozen=True)
class Composite(Entry):
    """Written in terms of other entries."""

    expand: Callable[[Arguments, Build], Any] = lambda arguments, build: None
    """The node that stands for this one."""
    result: Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]] = lambda arguments: ((), np.dtype(float))
    """Shape and dtype of the result."""
    gives: str = "value"
    """What the user holds: an `image`, a `value` or a `table`."""


def resolve(path: str) -> Callable[..., Any]:
    """The function at an import path that stands in the catalogue; never a path from outside."""
    module, _, name = path.rpartition(".")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


@cache
def _signature(path: str) -> inspect.Signature:
    function = resolve(path)
    if isinstance(function, np.ufunc):  # ufuncs carry no signature
        names = [f"x{i + 1}" for i in range(function.nin)] if function.nin > 1 else ["x"]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature([inspect.Parameter(name, kind) for name in names])
    signature = inspect.signature(function)
    # `out` makes no sense on an image that is never whole; a stored graph gives all arguments by name
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        p.replace(kind=either) if p.kind is inspect.Parameter.POSITIONAL_ONLY else p
        for p in signature.parameters.values()
        if p.name != "out"
    ]
    return signature.replace(parameters=parameters)


def describe_kinds(kinds: str) -> str:
    """The dtype kinds in words: `bool, unsigned integers or floats`."""
    words = {"b": "bool", "i": "signed integers", "u": "unsigned integers", "f": "float32 and float64"}
    listed = [words[kind] for kind in kinds]
    return listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + " or " + listed[-1]
