"""What all entries of the catalogue have in common, and what the planner and the engines may ask them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, NoReturn, Protocol, Self

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Partial, Partials, Shape, Shapes, View, Where
from lepton_celery.catalogue.promise import IDENTICAL, Promise
from lepton_celery.catalogue.signatures import library_path, signature_of
from lepton_celery.errors import DtypeNotSupported, InputError
from lepton_celery.grid import BlockGrid, Region

Gives = Literal["image", "value", "table"]
"""What a user holds: a lazy image, a lazy whole-image value, or a lazy table."""

Sample = Literal["image", "rgb", "rgba", "labels", "mask", "markers", "upper", "counts"]
"""What an image parameter is tried with: any image, one with channels, int labels, bool, sparse int markers, one that is
nowhere below the image before it, or small numbers of things."""

_DTYPES = {
    "b": ("bool",),
    "u": ("uint8", "uint16", "uint32", "uint64"),
    "i": ("int8", "int16", "int32", "int64"),
    "f": ("float32", "float64"),
}


class Build(Protocol):
    """Makes a lazy node while a composite is expanded."""

    def __call__(self, name: str, **arguments: Any) -> Lazy:
        """A node of any entry: `build("filters.sobel", image=image, axis=0)`."""


class Inferred(NamedTuple):
    """What is known of a result before anything is computed."""

    gives: Gives
    shape: Shape
    dtype: DType
    expanded: Any = None
    """The node that stands for a composite."""


@dataclass(frozen=True, eq=False)
class Entry:
    """What all entries of the catalogue have."""

    name: str
    """Public name, module and function: `filters.gaussian`. Internal entries are called `lepton.` and a name."""
    source: str = ""
    """Import path of the function whose result this gives. Left out: the library's function of that name, or for an
    internal entry the function on which it is declared."""
    images: tuple[str, ...] = ("image",)
    """Parameters that take an image."""
    values: tuple[str, ...] = ()
    """Parameters that take a whole-image value (a literal is welcome too)."""
    sequences: tuple[str, ...] = ()
    """Parameters that take a sequence of images. A node has each member as an argument of its own: `name.0`, `name.1` …"""
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
    """Number of results, if the source returns a sequence. Each is a node with an argument `result_index`."""
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

    def __post_init__(self) -> None:
        if not self.source and not self.is_internal:
            object.__setattr__(self, "source", library_path(self.name))

    def declared_on(self, function: Callable[..., Any]) -> Self:
        """The entry with this function to do its work."""
        self._has_no(f"function such as {function.__qualname__}")

    def _with(self, **changes: Any) -> Self:
        """A copy with other values of these fields. `dataclasses.replace` is too slow for hundreds of entries."""
        entry = object.__new__(type(self))
        vars(entry).update(vars(self), **changes)
        return entry

    # ------------------------------------------------------------------ what kind of entry this is

    @property
    def is_internal(self) -> bool:
        """Whether the entry is for composites and the planner, and not for users."""
        return self.name.startswith("lepton.")

    @property
    def is_refused(self) -> bool:
        """Whether the catalogue lists the function only to refuse it, whatever its arguments."""
        return False

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
        """The parameters, as the source has them."""
        return signature_of(self.source)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name, as the source's own signature takes them.

        Raises:
            InputError: an argument is missing, unknown or given twice.
        """
        kwargs = dict(kwargs)
        added = {"result_index": kwargs.pop("result_index")} if self.returns and "result_index" in kwargs else {}
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(f"{self.name}: {error}; its parameters are {self.signature}") from None
        arguments = dict(bound.arguments) | added
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
                spread |= {f"{name}.{number}": member for number, member in enumerate(value)}
            else:
                spread[name] = value
        return spread

    def gathered(self, arguments: Arguments) -> dict[str, Any]:
        """The opposite of `spread`."""
        gathered: dict[str, Any] = {}
        for name, value in arguments.items():
            sequence, dot, _ = name.partition(".")
            if dot and sequence in self.sequences:
                gathered.setdefault(sequence, []).append(value)
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
        """Raise NotExact if the entry is refused."""

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
            return  # left out, or a literal where an image or a value may stand
        if name == "mask" and image.dtype.kind in "biu":
            return  # a mask counts wherever it is not 0
        if not self.accepts(image.dtype):
            taken = " ".join(self.dtypes) if self.dtypes else describe_kinds(self.dtype_kinds)
            raise DtypeNotSupported(
                f"{self.name} cannot take {name} of dtype {image.dtype}; it takes {taken}; "
                f"convert it first, for instance with .astype"
            )

    # ------------------------------------------------------------------ what is known before it runs

    def accepts(self, dtype: DType) -> bool:
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

    def taps_for(self, shape: Shape, arguments: Arguments) -> float:
        """Taps of the kernel as far as the time per pixel depends on them; `arguments` must be complete."""
        return self.taps(len(shape), arguments) if self.taps is not None else 0.0

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        """Shape and dtype of the result. `build` makes nodes for a composite."""
        self._has_no("result of its own")

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        """The region of each image, given their shapes, from which `region` of the result follows."""
        self._has_no("geometry")

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        """Pixels that a function reads around a block, on each side of each axis; `arguments` must be complete."""
        self._has_no("halo")

    def blocks_for(self, shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
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
        """The whole-image value, merged from the partials of all blocks."""
        self._has_no("merge")

    def find_value(self, arguments: Mapping[str, Any]) -> Any:
        """The whole-image value that follows from other values."""
        self._has_no("value")

    def _has_no(self, what: str) -> NoReturn:
        raise TypeError(f"{self.name} is a {type(self).__name__} and has no {what}")


def lazy_images(entry: Entry, arguments: Arguments) -> dict[str, Any]:
    """The arguments that are images; values and literals may stand in the same places."""
    named = {name: arguments.get(name) for name in entry.image_names(arguments)}
    return {name: value for name, value in named.items() if getattr(value, "gives", "") == "image"}


def describe_kinds(kinds: str) -> str:
    """The dtype kinds in words: `bool, unsigned integers or floats`."""
    words = {"b": "bool", "i": "signed integers", "u": "unsigned integers", "f": "float32 and float64"}
    listed = [words[kind] for kind in kinds]
    return listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + " or " + listed[-1]
