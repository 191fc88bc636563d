"""What a catalogue entry is: one declarative record per function.

An entry is one of

- `Local`: a block of the result follows from a bounded neighbourhood of the inputs (pointwise functions, stencils);
- `Reduction`: one whole-image value, found by merging a partial of each block;
- `ValueFunction`: whole-image values in, a whole-image value out (no pixels);
- `Labelling`: blocks are labelled alone and joined across their faces;
- `Sweep`: an image that settles, gone over in rounds until nothing changes;
- `Composite`: written in terms of the others; the planner expands it;
- `Refused`: cannot be split exactly, and says why and what to use instead.

Functions here see NumPy arrays only. They know nothing of stores, jobs or Celery.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, cached_property
from importlib import import_module
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lepton_celery.errors import DtypeNotSupported, InputError, NotExact
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.kernels import Kernel, load

Array = NDArray[Any]
Arguments = Mapping[str, Any]
"""Arguments by parameter name: images and values with their shape and dtype, the rest as plain Python values."""
Partial = dict[str, Array]
"""What one block adds to a whole-image value: named arrays."""


Combine = Callable[[Iterable[tuple[int, Partial]], Arguments, BlockGrid, Region], Partial]
"""(block index, partial) in index order, arguments, their grid, the group's region -> the group's partial."""


class Exactness(StrEnum):
    """How the split result compares with scikit-image on the whole image."""

    IDENTICAL = "identical"
    ULP = "within k ulp"
    APPROXIMATE = "approximate"
    REFUSED = "refused"


@dataclass(frozen=True)
class Promise:
    """What an entry promises of its result, and why it cannot promise more."""

    exactness: Exactness
    ulp: int = 0
    """Most units in the last place of the result's greatest magnitude that a pixel may differ by; 0: no such bound."""
    reason: str = ""
    """Why it is not identical, for the warning a user gets."""

    def __str__(self) -> str:
        return f"within {self.ulp} ulp" if self.exactness is Exactness.ULP else str(self.exactness)


IDENTICAL = Promise(Exactness.IDENTICAL)


def within(ulp: int, reason: str) -> Promise:
    """Results may differ in the last places."""
    return Promise(Exactness.ULP, ulp, reason)


def approximate(reason: str) -> Promise:
    """Results are of the same kind but not the same pixels; jobs report their seams."""
    return Promise(Exactness.APPROXIMATE, 0, reason)


Sample = Literal["image", "rgb", "rgba", "labels", "mask", "markers", "upper", "counts"]
"""What an image parameter wants to be tried with: any image, one with channels, int labels, bool, sparse int markers,
one that is nowhere below the image before it, or small numbers of things."""


@dataclass(frozen=True)
class Where:
    """Where in the whole image a function is at work."""

    region: Region
    """The part of the first image that the function is given; for functions that read for themselves, what they make."""
    shape: tuple[int, ...]
    """Shape of the whole first image."""
    grid: BlockGrid | None = None
    """The blocks in which the first image was labelled or stored, where it was."""
    result: Region | None = None
    """The part of the result that is wanted, which `region` does not tell where pixels do not lie over pixels."""


class View(Protocol):
    """A stored image that a function reads for itself, any region at a time."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def read(self, region: Region) -> Array:
        """The pixels of a region, C-contiguous."""


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
    formula: str = "0"
    """The halo in words, for the catalogue's table: `int(truncate * sigma + 0.5)`."""

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
        halo = self.halo_px(region.ndim, arguments)
        return [region.expand(halo, shape) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result if read[0] == region else result[region.within(read[0])]


@dataclass(frozen=True)
class Whole:
    """Every pixel may depend on all pixels; the function sees the whole image at once."""

    def result_shape(self, images: Sequence[tuple[int, ...]], arguments: Arguments) -> tuple[int, ...]:
        return images[0]

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        return [Region.whole(shape) for shape in images]

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result[region.slices]


BlockRule = Callable[[tuple[int, ...], tuple[int, ...], Arguments], tuple[int, ...]]
"""(image shape, block shape wanted, arguments) -> the block shape that a function's own stage must have."""


def one_block(shape: tuple[int, ...], wanted: tuple[int, ...], arguments: Arguments) -> tuple[int, ...]:
    """The whole image as one block."""
    return shape


def any_block(shape: tuple[int, ...], wanted: tuple[int, ...], arguments: Arguments) -> tuple[int, ...]:
    """Whatever the planner chooses."""
    return wanted


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
    promise: Promise | Callable[[Arguments], Promise] = IDENTICAL
    """How the result compares with the source's on the whole image; a function where it depends on the arguments."""
    dtypes: tuple[str, ...] = ()
    """The dtypes the images may have, where `kinds` would be too many."""
    ndims: tuple[int, ...] = ()
    """Numbers of axes, channels not counted, that the first image may have; none: any."""
    example: Mapping[str, Any] = field(default_factory=dict)
    """Arguments to try the function with, where the source has no defaults; functions of the number of axes among them."""
    samples: Mapping[str, Sample] = field(default_factory=dict)
    """What image parameters want to be tried with; `image` for those not named."""
    finite: bool = False
    """Pixels must not be NaN: the source's result would mean nothing, or depend on what its memory held before."""
    sequences: tuple[str, ...] = ()
    """Parameters that take a sequence of images; a node has each of them as an argument of its own, `name.0`, `name.1` …"""
    parts: int | Callable[[Arguments], int] = 0
    """How many results the source returns, where it returns a sequence of them; each is a node with an argument `part`."""
    assisted: bool = False
    """The function also wants `kernels`: whether compiled ones may do parts of it."""
    cost_ns: float = 2.0
    """Time per pixel on one core, a shipped default; only ratios matter to the planner's choices."""
    tap_ns: float = 0.0
    """Time per pixel more for each pixel that a separable kernel reaches, its axes added up."""
    taps: Callable[[int, Arguments], float] | None = None
    """(number of axes, complete arguments) -> what `tap_ns` is multiplied by, where the kernel is not separable."""

    @property
    def signature(self) -> inspect.Signature:
        """The parameters, as scikit-image has them."""
        return _signature(self.source)

    def promised(self, arguments: Arguments) -> Promise:
        """What holds for these arguments."""
        return self.promise(self.complete(arguments)) if callable(self.promise) else self.promise

    def example_for(self, ndim: int) -> dict[str, Any]:
        """Arguments to try the function with on an image of so many axes."""
        return {name: value(ndim) if callable(value) else value for name, value in self.example.items()}

    def declared_dtypes(self) -> tuple[str, ...]:
        """Every dtype that the images may have."""
        return self.dtypes or tuple(name for kind in self.kinds for name in _DTYPES[kind])

    def accepts(self, dtype: np.dtype[Any]) -> bool:
        return dtype.newbyteorder("=").name in self.declared_dtypes()

    def image_names(self, arguments: Arguments) -> list[str]:
        """The arguments that may be images, members of sequences among them."""
        members = [name for name in arguments if name.partition(".")[0] in self.sequences and "." in name]
        return [*self.images, *members]

    def spread(self, arguments: Arguments) -> dict[str, Any]:
        """Arguments with each member of a sequence of images by itself."""
        spread: dict[str, Any] = {}
        for name, value in arguments.items():
            if name in self.sequences:
                spread |= {f"{name}.{at}": member for at, member in enumerate(value)}
            else:
                spread[name] = value
        return spread

    def gathered(self, arguments: Arguments) -> dict[str, Any]:
        """The opposite of `spread`."""
        gathered: dict[str, Any] = {}
        for name, value in arguments.items():
            head, dot, _ = name.partition(".")
            if dot and head in self.sequences:
                gathered.setdefault(head, []).append(value)
            else:
                gathered[name] = value
        return gathered

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, as the source's own signature takes them.

        Raises:
            InputError: an argument is missing, unknown or given twice.
        """
        kwargs = dict(kwargs)
        part = {"part": kwargs.pop("part")} if self.parts and "part" in kwargs else {}
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(f"{self.name}: {error}; its parameters are {self.signature}") from None
        arguments = dict(bound.arguments) | part
        for parameter in self.signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= arguments.pop(parameter.name, {})
        return arguments

    def complete(self, arguments: Arguments) -> dict[str, Any]:
        """The arguments, with the source's defaults for those not given."""
        return {**self._defaults, **arguments}

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        return {
            name: parameter.default
            for name, parameter in self.signature.parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }

    def validate(self, arguments: Arguments) -> None:
        """Refuse what the function cannot do, before anything runs."""
        for name in self.image_names(arguments):
            image: Any = arguments.get(name)
            if not hasattr(image, "dtype"):
                continue  # left out, or a literal in a place that takes both
            if name == "mask" and image.dtype.kind in "biu":
                continue  # what counts is where it is not 0
            if not self.accepts(image.dtype):
                taken = " ".join(self.dtypes) if self.dtypes else describe_kinds(self.kinds)
                raise DtypeNotSupported(
                    f"{self.name} cannot take {name} of dtype {image.dtype}; it takes {taken}; "
                    f"convert it first, for instance with .astype"
                )
        complete = self.complete(arguments)
        first: Any = next((complete[name] for name in self.image_names(complete) if name in complete), None)
        if self.ndims and hasattr(first, "shape"):
            ndim = len(first.shape) - (complete.get("channel_axis") is not None)
            if ndim not in self.ndims:
                raise InputError(
                    f"{self.name} takes images of {' or '.join(map(str, self.ndims))} axes (channels not counted); "
                    f"this one has {ndim}, its shape is {tuple(first.shape)}"
                )
        if self.check is not None:
            self.check(complete)


@dataclass(frozen=True)
class Local(Entry):
    """A function of a bounded neighbourhood."""

    function: Callable[..., Array] | None = None
    """Called with the arguments by name, images as arrays of the regions read; None: the source itself."""
    geometry: Geometry = Stencil()
    located: bool = False
    """The function also wants `where`."""
    stage: BlockRule | None = None
    """The function wants a stage of its own, in these blocks, and later stages read its stored result."""
    readers: bool = False
    """The function gets its images as `View`s and reads for itself (then `dtype` must be given, and `where` is passed).
    What it reads is stored first, where it is not an input."""
    dtype: Callable[[Arguments], np.dtype[Any]] | None = None
    """Result dtype; None: found by trying the function on a few pixels."""
    kernel: Kernel | None = None
    """A compiled function that gives the source's bytes for some arguments."""

    def evaluate(self, arguments: Arguments, *, kernels: bool = False) -> Array:
        """The function's result for arguments by name, images as arrays.

        `kernels`: whether its compiled kernel does it, where that covers the arguments.
        """
        if kernels and self.kernel is not None:
            complete = self.complete(arguments)
            if self.kernel.covers(complete) and (compiled := load(self.kernel, resolve(self.source))) is not None:
                return np.asarray(compiled(**complete))
        function = self.function if self.function is not None else resolve(self.source)
        if isinstance(function, np.ufunc):  # ufuncs take no names
            return np.asarray(function(*(arguments[name] for name in self.images)))
        arguments = self.gathered(arguments)
        leading = []
        if self.function is None:  # scikit-image moves the channel axis only of images that are given by position
            for name, parameter in self.signature.parameters.items():
                by_name = parameter.kind is inspect.Parameter.KEYWORD_ONLY
                if by_name or name not in self.images or name not in arguments:
                    break
                leading.append(arguments.pop(name))
        if self.parts:
            part = arguments.pop("part")
            return np.asarray(function(*leading, **arguments)[part])
        return np.asarray(function(*leading, **arguments))


@dataclass(frozen=True)
class Reduction(Entry):
    """A whole-image value from a partial of each block."""

    partial: Callable[..., Partial] = dict
    """(arguments by name, images as arrays) -> this block's partial; also gets `where` when `located`."""
    merge: Callable[[Iterable[tuple[int, Partial]], Arguments, BlockGrid], Any] = lambda partials, arguments, grid: None
    """(block index, partial) in index order -> the value; streams, so that memory stays with one partial."""
    result: Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]] = lambda arguments: ((), np.dtype(float))
    """Shape and dtype of the value."""
    located: bool = False
    readers: bool = False
    """As for `Local`: `partial` gets its images as `View`s, and `where`."""
    gives: Literal["value", "table"] = "value"
    combine: Combine | None = None
    """For grids of very many blocks: the partial of a group of blocks, `region`, from theirs, `grid` the one they are of.
    Groups are combined again, and in the end merged, as blocks are. None: `merge` sees all partials itself."""


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
    combine: Combine | None = None
    """As for `Reduction`."""


@dataclass(frozen=True)
class Sweep(Entry):
    """An image that settles: its blocks are done in rounds, until a round changes none of them.

    A part for composites: what users get is made of the settled image by a `Local`.
    """

    function: Callable[..., tuple[Array, bool]] = lambda: (np.zeros(0), False)
    """(`state`, `where`, arguments by name, images as `View`s) -> the block `where.region` after this round, and whether it
    differs from before. `state` is the whole image after the round before, a `View`; None in the first round, in which
    every block counts as changed."""
    halo: Callable[[Arguments], int | tuple[int, ...]] = no_halo
    """How far into `state` the function looks beyond its block."""
    dtype: Callable[[Arguments], np.dtype[Any]] = lambda arguments: arguments["image"].dtype


@dataclass(frozen=True, eq=False)
class Merged:
    """What the merge of a labelling found, with the partials that it was found from: what `values` of it get."""

    value: Mapping[str, Array]
    grids: tuple[BlockGrid, ...]
    """The blocks; then, level by level, the groups of blocks whose partials were combined."""
    partial: Callable[[int, int], Partial]
    """(level, block or group of blocks) -> its partial."""


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
    """What the user holds: an `image`, a `value` or a `table`; none: whatever the node is that it is expanded to."""


@dataclass(frozen=True)
class Refused(Entry):
    """A function that cannot be split exactly, named so that asking for it gives an answer."""

    reason: str = ""
    """Why blocks cannot give the whole image's result."""
    instead: str = ""
    """What to use: `filters.gaussian, or compute it on the whole image`."""

    def validate(self, arguments: Arguments) -> None:
        raise NotExact(f"{self.name} is refused: {self.reason}; use {self.instead}")


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


_DTYPES = {
    "b": ("bool",),
    "u": ("uint8", "uint16", "uint32", "uint64"),
    "i": ("int8", "int16", "int32", "int64"),
    "f": ("float32", "float64"),
}


def describe_kinds(kinds: str) -> str:
    """The dtype kinds in words: `bool, unsigned integers or floats`."""
    words = {"b": "bool", "i": "signed integers", "u": "unsigned integers", "f": "float32 and float64"}
    listed = [words[kind] for kind in kinds]
    return listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + " or " + listed[-1]
