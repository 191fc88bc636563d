"""What a catalogue entry is: one declarative record per function.

An entry is one of

- `Source`: an image that exists before the job;
- `Local`: a block of the result follows from a bounded neighbourhood of the images (pointwise functions, stencils);
- `Reduction`: a whole-image value, merged from a partial of each block;
- `ValueFunction`: a whole-image value computed from other values, without pixels;
- `Labelling`: blocks are labelled alone, and their labels are joined across block faces;
- `Iterated`: an image whose blocks are done in rounds until a round changes nothing;
- `Composite`: written in terms of other entries, which replace it before planning;
- `Refused`: a function that cannot be split exactly, with the reason and what to use instead.

The planner and the engines ask an entry what it is (`is_barrier`, `reads_itself`, …) and what to do (`evaluate`,
`on_block`, `merge`, …); they never ask for its class. Functions here see NumPy arrays only: they know nothing of stores,
jobs or Celery.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, Partial, Partials, View, Where
from lepton_celery.catalogue.geometry import POINTWISE, BlockRule, Geometry, Stencil, no_halo
from lepton_celery.catalogue.probing import probe
from lepton_celery.catalogue.promise import IDENTICAL, Promise
from lepton_celery.errors import DtypeNotSupported, InputError, NotExact
from lepton_celery.grid import BlockGrid, BlockIndex, Region
from lepton_celery.kernels import Kernel, load

Gives = Literal["image", "value", "table"]
"""What a user holds: a lazy image, a lazy whole-image value, or a lazy table."""

Build = Callable[..., Any]
"""`build("filters.sobel", image=node, axis=0)` makes a node while a composite is expanded."""

Combine = Callable[[Partials, Arguments, BlockGrid, Region], Partial]
"""(the partials of a group of blocks, arguments, the grid of these blocks, the group's region) -> the group's partial."""

Merge = Callable[[Partials, Arguments, BlockGrid], Any]
"""(all partials, arguments, the grid of the blocks) -> the value; streams, so that memory holds one partial at a time."""

Sample = Literal["image", "rgb", "rgba", "labels", "mask", "markers", "upper", "counts"]
"""What an image parameter is tried with: any image, one with channels, int labels, bool, sparse int markers, one that is
nowhere below the image before it, or small numbers of things."""


class Inferred(NamedTuple):
    """What is known of a result before anything is computed."""

    gives: Gives
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    expanded: Any = None
    """The node that stands for a composite."""


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
    sequences: tuple[str, ...] = ()
    """Parameters that take a sequence of images; a node has each of them as an argument of its own, `name.0`, `name.1` …"""
    dtype_kinds: str = "biuf"
    """NumPy dtype kinds that the images may have."""
    dtypes: tuple[str, ...] = ()
    """The dtypes that the images may have, if not all of `dtype_kinds`."""
    ndims: tuple[int, ...] = ()
    """Numbers of axes that the first image may have, channels not counted; empty for any."""
    check: Callable[[Arguments], None] | None = None
    """Raises InputError for arguments that would not be exact or make no sense."""
    promise: Promise | Callable[[Arguments], Promise] = IDENTICAL
    """How the result compares with the source's on the whole image; a function if it depends on the arguments."""
    returns: int | Callable[[Arguments], int] = 0
    """Number of results, if the source returns a sequence of them. Each result is a node with an argument `part`."""
    own_functions: tuple[str, ...] = ()
    """Parameters that name functions of the user's own, one or a sequence each."""
    reads_itself: bool = False
    """The function gets its images as `View`s, reads the regions it needs, and gets `where`. Images that are not inputs of
    the job are stored first."""
    wants_where: bool = False
    """The function also gets `where`."""
    wants_kernels: bool = False
    """The function also gets `kernels`: whether compiled kernels may do parts of its work."""
    needs_finite: bool = False
    """Pixels must not be NaN, because the source's result would then mean nothing or depend on stale memory."""
    example: Mapping[str, Any] = field(default_factory=dict)
    """Arguments to try the function with if the source has no defaults; a value may be a function of the number of axes."""
    samples: Mapping[str, Sample] = field(default_factory=dict)
    """What each image parameter is tried with; `image` for those not named."""
    cost_ns: float = 2.0
    """Time per pixel on one core, a shipped default; only ratios matter to the planner's choices."""
    tap_ns: float = 0.0
    """Additional time per pixel and tap of a kernel, the taps of all axes added up."""
    taps: Callable[[int, Arguments], float] | None = None
    """(number of axes, complete arguments) -> what `tap_ns` is multiplied by, if the kernel is not separable."""

    # ------------------------------------------------------------------ what kind of entry this is

    @property
    def is_source(self) -> bool:
        """Whether the image exists before the job."""
        return False

    @property
    def is_local(self) -> bool:
        """Whether blocks of the image are computed from blocks of other images."""
        return False

    @property
    def is_fused(self) -> bool:
        """Whether the image passes from function to function within a stage and is not stored for its own sake."""
        return False

    @property
    def is_iterated(self) -> bool:
        """Whether blocks are done in rounds until nothing changes."""
        return False

    @property
    def labels_blocks(self) -> bool:
        """Whether blocks are labelled alone and joined afterwards."""
        return False

    @property
    def leaves_partials(self) -> bool:
        """Whether each block leaves a partial, which the end of the stage merges."""
        return False

    @property
    def has_own_stage(self) -> bool:
        """Whether a stage of its own stores the image."""
        return False

    @property
    def is_barrier(self) -> bool:
        """Whether whatever uses the result must wait until all blocks are done."""
        return self.leaves_partials or self.has_own_stage

    @property
    def finds_value(self) -> bool:
        """Whether `find_value` gives the result from whole-image values alone."""
        return False

    @property
    def is_combined(self) -> bool:
        """Whether the partials of neighbouring blocks can be combined before they are merged."""
        return False

    @property
    def is_positional(self) -> bool:
        """Whether each pixel of the result lies over the pixels it depends on."""
        return False

    # ------------------------------------------------------------------ arguments

    @property
    def signature(self) -> inspect.Signature:
        """The parameters, as scikit-image has them."""
        return _signature(self.source)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, as the source's own signature takes them.

        Raises:
            InputError: an argument is missing, unknown or given twice.
        """
        kwargs = dict(kwargs)
        part = {"part": kwargs.pop("part")} if self.returns and "part" in kwargs else {}
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
        """The arguments, with the source's defaults for those that were not given."""
        return {**self._defaults, **arguments}

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        return {
            name: parameter.default
            for name, parameter in self.signature.parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }

    def image_names(self, arguments: Arguments) -> list[str]:
        """The arguments that may be images, members of sequences among them."""
        members = [name for name in arguments if name.partition(".")[0] in self.sequences and "." in name]
        return [*self.images, *members]

    def spread(self, arguments: Arguments) -> dict[str, Any]:
        """Arguments with each member of a sequence of images as an argument of its own."""
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

    def functions_in(self, arguments: Arguments) -> list[str]:
        """The user's own functions that the arguments name, `package.module:function`."""
        named = [arguments.get(name) or () for name in self.own_functions]
        return [function for value in named for function in (value if isinstance(value, list | tuple) else [value])]

    def count_results(self, arguments: Arguments) -> int:
        """Number of results for these arguments; 0 if the source returns one array and no sequence."""
        return self.returns if isinstance(self.returns, int) else self.returns(self.complete(arguments))

    def refuse_if_listed(self) -> None:
        """Raise NotExact if the catalogue lists the function only to refuse it, whatever its arguments."""

    def validate(self, arguments: Arguments) -> None:
        """Refuse what the function cannot do, before anything runs.

        Raises:
            InputError: an image has the wrong number of axes, or the entry's own check refuses the arguments.
            DtypeNotSupported: an image has a dtype that the function cannot take.
        """
        for name in self.image_names(arguments):
            self._check_dtype(name, arguments.get(name))
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

    def _check_dtype(self, name: str, image: Any) -> None:
        if not hasattr(image, "dtype"):
            return  # left out, or a literal in a place that takes both
        if name == "mask" and image.dtype.kind in "biu":
            return  # a mask counts wherever it is not 0
        if not self.accepts(image.dtype):
            taken = " ".join(self.dtypes) if self.dtypes else describe_kinds(self.dtype_kinds)
            raise DtypeNotSupported(
                f"{self.name} cannot take {name} of dtype {image.dtype}; it takes {taken}; "
                f"convert it first, for instance with .astype"
            )

    # ------------------------------------------------------------------ what is known before it runs

    def accepts(self, dtype: np.dtype[Any]) -> bool:
        """Whether images may have this dtype, in any byte order."""
        return dtype.newbyteorder("=").name in self.declared_dtypes()

    def declared_dtypes(self) -> tuple[str, ...]:
        """Every dtype that the images may have."""
        return self.dtypes or tuple(name for kind in self.dtype_kinds for name in _DTYPES[kind])

    def promised(self, arguments: Arguments) -> Promise:
        """The promise for these arguments."""
        return self.promise(self.complete(arguments)) if callable(self.promise) else self.promise

    def example_for(self, ndim: int) -> dict[str, Any]:
        """Arguments to try the function with on an image of `ndim` axes."""
        return {name: value(ndim) if callable(value) else value for name, value in self.example.items()}

    def taps_for(self, shape: tuple[int, ...], arguments: Arguments) -> float:
        """Taps of the kernel as far as the time per pixel depends on them; `arguments` must be complete."""
        return self.taps(len(shape), arguments) if self.taps is not None else 0.0

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        """Shape and dtype of the result. `build` makes nodes for a composite."""
        self._has_no("result of its own")

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        """The region of each image, given their shapes, from which `region` of the result follows."""
        self._has_no("geometry")

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        """Pixels that a function reads around a block, on each side of each axis; `arguments` must be complete."""
        self._has_no("halo")

    def blocks_for(self, shape: tuple[int, ...], wanted: tuple[int, ...], arguments: Arguments) -> tuple[int, ...]:
        """The block shape that the entry's stage must have when the planner would like `wanted`."""
        return wanted

    # ------------------------------------------------------------------ what it does

    def evaluate(self, arguments: Arguments, *, kernels: bool = False) -> Array:
        """The function's result for arguments by name, images as arrays.

        With `kernels`, the compiled kernel computes it if there is one that covers the arguments.
        """
        self._has_no("pixels")

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        """`region`, cut from what the function returned for the regions read."""
        self._has_no("geometry")

    def on_block(
        self, arguments: Mapping[str, Any], where: Where, *, kernels: bool = False
    ) -> tuple[Array | None, Partial]:
        """The labels of a block if it is labelled, and the block's partial."""
        self._has_no("partials")

    def on_round(self, arguments: Mapping[str, Any], state: View | None, where: Where) -> tuple[Array, bool]:
        """A block's pixels after a round, and whether they differ from those before; `state` is the image before it."""
        self._has_no("rounds")

    def combine_partials(self, partials: Partials, arguments: Arguments, grid: BlockGrid, region: Region) -> Partial:
        """One partial in place of those of a group of blocks."""
        self._has_no("combination of partials")

    def merge_partials(self, partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
        """The whole-image value that the partials of all blocks add up to."""
        self._has_no("merge")

    def find_value(self, arguments: Mapping[str, Any]) -> Any:
        """The whole-image value that follows from other values."""
        self._has_no("value")

    def _has_no(self, what: str) -> NoReturn:
        raise TypeError(f"{self.name} is a {type(self).__name__} and has no {what}")


@dataclass(frozen=True)
class Source(Entry):
    """An image that exists before the job."""

    @property
    def is_source(self) -> bool:
        return True


@dataclass(frozen=True)
class Local(Entry):
    """A function of a bounded neighbourhood."""

    function: Callable[..., Array] | None = None
    """Called with the arguments by name, images as arrays of the regions read; None for the source itself."""
    geometry: Geometry = POINTWISE
    own_stage: BlockRule | None = None
    """The function needs a stage of its own with these blocks; later stages read its stored result."""
    dtype: Callable[[Arguments], np.dtype[Any]] | None = None
    """Dtype of the result; None to find it by trying the function on a few pixels. Must be given with `reads_itself`."""
    kernel: Kernel | None = None
    """A compiled function that gives the source's bytes for some arguments."""

    @property
    def is_local(self) -> bool:
        return True

    @property
    def is_fused(self) -> bool:
        return self.own_stage is None

    @property
    def has_own_stage(self) -> bool:
        return self.own_stage is not None

    @property
    def finds_value(self) -> bool:
        return True  # without images, all its arguments are values

    @property
    def is_positional(self) -> bool:
        return isinstance(self.geometry, Stencil)

    def taps_for(self, shape: tuple[int, ...], arguments: Arguments) -> float:
        if self.taps is None and self.tap_ns and self.is_positional:
            return float(sum(2 * h + 1 for h in self.halo_px(len(shape), arguments) if h))
        return super().taps_for(shape, arguments)

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        images = lazy_images(self, arguments)
        shape, dtype = probe(self, arguments, images)
        return Inferred("image" if images else "value", shape, dtype)

    def reads(self, region: Region, images: Sequence[tuple[int, ...]], arguments: Arguments) -> list[Region]:
        return self.geometry.reads(region, images, arguments)

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        if not isinstance(self.geometry, Stencil):
            return super().halo_px(ndim, arguments)
        return self.geometry.halo_px(ndim, arguments)

    def blocks_for(self, shape: tuple[int, ...], wanted: tuple[int, ...], arguments: Arguments) -> tuple[int, ...]:
        return wanted if self.own_stage is None else self.own_stage(shape, wanted, arguments)

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return self.geometry.trim(result, region, read)

    def evaluate(self, arguments: Arguments, *, kernels: bool = False) -> Array:
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
        if self.returns:
            part = arguments.pop("part")
            return np.asarray(function(*leading, **arguments)[part])
        return np.asarray(function(*leading, **arguments))

    def find_value(self, arguments: Mapping[str, Any]) -> Any:
        return self.evaluate(arguments)[()]


@dataclass(frozen=True)
class Mergeable(Entry):
    """An entry whose blocks leave partials."""

    merge: Merge = lambda partials, arguments, grid: None
    combine: Combine | None = None
    """Combines the partials of a group of blocks into one, for grids of very many blocks. Groups are combined again, and
    in the end merged, as blocks are. None: `merge` sees all partials itself."""

    @property
    def leaves_partials(self) -> bool:
        return True

    @property
    def is_combined(self) -> bool:
        return self.combine is not None

    def combine_partials(self, partials: Partials, arguments: Arguments, grid: BlockGrid, region: Region) -> Partial:
        if self.combine is None:
            return super().combine_partials(partials, arguments, grid, region)
        return self.combine(partials, arguments, grid, region)

    def merge_partials(self, partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
        return self.merge(partials, arguments, grid)

    def _call(self, function: Callable[..., Any], arguments: Mapping[str, Any], where: Where, kernels: bool) -> Any:
        """Calls a block's function with the arguments it asks for."""
        extra: dict[str, Any] = {"kernels": kernels} if self.wants_kernels else {}
        if self.wants_where or self.reads_itself:
            extra["where"] = where
        return function(**self.gathered(arguments), **extra)


@dataclass(frozen=True)
class Reduction(Mergeable):
    """A whole-image value merged from a partial of each block."""

    partial: Callable[..., Partial] = dict
    """(arguments by name, images as arrays) -> this block's partial."""
    result: Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]] = lambda arguments: ((), np.dtype(float))
    """Shape and dtype of the value."""
    gives: Literal["value", "table"] = "value"

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        return Inferred(self.gives, *self.result(arguments))

    def on_block(
        self, arguments: Mapping[str, Any], where: Where, *, kernels: bool = False
    ) -> tuple[Array | None, Partial]:
        partial: Partial = self._call(self.partial, arguments, where, kernels)
        return None, partial


@dataclass(frozen=True)
class ValueFunction(Entry):
    """A whole-image value computed from other whole-image values."""

    function: Callable[..., Any] = lambda: None
    result: Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]] = lambda arguments: ((), np.dtype(float))
    """Shape and dtype of the value."""

    @property
    def finds_value(self) -> bool:
        return True

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        return Inferred("value", *self.result(arguments))

    def find_value(self, arguments: Mapping[str, Any]) -> Any:
        return self.function(**arguments)


@dataclass(frozen=True)
class Labelling(Mergeable):
    """Blocks labelled alone; the merge finds the global label of each block's labels."""

    wants_where: bool = True
    function: Callable[..., tuple[Array, Partial]] = lambda: (np.zeros(0), {})
    """(arguments by name, images as arrays, `where`) -> the block's labels and its partial."""

    @property
    def labels_blocks(self) -> bool:
        return True

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        return Inferred("image", arguments["image"].shape, np.dtype(np.int32))

    def on_block(
        self, arguments: Mapping[str, Any], where: Where, *, kernels: bool = False
    ) -> tuple[Array | None, Partial]:
        labels: Array
        labels, partial = self._call(self.function, arguments, where, kernels)
        return labels, partial


@dataclass(frozen=True)
class Iterated(Entry):
    """An image whose blocks are done in rounds until a round changes none of them: the fixed point is the whole image's.

    Only composites use such entries: a `Local` makes what users get from the last round's image.
    """

    reads_itself: bool = True
    function: Callable[..., tuple[Array, bool]] = lambda: (np.zeros(0), False)
    """(`state`, `where`, arguments by name, images as `View`s) -> the block `where.region` after this round, and whether it
    differs from before. `state` is a `View` of the whole image after the round before; None in the first round, in which
    every block counts as changed."""
    halo: Callable[[Arguments], int | tuple[int, ...]] = no_halo
    """How far into `state` the function looks beyond its block."""
    dtype: Callable[[Arguments], np.dtype[Any]] = lambda arguments: arguments["image"].dtype

    @property
    def is_iterated(self) -> bool:
        return True

    @property
    def has_own_stage(self) -> bool:
        return True

    def on_round(self, arguments: Mapping[str, Any], state: View | None, where: Where) -> tuple[Array, bool]:
        return self.function(**self.gathered(arguments), state=state, where=where)

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        shape = next(iter(lazy_images(self, arguments).values())).shape
        return Inferred("image", shape, self.dtype(self.complete(arguments)))

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        halo = self.halo(arguments)
        return (halo,) * ndim if isinstance(halo, int) else halo


@dataclass(frozen=True)
class Composite(Entry):
    """A function written in terms of other entries."""

    expand: Callable[[Arguments, Build], Any] = lambda arguments, build: None
    """(complete arguments, build) -> the node that stands for this one."""
    result: Callable[[Arguments], tuple[tuple[int, ...], np.dtype[Any]]] = lambda arguments: ((), np.dtype(float))
    """Shape and dtype of the result if it is a value."""
    gives: Gives | Literal[""] = "value"
    """What the user holds; empty for whatever the expanded node gives."""

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        complete = self.complete(arguments)
        node = self.expand(complete, build)
        shape, dtype = self.result(complete) if self.gives == "value" else (node.shape, node.dtype)
        return Inferred(self.gives or node.gives, shape, dtype, node)


@dataclass(frozen=True)
class Refused(Entry):
    """A function that cannot be split exactly, listed so that asking for it gives an answer."""

    reason: str = ""
    """Why blocks cannot give the whole image's result."""
    instead: str = ""
    """What to use: `filters.gaussian, or compute it on the whole image`."""

    def validate(self, arguments: Arguments) -> None:
        self.refuse_if_listed()

    def refuse_if_listed(self) -> None:
        raise NotExact(f"{self.name} is refused: {self.reason}; use {self.instead}")


@dataclass(frozen=True, eq=False)
class MergedLabels:
    """What the merge of a labelling found, with the partials it was found from: this is what `values` of it get."""

    value: Mapping[str, Array]
    grids: tuple[BlockGrid, ...]
    """The grid of blocks; then, level by level, the grids of the groups whose partials were combined."""
    partial: Callable[[int, BlockIndex], Partial]
    """(level, block or group of blocks) -> its partial."""


def lazy_images(entry: Entry, arguments: Arguments) -> dict[str, Any]:
    """The arguments that are images; values and literals may stand in the same places."""
    named = {name: arguments.get(name) for name in entry.image_names(arguments)}
    return {name: value for name, value in named.items() if getattr(value, "gives", "") == "image"}


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
