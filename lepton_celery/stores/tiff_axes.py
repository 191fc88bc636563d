"""The axes and pixel sizes of TIFF files: in OME-XML, in the descriptions of ImageJ and tifffile, in the resolution tags."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import tifffile

from lepton_celery.stores.axes import CENTIMETERS, SYMBOLS, Axes, Axis, axis, worth_keeping
from lepton_celery.stores.base import Target
from lepton_celery.stores.formats import is_ome_tiff

_RESOLUTION_UNITS = {2: "inch", 3: "centimeter"}


def read_axes(tif: tifffile.TiffFile, series: Any) -> Axes:
    """The axes of the first series of a file; empty if they are described in a way that nobody can read."""
    try:
        return _described_axes(tif, series)
    except (ValueError, TypeError, LookupError, AttributeError, ElementTree.ParseError):
        return ()  # the pixels are there nevertheless


def _described_axes(tif: tifffile.TiffFile, series: Any) -> Axes:
    page = series.keyframe
    if tif.series[0].kind == "ome":
        sizes = _of_ome(tif.ome_metadata or "")
    elif tif.is_imagej:
        described: dict[str, Any] = tif.imagej_metadata or {}
        unit = described.get("unit", "")
        sizes = {"z": axis("z", described.get("spacing"), unit), **_of_tags(page, str(unit))}
    else:
        sizes = _of_description((tif.shaped_metadata or ({},))[0]) or _of_tags(page)
    named = [axis(letter) for letter in series.axes]
    return worth_keeping((sizes.get(item.name, item) for item in named), len(series.shape))


def _of_ome(xml: str) -> dict[str, Axis]:
    for element in ElementTree.fromstring(xml).iter():
        if element.tag.endswith("}Pixels"):
            return _of_description(element.attrib)
    return {}


def _of_description(described: Any) -> dict[str, Axis]:
    """The axes by name, from the keys of OME-XML, which this package also writes into plain files."""
    found = {
        name: axis(
            name,
            described.get(f"PhysicalSize{name.upper()}"),
            described.get(f"PhysicalSize{name.upper()}Unit", SYMBOLS["micrometer"]),
        )
        for name in "zyx"
    }
    return {name: item for name, item in found.items() if item.size}


def _of_tags(page: Any, unit: str = "") -> dict[str, Axis]:
    """The axes `y` and `x` from the resolution tags; `unit` is ImageJ's, in place of the tag's."""
    unit = unit or _RESOLUTION_UNITS.get(int(page.tags.valueof("ResolutionUnit", default=2)), "")
    found = {}
    for name, tag in (("y", "YResolution"), ("x", "XResolution")):
        pixels, length = page.tags.valueof(tag, default=(0, 0))
        found[name] = axis(name, length / pixels if pixels else 0.0, unit)
    return found


def described(target: Target, *, colours: bool) -> dict[str, Any]:
    """The arguments of `tifffile.imwrite` for the axes of an output."""
    ome = is_ome_tiff(target.final)
    axes = target.axes or (Axis(),) * len(target.shape)
    letters = "".join(item.name.upper() or "Q" for item in axes)
    letters = letters[:-1] + "S" if colours else letters
    plain = "YXS" if colours else "ZYX"[-len(axes) :]
    if ome and not (letters.removesuffix("S").endswith("YX") and "Q" not in letters):
        axes, letters = (Axis(),) * len(axes), plain  # OME has no other order of axes
    metadata: dict[str, Any] = {"axes": letters} if target.axes or ome else {}
    sized = {item.name: item for item in axes if item.size and item.name in "zyx"}
    for name, item in sized.items():
        metadata |= {f"PhysicalSize{name.upper()}": item.size, f"PhysicalSize{name.upper()}Unit": SYMBOLS[item.unit]}
    options: dict[str, Any] = {"metadata": metadata, "ome": ome}
    if {"y", "x"} <= sized.keys():
        lengths = [sized[name].size * CENTIMETERS[sized[name].unit] for name in "xy"]
        options |= {"resolution": [1 / length for length in lengths], "resolutionunit": "CENTIMETER"}
    return options
