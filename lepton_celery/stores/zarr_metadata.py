"""The metadata of a Zarr folder, read and checked before zarr-python makes anything of them.

zarr-python trusts metadata: it takes memory for the dtype that they name, calls the codecs that they name (numcodecs has one
that unpickles), and follows links. Only pixel dtypes, codecs of numbers and chunks of a bearable size pass here.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lepton_celery.errors import StoreError
from lepton_celery.stores.base import check_whole
from lepton_celery.stores.roots import Roots, open_beneath, open_folder

MAX_METADATA_BYTES = 16 << 20
"""Largest size of a file of metadata."""

MAX_SHARD_CHUNKS = 1 << 20
"""Largest number of chunks in a shard, whose index has 16 bytes for each."""

MAX_AXES = 32

_DTYPE_2 = re.compile(r"[<>|](b1|[iu][1248]|f[248]|c8|c16)")
_DTYPE_3 = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)")

_OF_BYTES = {
    "blosc",
    "zstd",
    "gzip",
    "zlib",
    "bz2",
    "lzma",
    "lz4",
    "crc32",
    "crc32c",
    "adler32",
    "fletcher32",
    "shuffle",
}
_OF_NUMBERS = {"delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype"}
_CODECS = _OF_BYTES | _OF_NUMBERS | {"bytes", "transpose", "sharding_indexed"}
"""The codecs that may be called. Others are of texts and objects, or run code."""


@dataclass(frozen=True)
class ZarrNode:
    """An array or a group, as its metadata describe it."""

    kind: Literal["array", "group"]
    version: Literal[2, 3]
    attributes: dict[str, Any]


def read_node(path: Path, roots: Roots = ()) -> ZarrNode | None:
    """The array or group in a folder; None if the folder has no metadata of Zarr.

    Raises:
        InputError: the folder is outside the roots, or chunks are too large to be decoded.
        StoreError: metadata are damaged or a link, or name a dtype or a codec that is not read.
        OSError: there is no such folder.
    """
    folder = open_folder(path, roots)
    try:
        if (document := _document(folder, path, "zarr.json")) is not None:
            attributes = document.get("attributes")
            if document.get("node_type") == "array":
                _check_array_3(path, document)
            return ZarrNode(
                "array" if document.get("node_type") == "array" else "group",
                3,
                attributes if isinstance(attributes, dict) else {},
            )
        array = _document(folder, path, ".zarray")
        if array is not None:
            _check_array_2(path, array)
        elif _document(folder, path, ".zgroup") is None:
            return None
        return ZarrNode("group" if array is None else "array", 2, _document(folder, path, ".zattrs") or {})
    finally:
        os.close(folder)


def is_array(path: Path) -> bool:
    """Whether there is an array that can be read in a folder."""
    try:
        node = read_node(path)
    except (OSError, ValueError):
        return False
    return node is not None and node.kind == "array"


def _document(folder: int, path: Path, name: str) -> dict[str, Any] | None:
    """The JSON object in a file of metadata; None if there is no such file."""
    try:
        descriptor = open_beneath(folder, name, path / name)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > MAX_METADATA_BYTES:
            raise StoreError(f"{path / name} has {size:,} bytes; at most {MAX_METADATA_BYTES:,} are read as metadata")
        document = json.loads(file.read(MAX_METADATA_BYTES))
    if not isinstance(document, dict):
        raise StoreError(f"{path / name} is not a JSON object, so {path} is not a Zarr array")
    return document


def _check_array_2(path: Path, document: dict[str, Any]) -> None:
    dtype = document.get("dtype")
    if not isinstance(dtype, str) or not _DTYPE_2.fullmatch(dtype):
        raise _no_pixels(path, dtype)
    compressor, filters = document.get("compressor"), document.get("filters")
    for codec in [compressor, *(filters if isinstance(filters, list) else ())]:
        if codec is not None:
            _check_codec(path, codec.get("id") if isinstance(codec, dict) else codec)
    _check_lengths(path, document.get("shape"), document.get("chunks"), np.dtype(dtype).itemsize)


def _check_array_3(path: Path, document: dict[str, Any]) -> None:
    dtype = document.get("data_type")
    if not isinstance(dtype, str) or not _DTYPE_3.fullmatch(dtype):
        raise _no_pixels(path, dtype)
    chunks: Any = _configured(document.get("chunk_grid")).get("chunk_shape")
    for codec in _codecs_3(document.get("codecs")):
        name = codec.get("name") if isinstance(codec, dict) else codec
        _check_codec(path, name.removeprefix("numcodecs.") if isinstance(name, str) else name)
        if name == "sharding_indexed":
            _check_shard(path, chunks, inner := _configured(codec).get("chunk_shape"))
            chunks = inner
    _check_lengths(path, document.get("shape"), chunks, np.dtype(dtype).itemsize)


def _check_shard(path: Path, shard: Any, inner: Any) -> None:
    """Refuse a shard with more chunks than `MAX_SHARD_CHUNKS`, whose index alone would take gigabytes.

    Lengths that are no positive integers are refused elsewhere.
    """
    if not (_is_lengths(shard) and _is_lengths(inner)) or 0 in inner:
        return
    if (count := math.prod(-(-outer // n) for outer, n in zip(shard, inner, strict=False))) > MAX_SHARD_CHUNKS:
        raise StoreError(
            f"{path} has {count:,} chunks in each shard, over the limit of {MAX_SHARD_CHUNKS:,}; save it with larger chunks"
        )


def _is_lengths(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_AXES and all(type(n) is int and 0 <= n < 2**62 for n in value)


def _codecs_3(listed: Any) -> Iterator[Any]:
    """Codecs, and those within shards."""
    for codec in listed if isinstance(listed, list) else ():
        yield codec
        configured = _configured(codec)
        yield from _codecs_3(configured.get("codecs"))
        yield from _codecs_3(configured.get("index_codecs"))


def _configured(named: Any) -> dict[str, Any]:
    """The configuration of a named object of the metadata; empty if it has none."""
    configuration = named.get("configuration") if isinstance(named, dict) else None
    return configuration if isinstance(configuration, dict) else {}


def _check_codec(path: Path, name: Any) -> None:
    if name not in _CODECS:
        raise StoreError(
            f"{path} is compressed with the codec {name!r:.60}, which is not called; save it with one of "
            f"{', '.join(sorted(_OF_BYTES))}"
        )


def _check_lengths(path: Path, shape: Any, chunks: Any, itemsize: int) -> None:
    for what, lengths in (("shape", shape), ("chunk shape", chunks)):
        if not _is_lengths(lengths):
            raise StoreError(f"{path} has the {what} {lengths!r:.60}; give at most {MAX_AXES} whole numbers")
    if len(chunks) != len(shape) or 0 in chunks:
        raise StoreError(f"{path} has chunks {chunks} in an array of shape {shape}; give a length from 1 for each axis")
    check_whole(path, f"chunk of {tuple(chunks)}", math.prod(chunks) * itemsize)


def _no_pixels(path: Path, dtype: Any) -> StoreError:
    return StoreError(f"{path} holds {dtype!r:.60}, which is not a pixel type; convert it to numbers or booleans")
