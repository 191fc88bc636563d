"""`Entry`, the base class of all catalogue entries: their fields, and the interface that the planner and the engines use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, NoReturn, Protocol, Self

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Array, DType, Lazy, Partial, Partials, Shape, Shapes, View, Where
from lepton_celery.catalogue.promise import IDENTICAL, Exactness, Promise
from lepton_celery.catalogue.signatures import library_path, resolve, signature_of
from lepton_celery.catalogue.sizes import check_most
from lepton_celery.errors import ArgumentTypeError, DtypeNotSupported, InputError, refusal_like
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.text import quoted

Gives = Literal["image", "value", "table"]
"""The kind of a lazy result: an image, a whole-image value or a table."""

Sample = Literal["image", "rgb", "rgba", "labels", "mask", "markers", "upper", "counts", "coordinates"]
"""The kind of test image for an image parameter. `mask` is bool, `labels` and `markers` (sparse) are integers, `upper` is
nowhere less than the image parameter before it, `counts` has small integers, and `coordinates` has a position per pixel."""

_DTYPES = {
    "b": ("bool",),
    "u": ("uint8", "uint16", "uint32", "uint64"),
    "i": ("int8", "int16", "int32", "int64"),
    "f": ("float32", "float64"),
    "e": ("float16",),
}


class Build(Protocol):
    """Makes lazy nodes while a composite is expanded."""

    def __call__(self, name: str, **arguments: Any) -> Lazy:
        """A node of the entry `name`: `build("filters.sobel", image=image, axis=0)`."""


class Inferred(NamedTuple):
    """The properties of a result that are known before it is computed."""

    gives: Gives
    shape: Shape
    dtype: DType
    expanded: Any = None
    """For a composite, the node that replaces it."""


@dataclass(frozen=True, eq=False)
class Entry:
    """Base class of all catalogue entries."""

    name: str
    """Module and function: `filters.gaussian`. The names of internal entries begin with `lepton.`."""
    source: str = ""
    """Import path of the function whose result the entry gives. By default the library function of the same name or, for
    an internal entry, the function that `declare` decorates."""
    images: tuple[str, ...] = ("image",)
    """Parameters that take an image."""
    values: tuple[str, ...] = ()
    """Parameters that take a whole-image value, a literal, or a tuple of these. A node has an argument for each member of a
    tuple that has values, with the names `name.0`, `name.1` and so on."""
    sequences: tuple[str, ...] = ()
    """Parameters that take a sequence of images. A node has an argument for each member: `name.0`, `name.1` and so on."""
    dtype_kinds: str = "biuf"
    """NumPy dtype kinds that the images may have."""
    dtypes: tuple[str, ...] = ()
    """The dtypes that the images may have; empty for all dtypes of `dtype_kinds`."""
    kinds_of: Mapping[str, str] = field(default_factory=dict)
    """NumPy dtype kinds of images that differ from `dtype_kinds`, by parameter."""
    other_dtypes: str = ""
    """Why the source refuses other dtypes, in its own words."""
    ndims: tuple[int, ...] = ()
    """Numbers of axes that the first image may have, without the channel axis; empty for any."""
    moves_channels: bool = False
    """With another `channel_axis` than the last, channels are moved to the last axis and back, as scikit-image does it."""
    narrow_dtypes: tuple[str, ...] = ()
    """Dtypes whose test images have small numbers only, because the source's memory grows with the range of values."""
    choices: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The values that a parameter may have, by parameter."""
    least: Mapping[str, float] = field(default_factory=dict)
    """The least number that a parameter may be, by parameter."""
    check: Callable[[Arguments], None] | None = None
    """Raises an error for arguments that are invalid or for which blocks would not give the exact result."""
    promise: Promise | Callable[[Arguments], Promise] = IDENTICAL
    """How the result compares with the source's on the whole image; a function if it depends on the arguments."""
    returns: int | Callable[[Arguments], int] = 0
    """Number of results if the source returns a sequence, else 0. The argument `result_index` of a node selects one."""
    own_functions: tuple[str, ...] = ()
    """Parameters that take one or several functions of the user's own."""
    reads_itself: bool = False
    """The function gets its images as `View`s and reads the regions that it needs. It also gets `where`. Images that are
    not inputs of the job are stored before."""
    wants_where: bool = False
    """The function also gets `where`."""
    wants_kernels: bool = False
    """The function also gets `kernels`: whether it may call compiled kernels."""
    needs_finite: bool = False
    """The prover tries no NaN, because the source's result would be meaningless or depend on uninitialized memory."""
    example: Mapping[str, Any] = field(default_factory=dict)
    """Test values of parameters without a default; a value may be a function of the number of axes."""
    samples: Mapping[str, Sample] = field(default_factory=dict)
    """Kinds of test images by parameter; `image` for parameters not named."""
    scratch_bytes: int = 0
    """Bytes that a block needs per pixel of the whole image, for functions that read all of it."""
    cost_ns: float = 2.0
    """Default processor time per pixel, used until it is measured; only ratios matter to the planner's choices."""
    tap_ns: float = 0.0
    """Additional time per pixel and tap of the filter kernel; see `taps`."""
    taps: Callable[[int, Arguments], float] | None = None
    """(number of axes, complete arguments) -> taps. None for a separable kernel: the sum of 2 * halo + 1 over the axes."""
    cut_factor: float | Callable[[BlockGrid, Arguments], float] = 1.0
    """Processor time per pixel where the image is cut into blocks, as a multiple of the time where it is one block; halos
    and rounds are counted besides. A number, or (grid of the blocks, complete arguments) -> number. More than 1 for a
    function that has a quicker way to do a whole image, or that computes more pixels around a block than its geometry
    says."""

    def __post_init__(self) -> None:
        if not self.source and not self.is_internal:
            object.__setattr__(self, "source", library_path(self.name))

    def declared_on(self, function: Callable[..., Any]) -> Self:
        """A copy of the entry that calls this function."""
        self._has_no(f"function such as {function.__qualname__}")

    def _with(self, **changes: Any) -> Self:
        """A copy with these fields changed. `dataclasses.replace` is too slow for hundreds of entries."""
        entry = object.__new__(type(self))
        vars(entry).update(vars(self), **changes)
        return entry

    # ------------------------------------------------------------------ kind of entry

    @property
    def is_internal(self) -> bool:
        """Whether the entry is for composites and the planner, and not for users."""
        return self.name.startswith("lepton.")

    @property
    def is_refused(self) -> bool:
        """Whether the function is refused for all arguments."""
        return False

    @property
    def is_source(self) -> bool:
        """Whether the image exists before the job."""
        return False

    @property
    def is_local(self) -> bool:
        """Whether a block of the result is computed from regions of the images."""
        return False

    @property
    def is_fused(self) -> bool:
        """Whether the image can be passed to the next function in memory, within one stage."""
        return False

    @property
    def is_iterated(self) -> bool:
        """Whether blocks are computed in rounds until nothing changes."""
        return False

    @property
    def settles(self) -> bool:
        """Whether rounds over a single block, the whole image, end after the first."""
        return False

    @property
    def labels_blocks(self) -> bool:
        """Whether each block is labelled by itself and the labels are joined afterwards."""
        return False

    @property
    def leaves_partials(self) -> bool:
        """Whether each block gives a partial, to be merged at the end of the stage."""
        return False

    @property
    def has_own_stage(self) -> bool:
        """Whether the entry needs a stage of its own, which stores the image."""
        return False

    @property
    def is_barrier(self) -> bool:
        """Whether functions of the result must wait until all blocks are done."""
        return self.leaves_partials or self.has_own_stage

    @property
    def finds_value(self) -> bool:
        """Whether `find_value` can compute the result from whole-image values alone."""
        return False

    @property
    def broadcasts(self) -> bool:
        """Whether images and values are broadcast against each other."""
        return False

    @property
    def is_weak(self) -> bool:
        """Whether the value is a Python number, which adopts the dtype of the pixels that it meets, as in NumPy."""
        return False

    @property
    def is_combined(self) -> bool:
        """Whether the partials of neighbouring blocks can be combined before they are merged."""
        return False

    @property
    def is_positional(self) -> bool:
        """Whether all images and the result have one shape, and a pixel depends only on pixels around its own position."""
        return False

    # ------------------------------------------------------------------ arguments

    @property
    def signature(self) -> inspect.Signature:
        """The source's signature."""
        return signature_of(self.source)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by parameter name, bound to the source's signature.

        Raises:
            ArgumentTypeError: an argument is missing, unknown or given twice.
        """
        kwargs = dict(kwargs)
        added = {"result_index": kwargs.pop("result_index")} if self.returns and "result_index" in kwargs else {}
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentTypeError(f"{self.name}: {error}; its parameters are {self.signature}") from None
        arguments = dict(bound.arguments) | added
        for parameter in self.signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= arguments.pop(parameter.name, {})
        return arguments

    def complete(self, arguments: Arguments) -> dict[str, Any]:
        """The arguments, completed by the source's defaults, tuples of values as tuples."""
        return {**self._defaults, **self._joined(arguments, self.values, tuple)}

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        return {
            name: parameter.default
            for name, parameter in self.signature.parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }

    def image_names(self, arguments: Arguments) -> list[str]:
        """Names of the arguments that may be images, including members of sequences."""
        return [*self.images, *_members(arguments, self.sequences)]

    def value_names(self, arguments: Arguments) -> list[str]:
        """Names of the arguments that may be whole-image values, including members of tuples."""
        return [*self.values, *_members(arguments, self.values)]

    def spread(self, arguments: Arguments) -> dict[str, Any]:
        """The arguments, with each member of a sequence of images or of a tuple of values as an argument of its own."""
        spread: dict[str, Any] = {}
        for name, value in arguments.items():
            if name in self.sequences or (name in self.values and _has_value(value)):
                spread |= {f"{name}.{number}": member for number, member in enumerate(value)}
            else:
                spread[name] = value
        return spread

    def gathered(self, arguments: Arguments) -> dict[str, Any]:
        """The inverse of `spread`: sequences of images as lists, tuples of values as tuples."""
        return self._joined(self._joined(arguments, self.values, tuple), self.sequences, list)

    @staticmethod
    def _joined(
        arguments: Arguments, names: tuple[str, ...], form: type[list[Any] | tuple[Any, ...]]
    ) -> dict[str, Any]:
        """The arguments, with the members of each of `names` in one list or tuple."""
        members: dict[str, list[Any]] = {}
        for member in _members(arguments, names):
            members.setdefault(member.partition(".")[0], []).append(arguments[member])
        if not members:
            return dict(arguments)
        rest = {name: value for name, value in arguments.items() if name.partition(".")[0] not in members}
        return rest | {name: form(values) for name, values in members.items()}

    def functions_in(self, arguments: Arguments) -> list[str]:
        """The paths of the user's own functions among the arguments, `package.module:function`."""
        named = [arguments.get(name) or () for name in self.own_functions]
        return [function for value in named for function in (value if isinstance(value, list | tuple) else [value])]

    def count_results(self, arguments: Arguments) -> int:
        """Number of results for these arguments; 0 if the source returns one array and no sequence."""
        return self.returns if isinstance(self.returns, int) else self.returns(self.complete(arguments))

    def refuse_if_listed(self) -> None:
        """Raise NotExact if the entry is refused."""

    def validate(self, arguments: Arguments) -> None:
        """Check the arguments before anything runs.

        Raises:
            InputError: the first image has the wrong number of axes, or `check` refuses the arguments.
            DtypeNotSupported: an image has a dtype that the function cannot take.
        """
        for name in self.image_names(arguments):
            self._check_dtype(name, arguments.get(name))
        complete = self.complete(arguments)
        first: Any = next((complete[name] for name in self.image_names(complete) if name in complete), None)
        if self.ndims and hasattr(first, "shape"):
            ndim = len(first.shape) - (complete.get("channel_axis") is not None)
            if ndim not in self.ndims:
                raise self._refusal_of_ndim(ndim)(
                    f"{self.name} takes images of {' or '.join(map(str, self.ndims))} axes (channels not counted); "
                    f"this one has {ndim}, its shape is {tuple(first.shape)}"
                )
        self._check_literals(complete)
        if self.check is not None:
            self.check(complete)

    def _refusal_of_ndim(self, ndim: int) -> type[InputError]:
        """The class of the refusal, found by calling the source on a few pixels."""
        images = {name: np.zeros((4,) * ndim, self.declared_dtypes()[0]) for name in self.images}
        try:
            resolve(self.source)(**images, **self.example_for(ndim))
        except Exception as error:  # each library has its own refusal of such images
            return refusal_like(error)
        return InputError

    def _check_literals(self, complete: Arguments) -> None:
        """Refuse text for numbers, unknown choices and numbers that are too small or too large."""
        check_most(self.name, complete)
        for name, usual in {**self._defaults, **self.example}.items():
            is_number = isinstance(usual, int | float) and not isinstance(usual, bool)
            takes_text = (self.name, name) == ("numpy.histogram", "bins")
            if is_number and isinstance(complete.get(name), str) and not takes_text:
                raise ArgumentTypeError(f"{self.name}: {name}={quoted(complete[name])} is text; give a number")
        for name, allowed in self.choices.items():
            given = complete[name]
            if np.ndim(given) == 0 and given not in allowed:
                raise InputError(f"{self.name}: {name}={quoted(given)}; give one of {', '.join(map(repr, allowed))}")
        for name, least in self.least.items():
            given = complete[name]
            if isinstance(given, int | float | np.number) and not given >= least:
                raise InputError(f"{self.name}: {name}={quoted(given)}; give a number of at least {least}")

    def _check_dtype(self, name: str, image: Any) -> None:
        if not hasattr(image, "dtype"):
            return  # the argument is missing or a literal
        if name == "mask" and image.dtype.kind in "biu":
            return  # any number other than 0 is True
        kinds = self.kinds_of.get(name)
        if image.dtype.kind not in kinds if kinds else not self.accepts(image.dtype):
            taken = " ".join(self.dtypes) if self.dtypes and not kinds else describe_kinds(kinds or self.dtype_kinds)
            reason = f": {self.other_dtypes}" if self.other_dtypes else ""
            raise DtypeNotSupported(
                f"{self.name} cannot take {name} of dtype {image.dtype}{reason}; it takes {taken}; "
                f"convert it first, for instance with .astype"
            )

    # ------------------------------------------------------------------ planning

    def accepts(self, dtype: DType) -> bool:
        """Whether images may have this dtype, whatever its byte order."""
        return dtype.newbyteorder("=").name in self.declared_dtypes()

    def declared_dtypes(self) -> tuple[str, ...]:
        """Every dtype that the images may have."""
        return self.dtypes or tuple(name for kind in self.dtype_kinds for name in _DTYPES[kind])

    def promised(self, arguments: Arguments) -> Promise:
        """The promise for these arguments."""
        return self.promise(self.complete(arguments)) if callable(self.promise) else self.promise

    def depends_on_blocks(self, arguments: Arguments) -> bool:
        """Whether other blocks may give other pixels: the user's own functions and functions that are not exact."""
        return bool(self.functions_in(arguments)) or self.promised(arguments).exactness is not Exactness.IDENTICAL

    def example_for(self, ndim: int) -> dict[str, Any]:
        """Test arguments for an image of `ndim` axes."""
        return {name: value(ndim) if callable(value) else value for name, value in self.example.items()}

    def taps_for(self, shape: Shape, arguments: Arguments) -> float:
        """Number of taps of the filter kernel, by which `tap_ns` is multiplied; `arguments` must be complete."""
        return self.taps(len(shape), arguments) if self.taps is not None else 0.0

    def work_factor(self, grid: BlockGrid, arguments: Arguments) -> float:
        """`cut_factor` for the blocks of a grid over the whole image: 1 for a single block; `arguments` must be complete."""
        if len(grid) == 1:
            return 1.0
        return self.cut_factor(grid, arguments) if callable(self.cut_factor) else self.cut_factor

    def expected_rounds(self, grid: BlockGrid, arguments: Arguments) -> float:
        """Expected number of rounds until the image of an `Iterated` entry stays as it is; `arguments` must be complete."""
        return 1.0

    def infer(self, arguments: Arguments, build: Build) -> Inferred:
        """Kind, shape and dtype of the result; `build` makes the nodes of a composite."""
        self._has_no("result of its own")

    def reads(self, region: Region, images: Shapes, arguments: Arguments) -> list[Region]:
        """The region of each image that `region` of the result depends on."""
        self._has_no("geometry")

    def computes(self, region: Region, images: Shapes, arguments: Arguments) -> Region:
        """The region of the result that the function computes for `region`, with the pixels that are trimmed off."""
        return region

    def halo_px(self, ndim: int, arguments: Arguments) -> tuple[int, ...]:
        """Pixels read on each side of a block along each axis; `arguments` must be complete."""
        self._has_no("halo")

    def blocks_for(self, shape: Shape, wanted: Shape, arguments: Arguments) -> Shape:
        """The block shape of the entry's stage if the planner prefers `wanted`."""
        return wanted

    # ------------------------------------------------------------------ computation

    def evaluate(self, arguments: Arguments, *, kernels: bool = False) -> Array:
        """The function's result for these arguments, images as arrays.

        With `kernels`, a compiled kernel is called if the entry has one that covers the arguments.
        """
        self._has_no("pixels")

    def evaluate_all(self, arguments: Arguments) -> Sequence[Array]:
        """All results of a function with several, for the arguments of one of them."""
        self._has_no("several results")

    def trim(self, result: Array, region: Region, read: Sequence[Region]) -> Array:
        """`region` of the result, cut from the array that the function returned for the regions `read`."""
        self._has_no("geometry")

    def on_block(
        self, arguments: Mapping[str, Any], where: Where, *, kernels: bool = False
    ) -> tuple[Array | None, Partial]:
        """The labels of a block, None except for a `Labelling`, and the block's partial."""
        self._has_no("partials")

    def on_round(
        self, arguments: Mapping[str, Any], state: View | None, where: Where, *, kernels: bool = False
    ) -> tuple[Array, bool]:
        """A block's pixels after a round, and whether the round changed them; `state` is the image before the round."""
        self._has_no("rounds")

    def combine_partials(self, partials: Partials, arguments: Arguments, grid: BlockGrid, region: Region) -> Partial:
        """The partial of a group of blocks, combined from the partials of its blocks."""
        self._has_no("combination of partials")

    def merge_partials(self, partials: Partials, arguments: Arguments, grid: BlockGrid) -> Any:
        """The whole-image value, merged from the partials of all blocks."""
        self._has_no("merge")

    def find_value(self, arguments: Mapping[str, Any]) -> Any:
        """The whole-image value, computed from other values."""
        self._has_no("value")

    def _has_no(self, what: str) -> NoReturn:
        raise TypeError(f"{self.name} is a {type(self).__name__} and has no {what}")


def _members(arguments: Arguments, names: tuple[str, ...]) -> list[str]:
    """The arguments that are members of these parameters."""
    return [name for name in arguments if "." in name and name.partition(".")[0] in names]


def _has_value(value: Any) -> bool:
    """Whether an argument is a tuple or list with a lazy value in it."""
    return isinstance(value, tuple | list) and any(hasattr(member, "gives") for member in value)


def lazy_images(entry: Entry, arguments: Arguments) -> dict[str, Any]:
    """The arguments that are lazy images, without values and literals."""
    named = {name: arguments.get(name) for name in entry.image_names(arguments)}
    return {name: value for name, value in named.items() if getattr(value, "gives", "") == "image"}


def describe_kinds(kinds: str) -> str:
    """The dtype kinds in words: `bool, unsigned integers or floats`."""
    words = {"b": "bool", "i": "signed integers", "u": "unsigned integers", "f": "float32 and float64", "e": "float16"}
    listed = [words[kind] for kind in kinds]
    return listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + " or " + listed[-1]
