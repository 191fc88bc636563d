"""Files as an attacker would write them: they lie about their sizes, unpack to much, or name codecs that run code."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

_OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
    'DimensionOrder="XYZCT" Type="uint8" SizeX="2" SizeY="2" SizeZ="1" SizeC="1" SizeT="{frames}">'
    '<TiffData IFD="0" PlaneCount="{planes}"/></Pixels></Image></OME>'
)


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def ome(path: Path, frames: int, planes: int) -> Path:
    """An OME-TIFF of one page that claims more."""
    tifffile.imwrite(path, np.zeros((2, 2), "u1"), description=_OME.format(frames=frames, planes=planes), metadata=None)
    return path


def tiff_of_pages(path: Path, pages: int) -> Path:
    """A TIFF of pages of one pixel: the same directory again and again, each leading to the next."""
    entries = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, 1)]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    step = len(body) + 4
    chain = [body + struct.pack("<I", 12 + step * (n + 1) if n + 1 < pages else 0) for n in range(pages)]
    path.write_bytes(struct.pack("<2sHII", b"II", 42, 12, 0) + b"".join(chain))
    return path


def endless_tiff(path: Path) -> Path:
    """A TIFF whose first page is followed by itself."""
    data = bytearray(tiff_of_pages(path, 1).read_bytes())
    data[-4:] = struct.pack("<I", 12)
    path.write_bytes(data)
    return path


def strip_tiff(path: Path, side: int, data: bytes = b"") -> Path:
    """A TIFF whose only strip claims side × side pixels, whatever data it has."""
    data = data or zlib.compress(bytes(100))
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, len(data))]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + body + struct.pack("<I", 0))
    return path


def tile_tiff(path: Path, side: int) -> Path:
    """A TIFF of 16 × 16 pixels whose only tile claims side × side."""
    data = zlib.compress(bytes(100))
    entries = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries += [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, len(data))]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + body + struct.pack("<I", 0))
    return path


def png(path: Path, width: int, height: int, data: bytes = b"") -> Path:
    """A PNG that claims width × height pixels, whatever data it has."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = chunk(b"IDAT", zlib.compress(data or bytes(100), 9))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + packed + chunk(b"IEND", b""))
    return path


def jpeg(path: Path, width: int, height: int, *, progressive: bool) -> Path:
    """A JPEG of 16 × 16 pixels that claims more."""
    made = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(made, "JPEG", progressive=progressive)
    data = bytearray(made.getvalue())
    frame = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    path.write_bytes(data)
    return path


def chunk_png(path: Path) -> Path:
    """A PNG with a chunk that claims to have 2 GiB, after its pixels."""
    data = png(path, 10, 10, bytes(110)).read_bytes()
    path.write_bytes(data[:-12] + struct.pack(">I", 2**31 - 1) + b"tEXt")
    return path


def npy(path: Path, descr: str, shape: str, body: bytes = b"") -> Path:
    """A .npy file with any header."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body)
    return path


def long_npy(path: Path) -> Path:
    """A sparse .npy file with a header of 2 GiB."""
    with path.open("wb") as file:
        file.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{")
        file.truncate(2**31 + 100)
    return path


def pickled_npy(path: Path, trace: Path) -> Path:
    """A .npy file of an object that leaves a trace when it is unpickled."""
    return npy(path, "|O", "(1,)", pickle.dumps([Touch(trace)]))


def zarr_2(path: Path, chunk: bytes = b"", **changes: Any) -> Path:
    """A Zarr array of version 2."""
    described = {"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "|u1", "compressor": None}
    described |= {"fill_value": 0, "order": "C", "filters": None, **changes}
    path.mkdir()
    (path / ".zarray").write_text(json.dumps(described))
    if chunk:
        (path / "0").write_bytes(chunk)
    return path


def zarr_3(path: Path, **changes: Any) -> Path:
    """A Zarr array of version 3."""
    grid = {"name": "regular", "configuration": {"chunk_shape": changes.pop("chunks", [4])}}
    described = {"zarr_format": 3, "node_type": "array", "shape": [4], "data_type": "uint8", "chunk_grid": grid}
    described |= {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "fill_value": 0}
    described |= {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "attributes": {}, **changes}
    path.mkdir()
    (path / "zarr.json").write_text(json.dumps(described))
    return path


def pickled_zarr(path: Path, trace: Path) -> Path:
    """A Zarr array whose codec unpickles its chunks."""
    return zarr_2(path, pickle.dumps(Touch(trace)), filters=[{"id": "pickle"}])


def deep_json(depth: int) -> str:
    return "[" * depth + "]" * depth
