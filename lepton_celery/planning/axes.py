"""The axes of the images of a plan, from those of its inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lepton_celery.planning.plan import PlanNode
from lepton_celery.stores.axes import Axes, Axis


def axes_of(nodes: tuple[PlanNode, ...], inputs: Mapping[int, Axes]) -> dict[int, Axes]:
    """The axes of each image of which something is known, by node.

    An image has the axes of the images that it is computed from, if it is on their grid and they agree. Steps of a slice
    scale the pixel size, and axes that a function drops, adds or moves are dropped, added or moved.
    """
    known = {index: axes for index, axes in inputs.items() if axes}
    for index, node in enumerate(nodes):
        if node.gives != "image" or node.entry.is_source:
            continue
        parents = [image for image in node.images.values() if image in known]
        found = {kept for image in parents if (kept := _kept(node, nodes[image].shape, known[image]))}
        if len(found) == 1:
            known[index] = found.pop()
    return known


def _kept(node: PlanNode, shape: tuple[int, ...], axes: Axes) -> Axes:
    """The axes of a node that is computed from an image of this shape and these axes; empty if they are not known."""
    if node.operation == "lepton.select":
        picked = zip(axes, node.arguments["index"], strict=True)
        return tuple(axis.every(item[2]) for axis, item in picked if not isinstance(item, int))
    if node.operation == "lepton.turn":
        return tuple(Axis() if axis is None else axes[axis] for axis in node.arguments["axes"])
    is_padded = node.operation == "lepton.pick" and all(rule[:1] in ((), ("pad",)) for rule in node.arguments["rules"])
    if node.shape == shape or is_padded or node.operation == "lepton.wrap_pad":
        return axes
    if node.shape[:-1] == shape:
        return (*axes, Axis("c"))
    if node.shape == shape[:-1] and axes[-1].name == "c":
        return axes[:-1]
    return _reduced(node, shape, axes)


def _reduced(node: PlanNode, shape: tuple[int, ...], axes: Axes) -> Axes:
    """The axes that are left if an argument of the node names those that it drops, or shrinks to one pixel."""
    given = node.arguments.get("axes", node.arguments.get("axis"))
    if given is None:
        return ()
    dropped = {int(axis) % len(shape) for axis in np.atleast_1d(given)}
    left = [number for number in range(len(shape)) if number not in dropped]
    if node.shape == tuple(shape[number] for number in left):
        return tuple(axes[number] for number in left)
    if node.shape == tuple(1 if number in dropped else n for number, n in enumerate(shape)):
        return tuple(Axis(axis.name) if number in dropped else axis for number, axis in enumerate(axes))
    return ()
