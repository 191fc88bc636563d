"""The lazy graph a user builds, and its JSON form.

A node knows its operation, its arguments (literals and other nodes), its shape and its dtype. Nothing is read or computed
until a plan of the graph runs.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from lepton_celery import stores
from lepton_celery.catalogue import catalogue, get_entry
from lepton_celery.catalogue.arrays import Arguments, Array
from lepton_celery.catalogue.entries import Entry, Refused, lazy_images
from lepton_celery.catalogue.promise import Exactness
from lepton_celery.catalogue.source import SOURCE
from lepton_celery.errors import InputError, LeptonError, NotExactWarning

GRAPH_VERSION = 1
PUBLIC_PARTS = frozenset({SOURCE, "lepton.select", "lepton.count_labels"})
"""Parts of the planner's vocabulary that a stored graph may name."""


class Node(NDArrayOperatorsMixin):
    """A value that a plan will compute: an `Image`, a whole-image `Value` or a `Table`."""

    gives = "node"

    def __init__(
        self,
        operation: str,
        arguments: Arguments,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        inner: Node | None = None,
    ) -> None:
        self.operation = operation
        """Name in the catalogue."""
        self.arguments = dict(arguments)
        """Arguments by name, nodes among them."""
        self.shape = shape
        self.dtype = dtype
        self.inner = inner
        """What a composite operation stands for."""

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def parents(self) -> Iterator[Node]:
        """The nodes this one is computed from."""
        return (value for value in self.arguments.values() if isinstance(value, Node))

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{self!r} is not computed yet; call lepton.compute(…) for a NumPy array")

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} is not computed yet, so it is neither true nor false; call lepton.compute(…) first")

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


class Image(Node):
    """A lazy image: arithmetic, comparisons and slicing work as on a NumPy array and stay lazy."""

    gives = "image"

    array: Array | None = None
    """The pixels, where the image was handed in as an array."""
    chunks: tuple[int, ...] | None = None
    """The chunks of the file it is read from; None: it is none."""

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Image]:
        """The images along the first axis."""
        return (self[at] for at in range(len(self)))

    def __getitem__(self, index: Any) -> Image:
        """NumPy's basic indexing."""
        picked, backwards, added = _normal_index(index, self.shape)
        image = apply("lepton.select", self, index=picked)
        image = apply("numpy.expand_dims", image, added) if added else image
        return _image(apply("numpy.flip", image, backwards) if backwards else image)

    @property
    def T(self) -> Image:  # noqa: N802 - as ndarray has it
        """The image with its axes in the opposite order."""
        return self.transpose()

    def transpose(self, *axes: Any) -> Image:
        """The image with its axes in another order, as `ndarray.transpose` has it."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return _image(apply("numpy.transpose", self, order))

    def astype(self, dtype: Any) -> Image:
        """The image converted, as `ndarray.astype` does."""
        return _image(apply("numpy.astype", self, np.dtype(dtype).name))

    def min(self) -> Value:
        """The least pixel of the whole image."""
        return _value(apply("numpy.min", self))

    def max(self) -> Value:
        """The greatest pixel of the whole image."""
        return _value(apply("numpy.max", self))

    def clip(self, min: Any = None, max: Any = None) -> Image:
        """The image with its pixels limited, as `ndarray.clip` does."""
        return _image(apply("numpy.clip", self, min, max))

    def round(self, decimals: int = 0) -> Image:
        """The image rounded, as `ndarray.round` does."""
        return _image(apply("numpy.round", self, decimals))

    def sum(self, **options: Any) -> Value:
        """The sum of the pixels, as `numpy.sum` has it."""
        return _value(apply("numpy.sum", self, **options))

    def mean(self, **options: Any) -> Value:
        """The mean of the pixels, as `numpy.mean` has it."""
        return _value(apply("numpy.mean", self, **options))

    def std(self, **options: Any) -> Value:
        """The standard deviation of the pixels, as `numpy.std` has it."""
        return _value(apply("numpy.std", self, **options))

    def any(self) -> Value:
        """Whether any pixel is not 0."""
        return _value(apply("numpy.any", self))

    def all(self) -> Value:
        """Whether no pixel is 0."""
        return _value(apply("numpy.all", self))


class Value(Node):
    """A lazy whole-image value, such as a threshold."""

    gives = "value"


class Table(Node):
    """A lazy table of objects: columns by name."""

    gives = "table"


_KINDS: dict[str, type[Node]] = {"image": Image, "value": Value, "table": Table}


def _image(node: Node) -> Image:
    assert isinstance(node, Image)
    return node


def _value(node: Node) -> Value:
    assert isinstance(node, Value)
    return node


def open(source: str | os.PathLike[str] | Array) -> Image:
    """A lazy image of a file (path or URL) or of a NumPy array; only the header is read.

    Raises:
        StoreError: the file is missing or cannot be read.
        InputError: its format is unknown, or the image is empty.
    """
    if isinstance(source, np.ndarray):
        image = Image(SOURCE, {"url": "memory:"}, source.shape, source.dtype)
        image.array = source
    else:
        reader = stores.open_array(source)
        image = Image(SOURCE, {"url": reader.url}, reader.shape, reader.dtype)
        image.chunks = tuple(reader.chunks)
    if image.ndim < 1 or 0 in image.shape:
        raise InputError(f"the image {image.arguments['url']} of shape {image.shape} has no pixels; give one that has")
    if image.dtype.kind not in "biuf":
        raise InputError(
            f"the image {image.arguments['url']} has dtype {image.dtype}; give bool, integer or float pixels"
        )
    return image


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """The lazy result of an operation of the catalogue; a tuple of them where the function returns several images.

    Warns:
        NotExactWarning: the result may differ from scikit-image's; the message says how far.

    Raises:
        InputError: unknown operation, wrong argument, or dtype that it cannot take.
    """
    entry = get_entry(name)
    if isinstance(entry, Refused):
        entry.validate({})  # whatever it is given
    if entry.name == "lepton.select":
        arguments: dict[str, Any] = {"image": args[0] if args else kwargs["image"], "index": kwargs["index"]}
    else:
        arguments = entry.spread(entry.bind(args, entry.gathered(kwargs)))
    for parameter in entry.image_names(arguments):
        given = arguments.get(parameter)
        if isinstance(given, np.ndarray):
            is_number = given.ndim == 0 and parameter in entry.values
            arguments[parameter] = given[()] if is_number else open(given)
    _check_nodes(entry, arguments)
    try:
        entry.validate(arguments)
        _warn(entry, arguments)
        if entry.returns and "part" not in arguments:
            count = entry.count_results(arguments)
            if count:
                return tuple(make(entry.name, **arguments, part=part) for part in range(count))
        return make(entry.name, **arguments)
    except LeptonError:
        raise
    except (TypeError, ValueError, IndexError, KeyError, OverflowError, AttributeError, RuntimeError) as error:
        given = [f"{key}={value!r}" for key, value in arguments.items() if not isinstance(value, Node)]
        raise InputError(
            f"{entry.name} refuses {', '.join(given) or 'this image'}: {error}; its parameters are {entry.signature}"
        ) from error


def _warn(entry: Entry, arguments: Arguments) -> None:
    """Say so where the result may not be scikit-image's own."""
    promise = entry.promised(arguments)
    if promise.exactness is not Exactness.IDENTICAL:
        warnings.warn(
            f"{entry.name} is {promise} and not identical to the whole-image result: {promise.reason}",
            NotExactWarning,
            stacklevel=3,
        )


def _check_nodes(entry: Entry, arguments: Arguments) -> None:
    """Images only where images belong, values only where values do."""
    for parameter, value in arguments.items():
        fits = (
            not isinstance(value, Node)
            or (isinstance(value, Image) and parameter in entry.image_names(arguments))
            or (isinstance(value, Value) and parameter in entry.values)
        )
        if not fits:
            raise InputError(f"{entry.name}: {parameter} cannot be {value!r}; give a plain value, or compute it first")
    for parameter in entry.images:
        given = arguments.get(parameter)
        known = entry.signature.parameters.get(parameter)
        left_out = given is None and known is not None and known.default is None
        if not left_out and not isinstance(given, Node) and parameter not in entry.values:
            raise InputError(
                f"{entry.name}: {parameter} is {type(given).__name__} {given!r}; "
                "give an image: lepton.open(…), a NumPy array or the result of another function"
            )


def make(name: str, **arguments: Any) -> Node:
    """A node of any entry of the catalogue, its shape and dtype inferred. Arguments are taken as they are."""
    entry = get_entry(name)
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    if arguments.get("mode") == "wrap" and entry.is_positional:
        return _wrapped(entry, arguments)
    return _node(entry, arguments)


def _node(entry: Entry, arguments: Arguments, inner: Node | None = None) -> Node:
    gives, shape, dtype, expanded = entry.infer(arguments, make)
    return _KINDS[gives](entry.name, arguments, shape, dtype, expanded if inner is None else inner)


def _wrapped(entry: Entry, arguments: Arguments) -> Node:
    """A function whose halo goes on at the opposite side: the image is padded with itself, computed, and cut again."""
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


def _normal_index(index: Any, shape: tuple[int, ...]) -> tuple[tuple[Any, ...], tuple[int, ...], tuple[int, ...]]:
    """An index as `lepton.select` takes it; of the result, the axes that are to run backwards and those that are new."""
    items = list(index) if isinstance(index, tuple) else [index]
    # by identity: arrays and nodes in an index answer == with more of their kind
    ellipses = [at for at, item in enumerate(items) if item is Ellipsis]
    missing = len(shape) - sum(item is not None and item is not Ellipsis for item in items)
    if len(ellipses) > 1 or missing < 0:
        raise InputError(f"index {index!r} has too many entries for an image of shape {shape}")
    at = ellipses[0] if ellipses else len(items)
    items[at : at + 1] = [slice(None)] * missing
    picked: list[Any] = []
    backwards, added, axis = [], [], 0
    for item in items:
        if item is None:
            added.append(axis)
        else:
            picked.append(_normal_item(item, shape[len(picked)], index, shape))
            if isinstance(picked[-1], int):
                continue
            if item.step is not None and item.step < 0:
                backwards.append(axis)
        axis += 1
    return tuple(picked), tuple(backwards), tuple(added)


def _normal_item(item: Any, n: int, index: Any, shape: tuple[int, ...]) -> Any:
    """A pixel's number, or (start, stop, step) with a step of at least 1."""
    if isinstance(item, int | np.integer) and not isinstance(item, bool):
        if not -n <= item < n:
            raise InputError(f"index {index!r} is outside an image of shape {shape}")
        return int(item) % n
    if not isinstance(item, slice) or item.step == 0:
        raise InputError(f"index {index!r}: give whole numbers and slices with steps other than 0, None or ...")
    places = range(*item.indices(n))
    if len(places) == 0:
        raise InputError(f"index {index!r} picks no pixel of an image of shape {shape}")
    places = places if places.step > 0 else places[::-1]
    return (places[0], places[-1] + 1, places.step)


# ------------------------------------------------------------------------------------------------ walking and JSON


def topological(roots: Sequence[Node], parents: Callable[[Node], Iterator[Node]] = Node.parents) -> list[Node]:
    """All nodes below `roots`, parents first; without recursion, so that long chains do no harm."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(node, False) for node in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(list(parents(node))))
    return order


def encode(value: Any, index_of: Mapping[int, int]) -> Any:
    """An argument as JSON."""
    if isinstance(value, Node):
        return {"node": index_of[id(value)]}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return {"scalar": value.item(), "dtype": str(value.dtype)}
    if isinstance(value, type | np.dtype):
        return np.dtype(value).name
    if isinstance(value, tuple | list | range):
        return [encode(item, index_of) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if callable(value):
        raise InputError(
            f"{value!r} cannot be sent to a worker; functions are sent by name: define it in a module that workers can "
            "import, or use lepton.compute"
        )
    raise InputError(f"argument {value!r} of type {type(value).__name__} cannot be sent to a worker; give plain values")


def decode(value: Any, nodes: Sequence[Any]) -> Any:
    """The argument that `encode` wrote."""
    if isinstance(value, list):
        # sequences are tuples on both engines: some functions of scikit-image refuse lists
        return tuple(decode(item, nodes) for item in value)
    if not isinstance(value, dict):
        return value
    if "node" in value:
        at = value["node"]
        if not isinstance(at, int) or not 0 <= at < len(nodes):
            raise InputError(f"the graph names node {at!r} before it is made; list nodes in the order of their use")
        return nodes[at]
    if "array" in value:
        return np.array(value["array"], dtype=value["dtype"])
    if "scalar" in value:
        return np.dtype(value["dtype"]).type(value["scalar"])
    raise InputError(f"argument {value!r} is not understood; give a plain value, a node, an array or a scalar")


def to_json(outputs: Mapping[str, Node]) -> dict[str, Any]:
    """The graph of named outputs as plain JSON values."""
    order = topological(list(outputs.values()))
    index_of = {id(node): at for at, node in enumerate(order)}
    for node in order:
        if isinstance(node, Image) and node.array is not None:
            raise InputError(
                f"{node!r} is an array in memory; save it to a file and open that, then it has a JSON form"
            )
    nodes = [
        {
            "operation": node.operation,
            "arguments": {key: encode(value, index_of) for key, value in node.arguments.items()},
        }
        for node in order
    ]
    return {
        "version": GRAPH_VERSION,
        "nodes": nodes,
        "outputs": {name: index_of[id(node)] for name, node in outputs.items()},
    }


def from_json(document: Mapping[str, Any], inputs: Mapping[str, Any] | None = None) -> dict[str, Node]:
    """The named outputs of a graph that came from outside; every name and argument is checked again.

    Args:
        document: what `to_json` gave, or a person wrote.
        inputs: replaces sources: a source whose url is `input:NAME` opens `inputs[NAME]`.

    Raises:
        InputError: another version, an unknown operation, or arguments that do not fit.
    """
    found = document.get("version") if hasattr(document, "get") else type(document).__name__
    if found != GRAPH_VERSION:
        raise InputError(f"a graph of version {found!r} was given; this release reads version {GRAPH_VERSION}")
    try:
        return _decoded(document, inputs or {})
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        if isinstance(error, LeptonError):
            raise
        raise InputError(
            f"the graph cannot be read: {error!r}; it wants "
            '{"version": 1, "nodes": [{"operation": …, "arguments": {…}}, …], "outputs": {"labels.zarr": 3}}'
        ) from error


def _decoded(document: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Node]:
    nodes: list[Node] = []
    for entry in document.get("nodes", []):
        name = entry.get("operation", "")
        arguments = {key: decode(value, nodes) for key, value in entry.get("arguments", {}).items()}
        if name.startswith("lepton.") and name not in PUBLIC_PARTS:
            raise InputError(f"operation {name!r} is internal; a graph names public operations only")
        nodes.append(_open_source(arguments, inputs) if name == SOURCE else apply(name, **arguments))
    outputs = document.get("outputs", {})
    if not outputs:
        raise InputError('the graph has no outputs; name at least one: "outputs": {"labels.zarr": 3}')
    return {name: decode({"node": at}, nodes) for name, at in outputs.items()}


def _open_source(arguments: Mapping[str, Any], inputs: Mapping[str, Any]) -> Image:
    url = arguments.get("url")
    if not isinstance(url, str):
        raise InputError(f"a source has url {url!r}; give a path or URL")
    if url.startswith("input:"):
        name = url.removeprefix("input:")
        if name not in inputs:
            raise InputError(f"the graph reads input {name!r}, which was not given; inputs are {sorted(inputs)}")
        return open(inputs[name])
    return open(url)
