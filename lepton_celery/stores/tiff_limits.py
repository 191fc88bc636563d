"""Limits of what a TIFF file may describe, checked before tifffile makes an object for each page of it."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

import tifffile

from lepton_celery.errors import StoreError

MAX_PAGES = 50_000
"""Largest number of pages of a file; tifffile takes some 50 µs and 2 kB for each."""

MAX_XML_CHARACTERS = 1 << 24
"""Longest description of an OME-TIFF: some 200 characters for each page."""

_LAYOUTS = {42: ("H", "I", 4, 12), 43: ("Q", "Q", 8, 20)}
"""By the version of a TIFF: the formats of a directory's number of entries and of an offset, the place of the first offset,
and the bytes of an entry."""


def check_directories(path: Path, file: BinaryIO) -> None:
    """Refuse a file with more than `MAX_PAGES` directories, or whose chain of directories never ends."""
    header = os.pread(file.fileno(), 16, 0)
    order = {b"II": "<", b"MM": ">"}.get(header[:2])
    if order is None or len(header) < 8 or (version := struct.unpack_from(f"{order}H", header, 2)[0]) not in _LAYOUTS:
        return  # tifffile says what it is
    count_format, offset_format, at, entry = _LAYOUTS[version]
    count_struct, offset_struct = struct.Struct(order + count_format), struct.Struct(order + offset_format)
    if version == 43:
        at = 8
    for _ in range(MAX_PAGES + 1):
        offset = _at(file, at, offset_struct)
        if not offset:
            return
        entries = _at(file, offset, count_struct)
        at = offset + count_struct.size + entry * entries
    raise StoreError(
        f"{path} has more than {MAX_PAGES:,} pages, or a chain of pages that never ends; save it as .zarr or .npy"
    )


def _at(file: BinaryIO, position: int, form: struct.Struct) -> int:
    """The number at a position in the file; 0 after the end of the file."""
    data = os.pread(file.fileno(), form.size, position) if position < 2**63 else b""
    return int(form.unpack(data)[0]) if len(data) == form.size else 0


def check_described(path: Path, tif: tifffile.TiffFile) -> None:
    """Refuse an OME-TIFF whose XML describes more planes than `MAX_PAGES`, whatever the file has."""
    if not tif.is_ome:
        return
    xml = tif.ome_metadata or ""
    if len(xml) > MAX_XML_CHARACTERS:
        raise StoreError(f"{path} has an OME description of {len(xml):,} characters, which is too long to be read")
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return  # tifffile reads the pages as those of any other TIFF
    claimed = 0
    for element in root.iter():
        tag, sizes = element.tag.rpartition("}")[2], element.attrib
        if tag == "Pixels":
            claimed = _number(sizes, "SizeC") * _number(sizes, "SizeZ") * _number(sizes, "SizeT")
        elif tag == "TiffData":
            claimed = max(_number(sizes, name, 0) for name in ("IFD", "NumPlanes", "PlaneCount"))
        if claimed > MAX_PAGES:
            raise StoreError(
                f"{path} has an OME description of {claimed:,} planes, over the limit of {MAX_PAGES:,}; it is damaged, or "
                "should be saved as .zarr"
            )


def _number(attributes: dict[str, str], name: str, default: int = 1) -> int:
    try:
        return int(attributes.get(name, default))
    except ValueError:
        return default
