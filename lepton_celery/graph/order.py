"""The order in which the nodes of a graph can be computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

N = TypeVar("N")


def topological(roots: Sequence[N], parents: Callable[[N], Iterable[N]]) -> list[N]:
    """`roots` and all nodes they are computed from, each after its parents; not recursive, because chains may be long."""
    nodes: list[N] = []
    seen: set[int] = set()
    stack = [(node, False) for node in reversed(roots)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            nodes.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in reversed(list(parents(node))))
    return nodes
