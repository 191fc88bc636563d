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
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from lepton_celery.catalogue.arrays import (
    Arguments,
    Array,
    Lazy,
    MergedLabels,
    Partial,
    Partials,
    Shape,
    Shapes,
    View,
    Where,
)
from lepton_celery.catalogue.base import Build, Entry, Gives, Inferred, Sample, describe_kinds, lazy_images
from lepton_celery.catalogue.geometry import POINTWISE, BlockRule, Geometry, HaloRule, Stencil
from lepton_celery.catalogue.probing import probe
from lepton_celery.catalogue.results import A_NUMBER, DTypeRule, ResultRule
from lepton_celery.catalogue.signatures import resolve
from lepton_celery.errors import NotExact
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.kernels import Kernel, load

__all__ = [
    "Build",
    "Combine",
    "Composite",
    "Entry",
    "Gives",
    "Inferred",
    "Iterated",
    "Labelling",
    "Local",
    "Merge",
    "Mergeable",
    "MergedLabels",
    "Reduction",
    "Refused",
    "Sample",
    "Source",
    "ValueFunction",
    "describe_kinds",
    "lazy_images",
    "resolve",
]

Combine = Callable[[Partials, Arguments, BlockGrid, Region], Partial]
"""(the partials of a group of blocks, arguments, the grid of these blocks, the group's region) -> the group's partial."""

Merge = Callable[[Partials, Arguments, BlockGrid], Any]
"""(all partials, arguments, the grid of the blocks) -> the value; streams, so that memory holds one partial at a time."""


class Source(Entry):
    """An image that exists before the job."""

    @property
    def is_source(self) -> bool:
        return True

    def declared_on(self, function: Callable[..., Any]) -> Self:
        return self._with(source=self.source or _path_of(function))


@dataclass(frozen=True, eq=False)
class Local(Entry):
    """A function of a bounded neighbourhood."""

    function: Callable[..., Array] | None = None
    """Called with the arguments by name, images as arrays of the regions read; None for the source itself."""
    geometry: Geometry = POINTWISE
    own_stage: BlockRule | None = None
    """The function needs a stage of its own with these blocks; later stages read its stored result."""
    dtype: DTypeRule | None = None
    """Dtype of the result; None to find it by trying the function on a few pixels. Must be given with `reads_itself`."""
    kernel: Kernel | None = None
    """A compiled function that gives the source's bytes for some arguments."""

    def declared_on(self, function: Callable[..., Any]) -> Self:
        return self._with(function=function, source=self.source or _path_of(function))

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

    def taps_for(self, shape: Shape, arguments: Arguments) -> float:
        if self.taps is None and self.tap_ns and self.is_positional:
            return float(sum(2 * h + 1 for h in self.halo_px(len(shape), arguments) if h))
        return super().taps_for(shape, arguments)

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        images = lazy_images(self, arguments)
        shape, dtype = probe(self, arguments, images)
        return Inferred("image" if images else "value", shape, dtype)

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        return self.geometry.reads(region, images, arguments)

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        if not isinstance(self.geometry, Stencil):
            return super().halo_px(ndim, arguments)
        return self.geometry.halo_px(ndim, arguments)

    def blocks_for(self, shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
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
            index = arguments.pop("result_index")
            return np.asarray(function(*leading, **arguments)[index])
        return np.asarray(function(*leading, **arguments))

    def find_value(self, arguments: Mapping[str, Any]) -> Any:
        return self.evaluate(arguments)[()]


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class Reduction(Mergeable):
    """A whole-image value merged from a partial of each block."""

    partial: Callable[..., Partial] = dict
    """(arguments by name, images as arrays) -> this block's partial."""
    result: ResultRule = A_NUMBER
    """Shape and dtype of the value."""
    gives: Literal["value", "table"] = "value"

    def declared_on(self, function: Callable[..., Any]) -> Self:
        return self._with(partial=function, source=self.source or _path_of(function))

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        return Inferred(self.gives, *self.result(arguments))

    def on_block(
        self, arguments: Mapping[str, Any], where: Where, *, kernels: bool = False
    ) -> tuple[Array | None, Partial]:
        partial: Partial = self._call(self.partial, arguments, where, kernels)
        return None, partial


@dataclass(frozen=True, eq=False)
class ValueFunction(Entry):
    """A whole-image value computed from other whole-image values."""

    images: tuple[str, ...] = ()
    function: Callable[..., Any] = lambda: None
    result: ResultRule = A_NUMBER
    """Shape and dtype of the value."""

    def declared_on(self, function: Callable[..., Any]) -> Self:
        return self._with(function=function, source=self.source or _path_of(function))

    @property
    def finds_value(self) -> bool:
        return True

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        return Inferred("value", *self.result(arguments))

    def find_value(self, arguments: Mapping[str, Any]) -> Any:
        return self.function(**arguments)


@dataclass(frozen=True, eq=False)
class Labelling(Mergeable):
    """Blocks labelled alone; the merge finds the global label of each block's labels."""

    wants_where: bool = True
    function: Callable[..., tuple[Array, Partial]] = lambda: (np.zeros(0), {})
    """(arguments by name, images as arrays, `where`) -> the block's labels and its partial."""

    def declared_on(self, function: Callable[..., Any]) -> Self:
        return self._with(function=function, source=self.source or _path_of(function))

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


@dataclass(frozen=True, eq=False)
class Iterated(Entry):
    """An image whose blocks are done in rounds until a round changes none of them: the fixed point is the whole image's.

    Only composites use such entries: a `Local` makes what users get from the last round's image.
    """

    reads_itself: bool = True
    function: Callable[..., tuple[Array, bool]] = lambda: (np.zeros(0), False)
    """(`state`, `where`, arguments by name, images as `View`s) -> the block `where.region` after this round, and whether it
    differs from before. `state` is a `View` of the whole image after the round before; None in the first round, in which
    every block counts as changed."""
    halo: HaloRule = lambda arguments: 0
    """How far into `state` the function looks beyond its block."""
    dtype: DTypeRule = lambda arguments: arguments["image"].dtype

    def declared_on(self, function: Callable[..., Any]) -> Self:
        return self._with(function=function, source=self.source or _path_of(function))

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
        return Stencil(self.halo).halo_px(ndim, arguments)


@dataclass(frozen=True, eq=False)
class Composite(Entry):
    """A function written in terms of other entries."""

    expand: Callable[[Arguments, Build], Lazy] | None = None
    """(complete arguments, build) -> the node that stands for this one."""
    result: ResultRule = A_NUMBER
    """Shape and dtype of the result if it is a value."""
    gives: Gives | Literal[""] = "value"
    """What the user holds; empty for whatever the expanded node gives."""

    def declared_on(self, function: Callable[..., Any]) -> Self:
        return self._with(expand=function)

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        assert self.expand is not None
        complete = self.complete(arguments)
        node: Any = self.expand(complete, build)
        shape, dtype = self.result(complete) if self.gives == "value" else (node.shape, node.dtype)
        return Inferred(self.gives or node.gives, shape, dtype, node)


@dataclass(frozen=True, eq=False)
class Refused(Entry):
    """A function that cannot be split exactly, listed so that asking for it gives an answer."""

    images: tuple[str, ...] = ()
    reason: str = ""
    """Why blocks cannot give the whole image's result."""
    instead: str = ""
    """What to use: `filters.gaussian, or compute it on the whole image`."""

    @property
    def is_refused(self) -> bool:
        return True

    def validate(self, arguments: Arguments) -> None:
        self.refuse_if_listed()

    def refuse_if_listed(self) -> None:
        raise NotExact(f"{self.name} is refused: {self.reason}; use {self.instead}")


def _path_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
