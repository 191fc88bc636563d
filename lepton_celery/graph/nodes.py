"""The nodes of the lazy graph that a user builds.

A node knows its operation, its arguments (literals and other nodes), its shape and its dtype. Nothing is read or computed
until a plan of the graph runs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from traceback import walk_tb
from typing import Any, ClassVar, NoReturn, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

import lepton_celery
from lepton_celery import stores
from lepton_celery.catalogue import catalogue, get_entry
from lepton_celery.catalogue.arrays import Arguments, Array, Layout
from lepton_celery.catalogue.entries import Entry, Gives, lazy_images
from lepton_celery.catalogue.half import PROMOTING
from lepton_celery.catalogue.source import SOURCE
from lepton_celery.config import configured
from lepton_celery.errors import ArgumentTypeError, InputError, LeptonError, refusal_like
from lepton_celery.graph.call_warnings import warn, with_new_names
from lepton_celery.graph.indexing import normal_index, value_index
from lepton_celery.graph.layout import in_c_order, layout_of, layout_of_array
from lepton_celery.graph.order import topological
from lepton_celery.graph.sources import array_of
from lepton_celery.stores.axes import Axes
from lepton_celery.stores.roots import roots_of_all
from lepton_celery.text import quoted

SMALL_PX = 1 << 22
"""Pixels up to which `np.asarray` computes a node unasked."""


@dataclass(eq=False, repr=False)
class Node(NDArrayOperatorsMixin):
    """A value that a plan will compute: an `Image`, a whole-image `Value` or a `Table`."""

    gives: ClassVar[Gives]

    operation: str
    """Name in the catalogue."""
    arguments: dict[str, Any]
    """Literals and other nodes, by name."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    inner: Node | None = None
    """The node that a composite expands to; None for other operations."""
    layout: Layout | None = None
    """How NumPy's array of an image would lie in memory; None if that is not known."""

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def weak(self) -> bool:
        """Whether it is a Python number, which adopts the dtype of the pixels that it meets, as in NumPy."""
        return False

    def parents(self) -> Iterator[Node]:
        """The nodes that this node is computed from."""
        return (value for value in self.arguments.values() if isinstance(value, Node))

    @property
    def size(self) -> int:
        """Number of pixels or numbers."""
        if any(n < 0 for n in self.shape):
            raise TypeError(f"the size of {self!r} depends on the pixels; call lepton.compute(…) first")
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the result."""
        return self.size * self.dtype.itemsize

    def compute(self, **options: Any) -> Any:
        """The result, computed in this process; `options` are those of `lepton.compute`."""
        # this layer knows no engine: the call goes through the package's public name, as a user's would
        return lepton_celery.compute(self, **options)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The computed array, if no image of the graph has more than `SMALL_PX` pixels.

        Raises:
            TypeError: the graph has a larger image, whose work should not begin by accident.
        """
        largest = max(topological([self], Node.parents), key=lambda node: 0 if node.gives != "image" else node.size)
        if self.gives == "table" or copy is False or (largest.gives == "image" and largest.size > SMALL_PX):
            raise TypeError(
                f"{self!r} is not computed yet, and only images of at most {SMALL_PX:,} pixels are computed unasked; call "
                "lepton.compute(…) for a NumPy array"
            )
        return np.asarray(self.compute(), dtype)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return lepton_celery.summary_html(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} is not computed yet, so it is neither true nor false; call lepton.compute(…) first")

    def __float__(self) -> NoReturn:
        raise TypeError(f"{self!r} is not computed yet, so it is no number; call lepton.compute(…) first")

    __int__ = __index__ = __float__

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        name = {"true_divide": "divide", "mod": "remainder", "abs": "absolute"}.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or options or f"numpy.{name}" not in catalogue():
            return NotImplemented
        return apply(f"numpy.{name}", *inputs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        aliases = {"amin": "min", "amax": "max", "around": "round"}
        name = f"numpy.{aliases.get(function.__name__, function.__name__)}"
        if name not in catalogue():
            raise TypeError(
                f"{name} is not in the catalogue, so it cannot be computed blockwise; compute the image first"
            )
        return apply(name, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.operation} {self.shape} {self.dtype}>"


def _reduction(name: str) -> Callable[..., Any]:
    """The method that NumPy's arrays have for a reduction."""

    def method(self: Node, *args: Any, **kwargs: Any) -> Any:
        return apply(f"numpy.{name}", self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"The same as `numpy.{name}` of it: over all pixels, or along `axis`."
    return method


def _in_place(ufunc: np.ufunc) -> Callable[..., Any]:
    """The method of an operator such as `+=`, which gives a new node of the same shape and dtype, or NumPy's error."""

    def method(self: Reducible, other: Any) -> Any:
        result = ufunc(self, other)
        if result.shape != self.shape:
            raise ValueError(
                f"the result's shape {result.shape} is not the shape {self.shape} of {self!r}; leave out the `=`"
            )
        if result.dtype == self.dtype:
            return result
        sample = np.ones(1, self.dtype)
        ufunc(
            sample, np.ones(1, other.dtype) if hasattr(other, "dtype") else other, out=sample
        )  # NumPy may refuse the cast
        return result.astype(self.dtype)

    return method


class Reducible(Node):
    """A node with the reductions that NumPy's arrays have as methods, and with their in-place operators."""

    def astype(self, dtype: Any) -> Any:
        """The pixels or numbers converted, as from `ndarray.astype`."""
        return apply("numpy.astype", self, np.dtype(dtype).name)

    max = _reduction("max")
    min = _reduction("min")
    mean = _reduction("mean")
    sum = _reduction("sum")
    prod = _reduction("prod")
    std = _reduction("std")
    var = _reduction("var")
    any = _reduction("any")
    all = _reduction("all")
    argmax = _reduction("argmax")
    argmin = _reduction("argmin")


for _name, _ufunc in (
    *(("add", np.add), ("sub", np.subtract), ("mul", np.multiply), ("truediv", np.true_divide)),
    *(("floordiv", np.floor_divide), ("mod", np.remainder), ("pow", np.power), ("and", np.bitwise_and)),
    *(("or", np.bitwise_or), ("xor", np.bitwise_xor), ("lshift", np.left_shift), ("rshift", np.right_shift)),
):
    setattr(Reducible, f"__i{_name}__", _in_place(_ufunc))


@dataclass(eq=False, repr=False)
class Image(Reducible):
    """A lazy image: arithmetic, comparisons and slicing work as on a NumPy array and stay lazy."""

    gives = "image"

    array: Array | None = None
    """The pixels of an image that was opened from an array."""
    chunks: tuple[int, ...] | None = None
    """Chunk shape of the file that the image is read from; None for an array."""
    axes: Axes = ()
    """The axes of the file that the image is read from; empty if nothing is known about them."""

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Image]:
        """The images along the first axis."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        """The image that integers, slices, None and `...` select as in NumPy, or the value of the pixels of a mask."""
        if isinstance(index, np.ndarray | Image) and index.dtype == bool:
            mask = index if isinstance(index, Image) else open(index)
            return apply("lepton.selected", self, mask)
        selected, flipped, added = normal_index(index, self.shape)
        image = apply("lepton.select", self, index=selected)
        image = apply("numpy.expand_dims", image, added) if added else image
        return cast("Image", apply("numpy.flip", image, flipped) if flipped else image)

    @property
    def T(self) -> Image:  # noqa: N802 - the name that ndarray uses
        """The image with its axes reversed."""
        return self.transpose()

    def transpose(self, *axes: Any) -> Image:
        """The image with its axes permuted, as from `ndarray.transpose`."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return cast("Image", apply("numpy.transpose", self, order))

    def reshape(self, *shape: Any, order: str = "C") -> Image:
        """The pixels in raster order in another shape, as from `ndarray.reshape`."""
        wanted = shape[0] if len(shape) == 1 else shape
        return cast("Image", apply("numpy.reshape", self, wanted, order))

    def ravel(self, order: str = "C") -> Image:
        """The pixels in raster order along one axis, as from `ndarray.ravel`."""
        return cast("Image", apply("numpy.ravel", self, order))

    flatten = ravel

    def clip(self, min: Any = None, max: Any = None) -> Image:
        """The image with its pixels limited, as from `ndarray.clip`."""
        return cast("Image", apply("numpy.clip", self, min, max))

    def round(self, decimals: int = 0) -> Image:
        """The image with its pixels rounded, as from `ndarray.round`."""
        return cast("Image", apply("numpy.round", self, decimals))


class Value(Reducible):
    """A lazy whole-image value, such as a threshold: one number, or several that can be indexed and unpacked."""

    gives = "value"

    @property
    def weak(self) -> bool:
        node: Node = self
        while node.inner is not None:
            node = node.inner
        return get_entry(node.operation).is_weak

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError(f"{self!r} is one number, which has no length")
        if self.shape[0] < 0:
            raise TypeError(f"the length of {self!r} depends on the pixels; call lepton.compute(…) first")
        return self.shape[0]

    def __iter__(self) -> Iterator[Value]:
        """The values along the first axis."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: Any) -> Value:
        """The values that NumPy's basic indexing selects: integers, slices, None and `...`."""
        return cast("Value", apply("lepton.pick_values", self, index=value_index(index, self.shape)))


def _number_operator(name: str, usual: Callable[..., Any], *, reflected: bool = False) -> Callable[..., Any]:
    """The method of an operator: Python numbers give a Python number, and everything else what NumPy gives."""

    def method(self: Value, *others: Any) -> Any:
        operands = (*others, self) if reflected else (self, *others)
        if all(type(one) in (bool, int, float) or (isinstance(one, Value) and one.weak) for one in operands):
            return apply("lepton.python_number", name, operands)
        return usual(self, *others)

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "neg", "pos", "abs"):
    for _side in ("", "r"):
        _method = f"__{_side}{_name}__"
        if (_usual := getattr(NDArrayOperatorsMixin, _method, None)) is not None:
            setattr(Value, _method, _number_operator(_name, _usual, reflected=bool(_side)))


class Table(Node):
    """A lazy table of objects, with columns by name."""

    gives = "table"


_CLASSES: dict[str, type[Node]] = {"image": Image, "value": Value, "table": Table}


def open(source: object) -> Image:
    """A lazy image of a file (path or URL), a NumPy array, a list of numbers or a Pillow image; only a header is read.

    Raises:
        StoreError: the file is missing or cannot be read; StoreTimeout if its file system does not answer.
        InputError: the format is unknown, the dtype is not bool, integer or float, there are no pixels, or something that a
            plain array does not have would be lost, such as a mask; or the file is outside `allowed_roots`.
    """
    if isinstance(source, Node):
        raise InputError(f"{source!r} is lazy already; give it to functions as it is")
    if isinstance(source, str | os.PathLike):
        path, settings = os.fspath(source), configured()
        reader = stores.answered(
            path, lambda: stores.open_array(path, roots=roots_of_all(settings.roots)), settings.store_timeout_s
        )
        image = Image(
            SOURCE, {"url": reader.url}, reader.shape, reader.dtype, None, None, None, tuple(reader.chunks), reader.axes
        )
    else:
        array = array_of(source)
        image = Image(SOURCE, {"url": "memory:"}, array.shape, array.dtype.newbyteorder("="), array=array)
    image.layout = in_c_order(image.ndim) if image.array is None else layout_of_array(image.array)
    named = "the array" if image.array is not None else f"the image {image.arguments['url']}"
    if image.dtype.kind not in "biuf":
        raise InputError(f"{named} has dtype {image.dtype}; give bool, integer or float pixels")
    if image.ndim < 1:
        raise InputError(f"{named} is a single number, which has no axes; give an array of pixels")
    if 0 in image.shape:
        raise InputError(f"{named} of shape {image.shape} has no pixels; give another one")
    return image


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """The lazy result of an operation of the catalogue; a tuple of results if the function returns several.

    Warns:
        NotExactWarning: the result may differ from scikit-image's; the message says how far.
        Warning: what scikit-image warns of, if it depends on the arguments, dtypes or shapes alone.

    Raises:
        InputError: the operation is unknown, an argument is wrong, or an image has a dtype that the function cannot take.
    """
    entry = get_entry(name)
    entry.refuse_if_listed()
    arguments = _bound(entry, args, kwargs)
    arguments = with_new_names(entry, arguments)
    _check_nodes(entry, arguments)
    try:
        entry.validate(arguments)
        warn(entry, arguments)
        if entry.returns and "result_index" not in arguments and (count := entry.count_results(arguments)):
            return tuple(make(entry.name, **arguments, result_index=index) for index in range(count))
        return make(entry.name, **arguments)
    except LeptonError:
        raise
    except Exception as error:  # a library may refuse an argument with any exception
        if _is_own_fault(error):
            raise
        given = [f"{key}={value!r}" for key, value in arguments.items() if not isinstance(value, Node)]
        raise refusal_like(error)(
            f"{entry.name} refuses {', '.join(given) or 'this image'}: {error}; its parameters are {entry.signature}"
        ) from error


def _is_own_fault(error: Exception) -> bool:
    """Whether an error is a bug of this package, and not the refusal of a wrong argument.

    A library may refuse an argument with any exception. This package's own code does so with `TypeError`, `ValueError` or
    `OverflowError`; any other exception that it raises is a bug.
    """
    *_, (frame, _) = walk_tb(error.__traceback__)
    module = str(frame.f_globals.get("__name__", ""))
    return module.startswith("lepton_celery.") and not isinstance(error, TypeError | ValueError | OverflowError)


def _bound(entry: Entry, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name, with arrays opened as lazy images."""
    arguments = entry.spread(entry.bind(args, entry.gathered(kwargs)))
    names = entry.image_names(arguments)
    for parameter in names:
        given = arguments.get(parameter)
        if entry.broadcasts and isinstance(given, list | tuple):
            try:
                given = np.asarray(given)
            except ValueError as error:  # lists of different lengths
                raise InputError(f"{entry.name}: {parameter} is {quoted(given)}, which is no array: {error}") from error
        if isinstance(given, np.ndarray):
            is_number = given.ndim == 0 and parameter in entry.values
            arguments[parameter] = given[()] if is_number else open(given)
    if entry.name in PROMOTING:
        for parameter in names:
            given = arguments.get(parameter)
            if isinstance(given, Image) and given.dtype == np.float16:
                arguments[parameter] = given.astype(np.float32)
    if entry.broadcasts and any(isinstance(arguments.get(name), Image) for name in names):
        for parameter in names:
            given = arguments.get(parameter)
            if isinstance(given, Value) and given.shape:
                arguments[parameter] = _drawn(given)
    return arguments


def _drawn(value: Value) -> Node:
    """An image of several values, which can be broadcast against others."""
    if any(n < 0 for n in value.shape):
        raise InputError(
            f"the length of {value!r} depends on the pixels; call lepton.compute(…) first, or pick one: values[0]"
        )
    return make("lepton.drawn_values", values=value, shape=value.shape)


def _check_nodes(entry: Entry, arguments: Arguments) -> None:
    """Refuse nodes for parameters that do not take them, and anything but images for image parameters."""
    for parameter, value in arguments.items():
        fits = (
            not isinstance(value, Node)
            or (isinstance(value, Image) and parameter in entry.image_names(arguments))
            or (isinstance(value, Value) and parameter in entry.value_names(arguments))
        )
        if not fits:
            raise ArgumentTypeError(
                f"{entry.name}: {parameter} cannot be {quoted(value)}; give a plain value, or compute it first"
            )
    for parameter in entry.images:
        given = arguments.get(parameter)
        known = entry.signature.parameters.get(parameter)
        left_out = given is None and known is not None and known.default is not known.empty
        if not left_out and not isinstance(given, Node) and (parameter not in entry.values or given is None):
            raise ArgumentTypeError(
                f"{entry.name}: {parameter} is {type(given).__name__} {quoted(given)}; "
                "give an image: lepton.open(…), a NumPy array or the result of another function"
            )


def make(name: str, **arguments: Any) -> Node:
    """A node of any entry of the catalogue, with its shape and dtype inferred; the arguments are not checked."""
    entry = get_entry(name)
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    arguments = entry.spread(arguments)
    if arguments.get("mode") == "wrap" and entry.is_positional:
        return _wrapped(entry, arguments)
    if entry.moves_channels and arguments.get("channel_axis", -1) != -1:
        return _with_channels_last(entry, arguments)
    return _node(entry, arguments)


def _node(entry: Entry, arguments: Arguments, inner: Node | None = None) -> Node:
    gives, shape, dtype, expanded = entry.infer(arguments, make)
    inner = expanded if inner is None else inner
    node = _CLASSES[gives](entry.name, dict(arguments), shape, dtype, inner)
    if isinstance(node, Image):
        node.layout = inner.layout if isinstance(inner, Image) else layout_of(entry, arguments, len(shape))
    return node


def _with_channels_last(entry: Entry, arguments: Arguments) -> Node:
    """A function of channels on another axis, as a composite: move them to the last axis, compute, and move them back."""
    images = lazy_images(entry, arguments)
    ndim = next(iter(images.values())).ndim
    if arguments["channel_axis"] % ndim == ndim - 1:
        return _node(entry, arguments)
    axes = list(range(ndim))
    axes.append(axes.pop(arguments["channel_axis"]))
    moved = {name: make("numpy.transpose", a=image, axes=axes) for name, image in images.items()}
    node = _node(entry, {**arguments, **moved, "channel_axis": -1})
    if node.ndim == ndim:
        node = make("numpy.transpose", a=node, axes=np.argsort(axes).tolist())
    return _CLASSES[node.gives](entry.name, dict(arguments), node.shape, node.dtype, node)


def _wrapped(entry: Entry, arguments: Arguments) -> Node:
    """A function with `mode="wrap"`, as a composite: pad the image periodically, compute, and crop."""
    images = lazy_images(entry, arguments)
    shape = next(iter(images.values())).shape
    halo = entry.halo_px(len(shape), entry.complete(arguments))
    if any(h > n for h, n in zip(halo, shape, strict=True)):
        raise InputError(
            f"{entry.name} with mode='wrap' reaches {halo} pixels, more than the image of shape {shape} has; "
            "use a smaller kernel or another mode"
        )
    padded = {name: make("lepton.wrap_pad", image=image, halo=halo) for name, image in images.items()}
    wide = _node(entry, {**arguments, **padded})
    index = tuple((h, h + n, 1) for h, n in zip(halo, shape, strict=True))
    return _node(entry, arguments, make("lepton.select", image=wide, index=index))
