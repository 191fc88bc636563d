"""Lowers the user's graph to the graph that is planned: expands composites and unites equal nodes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Array
from lepton_celery.errors import InputError, PlanTooLarge
from lepton_celery.graph.nodes import Image, Node
from lepton_celery.graph.order import topological
from lepton_celery.planning.bounds import remedy
from lepton_celery.planning.options import Limits
from lepton_celery.planning.plan import PlanNode, Ref, ref_to
from lepton_celery.stores.axes import Axes

ARRAY_URL = "memory:"
"""URL of an input that is an array of this process."""


@dataclass(frozen=True)
class Lowered:
    """The lowered graph: all that planning needs of the user's graph."""

    nodes: tuple[PlanNode, ...]
    """The nodes, each after those that it is computed from."""
    outputs: dict[str, int]
    """The node of each output, by name."""
    arrays: dict[int, Array]
    """The inputs that are arrays of this process, by node."""
    chunks: dict[int, tuple[int, ...]]
    """Chunk shape of each input that is stored in chunks, by node."""
    axes: dict[int, Axes] = field(default_factory=dict)
    """The axes of each input, by node."""


def lower(outputs: Mapping[str, Node], limits: Limits) -> Lowered:
    """The graph of named outputs, lowered.

    Raises:
        InputError: there are no outputs, or one is not a node.
        PlanTooLarge: an image has too many pixels, or the graph too many nodes.
    """
    if not outputs:
        raise InputError("no outputs were given; name at least one node to compute")
    for name, node in outputs.items():
        if not isinstance(node, Node):
            raise InputError(f"output {name!r} is {type(node).__name__}, not a lazy image, value or table")
    nodes: list[PlanNode] = []
    arrays: dict[int, Array] = {}
    chunks: dict[int, tuple[int, ...]] = {}
    axes: dict[int, Axes] = {}
    index_of: dict[int, int] = {}  # by id of the user's node
    known: dict[Any, int] = {}
    for node in topological(list(outputs.values()), expanded_parents):
        if node.inner is not None:
            index_of[id(node)] = index_of[id(node.inner)]
            continue
        arguments = {
            name: ref_to(index_of[id(value)], nodes[index_of[id(value)]]) if isinstance(value, Node) else value
            for name, value in node.arguments.items()
        }
        array = node.array if isinstance(node, Image) else None
        key = (node.operation, id(array), _hashable(arguments))
        index = index_of[id(node)] = known.setdefault(key, len(nodes))
        if index < len(nodes):
            continue
        if (pixels := math.prod(node.shape)) > limits.pixels:
            raise PlanTooLarge(
                f"an image of shape {node.shape} has {pixels:,} pixels, over the limit of {limits.pixels:,}; "
                f"{remedy('pixels')} to allow it"
            )
        if len(nodes) >= limits.nodes:
            raise PlanTooLarge(
                f"the graph has more than {limits.nodes:,} nodes, which is the limit; compute less at a time, or "
                f"{remedy('nodes')}"
            )
        nodes.append(PlanNode(node.operation, arguments, node.shape, str(node.dtype), node.gives))
        if array is not None:
            arrays[index] = np.asarray(array)
        if isinstance(node, Image) and node.chunks is not None:
            chunks[index] = node.chunks
            axes[index] = node.axes
    return Lowered(tuple(nodes), {name: index_of[id(node)] for name, node in outputs.items()}, arrays, chunks, axes)


def expanded_parents(node: Node) -> Iterable[Node]:
    """The nodes that a node is computed from; for a composite, the node that it expands to."""
    return [node.inner] if node.inner is not None else node.parents()


def _hashable(value: Any) -> Any:
    """A hashable stand-in for an argument; equal arguments have equal stand-ins."""
    if isinstance(value, Ref):
        return (Ref, value.node)
    if isinstance(value, dict):
        return tuple((key, _hashable(item)) for key, item in sorted(value.items()))
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, np.ndarray):
        return (value.shape, str(value.dtype), value.tobytes())
    return (type(value).__name__, str(value))  # as text, because 0.0 == -0.0 but their results may differ
