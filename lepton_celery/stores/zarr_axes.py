"""The axes and pixel sizes of Zarr arrays.

An array that this package writes has them in Zarr's `dimension_names`, and in the attributes `axes` and
`coordinateTransformations`, which OME-NGFF gives to a pyramid. Arrays of a pyramid of OME-NGFF have them from their group.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr

from lepton_celery.stores.axes import Axes, axis, worth_keeping
from lepton_celery.stores.roots import Roots
from lepton_celery.stores.zarr_metadata import ZarrNode, read_node

_TYPES = {"c": "channel", "t": "time"}


def attributes(axes: Axes) -> dict[str, Any]:
    """The attributes of an array with these axes."""
    if not axes:
        return {}
    named = [
        {"name": item.name or f"axis-{number}", "type": _TYPES.get(item.name, "space")}
        | ({"unit": item.unit} if item.unit else {})
        for number, item in enumerate(axes)
    ]
    scale = [item.size or 1.0 for item in axes]
    return {"axes": named, "coordinateTransformations": [{"type": "scale", "scale": scale}]}


def read_axes(path: Path, array: zarr.Array[Any], node: ZarrNode, roots: Roots = ()) -> Axes:
    """The axes of an array, which may belong to a pyramid of OME-NGFF; empty if its attributes are others of these names."""
    try:
        return _described_axes(path, array, node, roots)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return ()


def _described_axes(path: Path, array: zarr.Array[Any], node: ZarrNode, roots: Roots) -> Axes:
    described = node.attributes
    if "axes" not in described:
        group = group_around(path, roots)
        described = _in_pyramid(pyramid(group.attributes) if group is not None else {}, path.name)
    names: Any = getattr(array.metadata, "dimension_names", None) or node.attributes.get("_ARRAY_DIMENSIONS") or ()
    # OME-NGFF 0.3 has only names
    named = [item if isinstance(item, dict) else {"name": item} for item in described.get("axes") or names]
    scales = _scales(described, len(named))
    found = (axis(item.get("name"), size, item.get("unit", "")) for item, size in zip(named, scales, strict=True))
    return worth_keeping(found, len(array.shape))


def group_around(path: Path, roots: Roots) -> ZarrNode | None:
    """The group around an array; None if there is none that may be read."""
    try:
        group = read_node(path.parent, roots)
    except (OSError, ValueError):
        return None
    return group if group is not None and group.kind == "group" else None


def pyramid(described: dict[str, Any]) -> dict[str, Any]:
    """The first pyramid among the attributes of a group of OME-NGFF; empty if they describe none."""
    versioned = described.get("ome")
    pyramids = (versioned if isinstance(versioned, dict) else described).get("multiscales")
    first = pyramids[0] if isinstance(pyramids, list) and pyramids else {}
    return first if isinstance(first, dict) else {}


def _in_pyramid(described: dict[str, Any], name: str) -> dict[str, Any]:
    """The description of one array of a pyramid."""
    for dataset in described.get("datasets", []):
        if dataset.get("path") == name:
            both = [*dataset.get("coordinateTransformations", []), *described.get("coordinateTransformations", [])]
            return {"axes": described.get("axes", []), "coordinateTransformations": both}
    return {}


def _scales(described: dict[str, Any], ndim: int) -> list[float]:
    """The product of the scales of each axis; 1 without any."""
    scales = [1.0] * ndim
    for step in described.get("coordinateTransformations", []):
        if step.get("type") == "scale" and len(step.get("scale", ())) == ndim:
            scales = [a * float(b) for a, b in zip(scales, step["scale"], strict=True)]
    return scales
