"""The kinds of catalogue entries:

- `Source`: an input image;
- `Local`: a region of the result depends on a region of each image, as `Geometry` says (most functions);
- `Drawn`: an image that is made from whole-image values alone, such as a mask of points;
- `Reduction`: a whole-image value or a table, merged from a partial of each block;
- `ValueFunction`: a whole-image value computed from other values, without pixels;
- `Labelling`: each block is labelled by itself, and the labels are joined across block faces;
- `Iterated`: an image whose blocks are computed in rounds until a round changes nothing;
- `Composite`: a function built from other entries, which replace it before planning;
- `Refused`: a function that cannot be split exactly, with the reason and what to use instead.

The planner and the engines use the properties and methods of `Entry` and never test for a subclass. Functions of the
catalogue process NumPy arrays and know nothing of stores, jobs or Celery.
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
from lepton_celery.catalogue.base import Build, Entry, Gives, Inferred, Sample, lazy_images
from lepton_celery.catalogue.geometry import POINTWISE, BlockRule, Broadcast, Geometry, HaloRule, Stencil
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
    "Drawn",
    "Entry",
    "Gives",
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
    "lazy_images",
    "resolve",
]

Combine = Callable[[Partials, Arguments, BlockGrid, Region], Partial]
"""(partials of a group of blocks, arguments, grid of the blocks, region of the group) -> partial of the group."""

Merge = Callable[[Partials, Arguments, BlockGrid], Any]
"""(all partials, arguments, grid of the blocks) -> value. Partials come from an iterator, one in memory at a time."""


class Source(Entry):
    """An input image, which exists before the job."""

    @property
    def is_source(self) -> bool:
        return True

    def declared_on(self, function: Callable[..., Any]) -> Self:
        return self._with(source=self.source or _path_of(function))


@dataclass(frozen=True, eq=False)
class Local(Entry):
    """A function whose result can be computed region by region, from a region of each image."""

    function: Callable[..., Array] | None = None
    """Called with the arguments by name, images as arrays of the regions read; None to call the source."""
    geometry: Geometry = POINTWISE
    own_stage: BlockRule | None = None
    """The block shape of the entry's own stage, whose result is stored; None if the entry can share a stage."""
    dtype: DTypeRule | None = None
    """Dtype of the result; None to find it by calling the function on a few pixels. Required with `reads_itself`."""
    kernel: Kernel | None = None
    """A compiled function that gives the same bytes as the source for the arguments that it covers."""

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
        return True  # if no argument is an image

    @property
    def is_positional(self) -> bool:
        return isinstance(self.geometry, Stencil)

    @property
    def broadcasts(self) -> bool:
        return isinstance(self.geometry, Broadcast)

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

    def computes(self, region: Region, images: Shapes, arguments: Arguments) -> Region:
        if not isinstance(self.geometry, Stencil):
            return region
        return self.geometry.computes(region, images, arguments)

    def blocks_for(self, shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
        return wanted if self.own_stage is None else self.own_stage(shape, wanted, arguments)

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return self.geometry.trim(result, region, read)

    def evaluate(self, arguments: Arguments, *, kernels: bool = False) -> Array:
        if kernels and self.kernel is not None:
            complete = self.complete(arguments)
            if self.kernel.covers(complete) and (compiled := load(self.kernel, resolve(self.source))) is not None:
                return np.asarray(compiled(**complete))
        index = arguments.get("result_index") if self.returns else None
        result = self._result(arguments)
        return np.asarray(result if index is None else result[index])

    def evaluate_all(self, arguments: Arguments) -> Sequence[Array]:
        return [np.asarray(array) for array in self._result(arguments)]

    def _result(self, arguments: Arguments) -> Any:
        """What the function returns: an array or, with `returns`, a sequence of arrays."""
        function = self.function if self.function is not None else resolve(self.source)
        if isinstance(function, np.ufunc):  # ufuncs have positional parameters only
            return function(*(arguments[name] for name in self.images))
        arguments = self.gathered(arguments)
        if self.returns:
            del arguments["result_index"]
        leading = []
        if self.function is None:  # scikit-image moves the channel axis of positional arguments only
            for name, parameter in self.signature.parameters.items():
                by_name = parameter.kind is inspect.Parameter.KEYWORD_ONLY
                if by_name or name not in self.images or name not in arguments:
                    break
                leading.append(arguments.pop(name))
        return function(*leading, **arguments)

    def find_value(self, arguments: Mapping[str, Any]) -> Any:
        return self.evaluate(arguments)[()]


@dataclass(frozen=True, eq=False)
class Drawn(Local):
    """An image of `arguments["shape"]` that is made from whole-image values, region by region."""

    images: tuple[str, ...] = ()
    wants_where: bool = True
    dtype: DTypeRule | None = lambda arguments: np.dtype(bool)

    @property
    def finds_value(self) -> bool:
        return False

    @property
    def is_positional(self) -> bool:
        return False

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        assert self.dtype is not None
        return Inferred("image", tuple(arguments["shape"]), self.dtype(self.complete(arguments)))

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        return []

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        return result


@dataclass(frozen=True, eq=False)
class Mergeable(Entry):
    """An entry whose blocks give partials."""

    merge: Merge = lambda partials, arguments, grid: None
    combine: Combine | None = None
    """Combines the partials of a group of blocks into one, so that `merge` gets few partials of a large grid. Groups are
    combined in turn, level by level. None if `merge` gets the partials of all blocks."""

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
        return self.merge(partials, self.gathered(arguments), grid)

    def _call(self, function: Callable[..., Any], arguments: Mapping[str, Any], where: Where, kernels: bool) -> Any:
        """Call a block's function, with `where` and `kernels` if the entry wants them."""
        extra: dict[str, Any] = {"kernels": kernels} if self.wants_kernels else {}
        if self.wants_where or self.reads_itself:
            extra["where"] = where
        return function(**self.gathered(arguments), **extra)


@dataclass(frozen=True, eq=False)
class Reduction(Mergeable):
    """A whole-image value merged from a partial of each block."""

    partial: Callable[..., Partial] = dict
    """(arguments by name, images as arrays) -> partial of a block."""
    result: ResultRule = A_NUMBER
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
    weak: bool = False
    """The value is a Python number."""

    def declared_on(self, function: Callable[..., Any]) -> Self:
        return self._with(function=function, source=self.source or _path_of(function))

    @property
    def finds_value(self) -> bool:
        return True

    @property
    def is_weak(self) -> bool:
        return self.weak

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        return Inferred("value", *self.result(self.gathered(arguments)))

    def find_value(self, arguments: Mapping[str, Any]) -> Any:
        return self.function(**self.gathered(arguments))


@dataclass(frozen=True, eq=False)
class Labelling(Mergeable):
    """Connected components: each block is labelled by itself, and the merge joins labels across block faces."""

    wants_where: bool = True
    function: Callable[..., tuple[Array, Partial]] = lambda: (np.zeros(0), {})
    """(arguments by name, images as arrays, `where`) -> labels and partial of a block."""

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
    """An image whose blocks are computed in rounds until a round changes none: the fixed point is the whole image's result.

    Only composites use such an entry; a `Local` computes the user's result from the image of the last round.
    """

    reads_itself: bool = True
    function: Callable[..., tuple[Array, bool]] = lambda: (np.zeros(0), False)
    """(`state`, `where`, arguments by name, images as `View`s) -> the block `where.region` after this round, and whether the
    round changed it. `state` is a `View` of the image after the previous round; None in the first round, which must report
    every block as changed."""
    halo: HaloRule = lambda arguments: 0
    """Pixels of `state` that the function reads around its block."""
    rounds: float | Callable[[BlockGrid, Arguments], float] = 4.0
    """Expected number of rounds if there are several blocks, for the cost model: a number, or (grid of the blocks, complete
    arguments) -> number."""
    settles_whole: bool = False
    """The first round of a single block, the whole image, gives the fixed point, so that no second round is run."""
    dtype: DTypeRule = lambda arguments: arguments["image"].dtype

    def declared_on(self, function: Callable[..., Any]) -> Self:
        return self._with(function=function, source=self.source or _path_of(function))

    @property
    def is_iterated(self) -> bool:
        return True

    @property
    def has_own_stage(self) -> bool:
        return True

    @property
    def settles(self) -> bool:
        return self.settles_whole

    def computes(self, region: Region, images: Shapes, arguments: Arguments) -> Region:
        return region.expand(self.halo_px(region.ndim, arguments), images[0])

    def expected_rounds(self, grid: BlockGrid, arguments: Arguments) -> float:
        if len(grid) == 1 and self.settles_whole:
            return 1.0
        return self.rounds(grid, arguments) if callable(self.rounds) else self.rounds

    def on_round(
        self, arguments: Mapping[str, Any], state: View | None, where: Where, *, kernels: bool = False
    ) -> tuple[Array, bool]:
        extra = {"kernels": kernels} if self.wants_kernels else {}
        return self.function(**self.gathered(arguments), state=state, where=where, **extra)

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        shape = next(iter(lazy_images(self, arguments).values())).shape
        return Inferred("image", shape, self.dtype(self.complete(arguments)))

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        return Stencil(self.halo).halo_px(ndim, arguments)


@dataclass(frozen=True, eq=False)
class Composite(Entry):
    """A function built from other entries."""

    expand: Callable[[Arguments, Build], Lazy] | None = None
    """(complete arguments, build) -> the node that replaces this one."""
    result: ResultRule = A_NUMBER
    """Shape and dtype of the result if it is a value."""
    gives: Gives | Literal[""] = "value"
    """Kind of the result; empty for that of the expanded node."""

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
    """A function that cannot be split exactly; calling it raises an error with the reason and an alternative."""

    images: tuple[str, ...] = ()
    reason: str = ""
    """Why blocks cannot give the whole image's result."""
    instead: str = ""
    """The alternative, as in `filters.gaussian, or compute it on the whole image`."""

    @property
    def is_refused(self) -> bool:
        return True

    def validate(self, arguments: Arguments) -> None:
        self.refuse_if_listed()

    def refuse_if_listed(self) -> None:
        raise NotExact(f"{self.name} is refused: {self.reason}; use {self.instead}")


def _path_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
