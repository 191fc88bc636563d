"""Converts graphs and arguments to plain JSON values and back; a stored graph is validated when it is read.

A stored graph has nodes, as `to_json` writes them, or steps, as on the command line.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import Any

import numpy as np

from lepton_celery.catalogue.source import SOURCE
from lepton_celery.errors import InputError
from lepton_celery.graph.nodes import Image, Node, apply, open
from lepton_celery.graph.order import topological
from lepton_celery.graph.steps import build_steps
from lepton_celery.limits import MAX_NODES
from lepton_celery.stores.documents import check_version, from_document, to_document
from lepton_celery.text import quoted, shown

GRAPH_VERSION = 1
PUBLIC_INTERNAL = frozenset(
    {SOURCE, "lepton.select", "lepton.points_to_mask", "lepton.selected", "lepton.pick_values", "lepton.python_number"}
)
"""Internal entries of the catalogue that a stored graph may name."""

_FORM = (
    '{"version": 1, "nodes": [{"operation": …, "arguments": {…}}, …], "outputs": {"labels.zarr": 3}}, or of this form: '
    '{"version": 1, "steps": ["gaussian:sigma=2", "cells=label"], "outputs": {"labels.zarr": "cells"}}'
)


_MAX_ITEM_BYTES = 1024
"""Largest number or text among arguments, in bytes."""
_MAX_LISTED_CHARS = 200
"""Longest text in a list of arguments: an array of the list would take that much for each of its items."""


@dataclass(frozen=True)
class NodeDocument:
    """A node in a stored graph."""

    operation: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class GraphDocument:
    """A stored graph: its nodes, each after the nodes that it uses, and the number of each output's node."""

    version: int
    nodes: list[NodeDocument]
    outputs: dict[str, int]


@dataclass(frozen=True)
class StepsDocument:
    """A stored graph that is written as steps, and the name of each output's result."""

    version: int
    steps: list[str]
    outputs: dict[str, str] = field(default_factory=dict)
    """Empty: one output, `result`, which is that of the last step."""


def to_json(outputs: Mapping[str, Node]) -> dict[str, Any]:
    """The graph of named outputs as plain JSON values.

    Raises:
        InputError: an input is an array in memory, or an argument has no JSON form.
    """
    nodes = topological(list(outputs.values()), Node.parents)
    index_of = {id(node): index for index, node in enumerate(nodes)}
    documents = []
    for node in nodes:
        if isinstance(node, Image) and node.array is not None:
            raise InputError(
                f"{node!r} is an array in memory, which has no JSON form; save it to a file and open the file"
            )
        arguments = {name: encode(value, lambda it: index_of.get(id(it))) for name, value in node.arguments.items()}
        documents.append(NodeDocument(node.operation, arguments))
    _check_names(outputs)
    indices = {name: index_of[id(node)] for name, node in outputs.items()}
    return to_document(GraphDocument(GRAPH_VERSION, documents, indices))


def from_json(
    document: Mapping[str, Any], inputs: Mapping[str, Any] | None = None, *, only_inputs: bool = False
) -> dict[str, Node]:
    """The named outputs of a stored graph; every name and argument is validated.

    Args:
        document: a document from `to_json`, or one written by hand: of nodes, or of steps as on the command line.
        inputs: paths or arrays; a source with the URL `input:NAME`, and `@NAME` in a step, opens `inputs[NAME]`. The first
            step works on the input `image`.
        only_inputs: whether to refuse a source with a path or URL, as a site must where users write the document.

    Raises:
        InputError: the document has another version or form, an operation is unknown, or arguments do not fit.
    """
    check_version(document, GRAPH_VERSION, "the graph", f"give a graph of this form: {_FORM}")
    if "steps" in document:
        return _from_steps(from_document(document, StepsDocument, "the graph"), inputs or {})
    graph = from_document(document, GraphDocument, "the graph")
    _check_length(len(graph.nodes), "nodes")
    nodes: list[Node] = []
    for written in graph.nodes:
        name, written_arguments = _renamed(written)
        if name.startswith("lepton.") and name not in PUBLIC_INTERNAL:
            raise InputError(f"operation {quoted(name)} is internal; a graph names public operations only")
        arguments = {key: decode(value, nodes) for key, value in written_arguments.items()}
        nodes.append(_open_source(arguments, inputs or {}, only_inputs) if name == SOURCE else apply(name, **arguments))
    _check_names(graph.outputs)
    if not graph.outputs:
        raise InputError('the graph has no outputs; name at least one: "outputs": {"labels.zarr": 3}')
    return {name: decode({"node": index}, nodes) for name, index in graph.outputs.items()}


def _from_steps(graph: StepsDocument, inputs: Mapping[str, Any]) -> dict[str, Node]:
    _check_names(graph.outputs)
    _check_length(len(graph.steps), "steps")
    results = build_steps({name: partial(open, given) for name, given in inputs.items()}, graph.steps)
    if not graph.outputs:
        return {"result": results.last()}
    return {output: results.named(name, f"output {quoted(output)}") for output, name in graph.outputs.items()}


def _check_length(count: int, what: str) -> None:
    if count > MAX_NODES:
        raise InputError(f"the graph has {count:,} {what}, and at most {MAX_NODES:,} are read; give several graphs")


def _renamed(written: NodeDocument) -> tuple[str, dict[str, Any]]:
    """The operation and the arguments by their current names; graphs that previews stored have some old ones."""
    name, arguments = written.operation, dict(written.arguments)
    if name == "lepton.count_labels":
        name, arguments = "measure.label", arguments | {"return_num": True, "result_index": 1}
    elif "part" in arguments:
        arguments["result_index"] = arguments.pop("part")
    else:
        return name, arguments
    warnings.warn(
        f"the stored graph names {written.operation} as previews did; save it again, because release 0.2 will not read it",
        DeprecationWarning,
        stacklevel=3,
    )
    return name, arguments


def encode(value: Any, number_of: Callable[[Any], int | None]) -> Any:
    """An argument as plain JSON values; `number_of` gives the number of a node, and None for other values.

    Raises:
        InputError: the value has no JSON form.
    """
    if (number := number_of(value)) is not None:
        return {"node": number}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return {"scalar": value.item(), "dtype": str(value.dtype)}
    if isinstance(value, type | np.dtype):
        return np.dtype(value).name
    if isinstance(value, tuple | list | range):
        return [encode(item, number_of) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if callable(value):
        raise InputError(
            f"{value!r} cannot be sent to a worker; functions are sent by name: define it in a module that workers can "
            "import, or use lepton.compute"
        )
    raise InputError(f"argument {value!r} of type {type(value).__name__} cannot be sent to a worker; give plain values")


def decode(value: Any, nodes: Sequence[Any]) -> Any:
    """The argument that `encode` wrote; `nodes` are the nodes by number.

    Raises:
        InputError: the value is not an encoded argument.
    """
    if isinstance(value, list):
        if any(isinstance(item, str) and len(item) > _MAX_LISTED_CHARS for item in value):
            raise InputError(
                f"argument {quoted(value)} has a text of more than {_MAX_LISTED_CHARS} characters in a list; give it alone"
            )
        # tuples on both engines, because some functions of scikit-image refuse lists
        return tuple(decode(item, nodes) for item in value)
    if not isinstance(value, dict):
        return value
    if "node" in value:
        number = value["node"]
        if not isinstance(number, int) or not 0 <= number < len(nodes):
            raise InputError(
                f"the graph names node {quoted(number)} before it is listed; list a node before it is used"
            )
        return nodes[number]
    try:
        if "array" in value:
            return np.array(value["array"], dtype=_dtype_of(value))
        if "scalar" in value:
            return _dtype_of(value).type(value["scalar"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"argument {quoted(value)} cannot be read: {shown(error)}; give its values and their dtype"
        ) from error
    raise InputError(f"argument {quoted(value)} is not understood; give a plain value, a node, an array or a scalar")


def _dtype_of(value: Mapping[str, Any]) -> np.dtype[Any]:
    """The dtype of an encoded array or scalar; ValueError unless it is of numbers, or of a short text."""
    dtype: np.dtype[Any] = np.dtype(value["dtype"])
    if dtype.kind not in ("biufc" if "array" in value else "biufcU") or dtype.itemsize > _MAX_ITEM_BYTES or dtype.shape:
        raise ValueError("its dtype is not one of numbers")
    return dtype


def _check_names(names: Iterable[str]) -> None:
    """Refuse names of outputs that would lead out of the folder that they are written to.

    Raises:
        InputError: a name is empty, absolute, or has `..` in it.
    """
    for name in names:
        path = PurePath(name)
        if not path.name or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise InputError(
                f"the graph has an output named {quoted(name)}, which would lead out of the folder of the outputs; give a "
                "name such as labels.zarr"
            )


def _open_source(arguments: Mapping[str, Any], inputs: Mapping[str, Any], only_inputs: bool) -> Image:
    url = arguments.get("url")
    if not isinstance(url, str):
        raise InputError(f"a source has url {quoted(url)}; give a path or URL")
    if url.startswith("input:"):
        name = url.removeprefix("input:")
        if name not in inputs:
            raise InputError(
                f"the graph reads input {quoted(name)}, which was not given; inputs are {quoted(sorted(inputs))}"
            )
        return open(inputs[name])
    if only_inputs:
        raise InputError(f"the graph reads {quoted(url)}, and here it may read its inputs only: {_known(inputs)}")
    return open(url)


def _known(inputs: Mapping[str, Any]) -> str:
    return ", ".join(f"input:{name}" for name in inputs) or "there are none"
