"""Files that lie are refused, in little time and memory, and run nothing."""

from __future__ import annotations

import gzip
import json
import os
import socket
import zlib
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import tifffile
import zarr

import lepton_celery as lepton
from lepton_celery.errors import InputError, LeptonError, StoreError
from lepton_celery.grid import Region
from lepton_celery.stores import open_array, read_table, read_value, zarr3
from lepton_celery.stores.bundle import read_bundle
from lepton_celery.stores.journal import Journal
from tests.hostile import files
from tests.hostile.bounded import bounded

WITHOUT_ZARRS = "from lepton_celery.stores import zarr3; zarr3._user_of_zarrs = lambda: 0\n"
"""zarr-python's own pipeline reads shards then, also where zarrs is installed."""

LIES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "frames.ome.tif": (lambda path: files.ome(path, 10**8, 10**8), "100,000,000 planes"),
    "planes.ome.tif": (lambda path: files.ome(path, 1, 10**8), "100,000,000 planes"),
    "pages.tif": (lambda path: files.tiff_of_pages(path, 300_000), "more than 50,000 pages"),
    "endless.tif": (files.endless_tiff, "never ends"),
    "strip.tif": (lambda path: files.strip_tiff(path, 65_000), "decoded whole"),
    "tile.tif": (lambda path: files.tile_tiff(path, 1 << 20), "decoded whole"),
    "lie.png": (lambda path: files.png(path, 30_000, 30_000), "cannot hold"),
    "bomb.png": (lambda path: files.png(path, 2**31 - 1, 2**31 - 1, bytes(10**7)), "cannot hold|decoded whole"),
    "lie.jpg": (lambda path: files.jpeg(path, 30_000, 30_000, progressive=False), "cannot hold"),
    "lie.jpeg": (lambda path: files.jpeg(path, 18_000, 18_000, progressive=True), "cannot hold"),
    "large.npy": (lambda path: files.npy(path, "<f8", f"({10**6}, {10**6})", bytes(100)), "middle of its pixels"),
    "wrapped.npy": (lambda path: files.npy(path, "<f8", f"({2**32}, {2**32})", bytes(100)), "middle of its pixels"),
    "void.npy": (lambda path: files.npy(path, "|V500000000", "(0,)"), "not a pixel type"),
    "text.npy": (lambda path: files.npy(path, "<U100000000", "(0,)"), "not a pixel type"),
    "long.npy": (files.long_npy, "more than 10,000 bytes"),
    "chunk.zarr": (lambda path: files.zarr_2(path, shape=[50_000] * 2, chunks=[50_000] * 2), "decoded whole"),
    "chunks.zarr": (lambda path: files.zarr_3(path, chunks=[10**30]), "whole numbers"),
    "none.zarr": (lambda path: files.zarr_3(path, chunks=[0]), "length from 1"),
    "axes.zarr": (lambda path: files.zarr_2(path, shape=[1] * 10**5, chunks=[1] * 10**5), "whole numbers"),
    "void.zarr": (lambda path: files.zarr_2(path, dtype="|V500000000"), "not a pixel type"),
    "text.zarr": (lambda path: files.zarr_2(path, dtype="<U125000000"), "not a pixel type"),
    "object.zarr": (lambda path: files.zarr_2(path, dtype="|O", filters=[{"id": "vlen-utf8"}]), "not a pixel type"),
    "raw.zarr": (lambda path: files.zarr_3(path, data_type="r4000000000"), "not a pixel type"),
    "codec.zarr": (lambda path: files.zarr_3(path, codecs=[{"name": "bytes"}, {"name": "pcodec"}]), "not called"),
    "depth.zarr": (lambda path: _with_text(files.zarr_3(path), files.deep_json(10**5)), "cannot be read"),
}
"""How each file is made, and what the refusal says."""


def _with_text(path: Path, text: str) -> Path:
    (path / "zarr.json").write_text(text)
    return path


@pytest.mark.parametrize("name", LIES)
def test_a_file_that_lies_is_refused_in_little_time_and_memory(name: str, tmp_path: Path) -> None:
    make, says = LIES[name]
    path = make(tmp_path / name)
    with pytest.raises((InputError, StoreError), match=says):
        open_array(path)
    outcome = bounded(f"lepton.open({str(path)!r})", megabytes=400)
    assert outcome.said.startswith(("InputError", "StoreError"))
    assert outcome.seconds < 2
    assert outcome.megabytes < 100


def test_a_true_bomb_takes_no_more_than_the_limit(tmp_path: Path) -> None:
    side = 12_000
    path = files.png(tmp_path / "a.png", side, side, bytes((side + 1) * side))
    code = f"stores.ingest(stores.open_array({str(path)!r}), {str(tmp_path / 'copy.npy')!r})"
    outcome = bounded(code, megabytes=1000)
    assert outcome.said == "done"
    assert outcome.megabytes < 2.2 * side * side / 2**20 + 100  # the picture, and the pages of the copy


def test_a_piece_of_a_picture_that_claims_to_be_large_takes_no_memory(tmp_path: Path) -> None:
    path = files.chunk_png(tmp_path / "a.png")
    outcome = bounded(f"stores.open_array({str(path)!r}).read(Region((0, 0), (10, 10)))", megabytes=300)
    assert outcome.said == "done" or outcome.said.startswith("StoreError")
    assert outcome.megabytes < 100


@pytest.mark.parametrize("make", [files.pickled_npy, files.pickled_zarr])
def test_nothing_is_unpickled(make: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / ("a.npy" if make is files.pickled_npy else "a.zarr"), tmp_path / "trace")
    with pytest.raises(StoreError):
        open_array(path).read(Region((0,), (1,)))
    with pytest.raises(LeptonError):
        read_value(tmp_path / "a.npy")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("codec", ["gzip", "zlib", "zstd", "bz2", "lzma", "lz4", "blosc"])
def test_a_chunk_that_decodes_to_more_is_refused_in_little_memory(codec: str, tmp_path: Path) -> None:
    huge, path = np.zeros(2**29, np.uint8), tmp_path / "a.zarr"
    codecs = {
        "gzip": "GZip",
        "zlib": "Zlib",
        "zstd": "Zstd",
        "bz2": "BZ2",
        "lzma": "LZMA",
        "lz4": "LZ4",
        "blosc": "Blosc",
    }
    packed = bytes(getattr(__import__("numcodecs"), codecs[codec])().encode(huge if codec != "lzma" else huge[: 2**27]))
    files.zarr_2(path, packed, compressor={"id": codec})
    outcome = bounded(f"stores.open_array({str(path)!r}).read(Region((0,), (4,)))", megabytes=300)
    assert outcome.said.startswith("StoreError")
    assert outcome.megabytes < 100


@pytest.mark.parametrize("without", ["", "sys.modules['imagecodecs'] = None"])
def test_a_strip_that_decodes_to_more_is_refused_in_little_memory(without: str, tmp_path: Path) -> None:
    path = files.strip_tiff(tmp_path / "a.tif", 16, zlib.compress(bytes(2**29), 9))
    outcome = bounded(f"{without}\nstores.open_array({str(path)!r}).read(Region((0, 0), (16, 16)))", megabytes=400)
    assert outcome.said.startswith("StoreError")
    assert outcome.megabytes < 100


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_tiffs_are_read_without_imagecodecs(
    compression: str, tile: tuple[int, int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (70, 50, 3), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression, tile=tile, predictor=True, photometric="rgb")
    monkeypatch.setattr("lepton_celery.stores.tiff_segments._has_imagecodecs", lambda: False)
    assert np.array_equal(open_array(tmp_path / "a.tif").read(Region.whole(pixels.shape)), pixels)


@pytest.mark.parametrize("members", [1, 3])
def test_chunks_of_several_gzip_members_are_still_read(members: int, tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8)
    packed = b"".join(gzip.compress(part.tobytes()) for part in np.split(pixels, members)) + b"\0\0"
    path = files.zarr_2(tmp_path / "a.zarr", packed, shape=[12], chunks=[12], compressor={"id": "gzip"})
    assert np.array_equal(open_array(path).read(Region((0,), (12,))), pixels)


def test_a_cut_off_chunk_is_an_error(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(1000) + os.urandom(1000))[:-400]
    path = files.zarr_2(tmp_path / "a.zarr", packed, shape=[2000], chunks=[2000], compressor={"id": "zlib"})
    with pytest.raises(StoreError, match="middle of its compressed pixels"):
        open_array(path).read(Region((0,), (2000,)))


def test_a_chunk_that_is_a_link_shows_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"word")
    path = files.zarr_2(tmp_path / "a.zarr")
    (path / "0").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError, match="link"):
        open_array(path).read(Region((0,), (4,)))


@pytest.mark.parametrize("claim", [(2**62, 8), (0, 2**62), (2**63, 2**63), (8, 1 << 40), (2**64 - 2, 5)])
@pytest.mark.parametrize("stop", [2, 8])
@pytest.mark.parametrize("zarrs", [True, False])
def test_an_index_of_a_shard_that_lies_takes_no_memory(
    claim: tuple[int, int], stop: int, zarrs: bool, tmp_path: Path
) -> None:
    sharded = tmp_path / "s.zarr"
    zarr.create_array(str(sharded), shape=(8,), chunks=(2,), shards=(8,), dtype="u1")[:] = np.arange(8)
    shard = next(path for path in sharded.rglob("0") if path.is_file())
    content = bytearray(shard.read_bytes())
    index = np.frombuffer(content[-68:-4], np.uint64).copy()  # of four chunks, followed by its checksum
    index[:2] = claim
    content[-68:-4] = index.tobytes()
    content[-4:] = google_crc32c.value(index.tobytes()).to_bytes(4, "little")
    shard.write_bytes(content)
    code = f"stores.open_array({str(sharded)!r}).read(Region((0,), ({stop},)))"
    outcome = bounded(code if zarrs else WITHOUT_ZARRS + code, megabytes=512, timeout_s=120)
    assert outcome.said.startswith("StoreError"), outcome.said
    assert outcome.megabytes < 100


def test_a_sparse_shard_is_not_read_whole(tmp_path: Path) -> None:
    sharded = tmp_path / "s.zarr"
    zarr.create_array(str(sharded), shape=(8,), chunks=(2,), shards=(8,), dtype="u1")[:] = np.arange(8)
    shard = next(path for path in sharded.rglob("0") if path.is_file())
    os.truncate(shard, 1 << 40)
    code = f"stores.open_array({str(sharded)!r}).read(Region((0,), (8,)))"
    outcome = bounded(WITHOUT_ZARRS + code, megabytes=512, timeout_s=120)
    assert "1,099,511,627,776 bytes of a file would be read at once" in outcome.said
    assert outcome.megabytes < 100


def test_a_shard_of_countless_chunks_is_refused(tmp_path: Path) -> None:
    sharded = tmp_path / "s.zarr"
    zarr.create_array(str(sharded), shape=(8,), chunks=(2,), shards=(8,), dtype="u1")
    metadata = json.loads((sharded / "zarr.json").read_text())
    metadata["shape"] = metadata["chunk_grid"]["configuration"]["chunk_shape"] = [2**40]
    (sharded / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match="chunks in each shard"):
        open_array(sharded)


def test_a_shard_swapped_for_a_link_between_two_reads_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zarr3, "_user_of_zarrs", lambda: 0)  # zarrs opens files itself
    sharded = tmp_path / "s.zarr"
    zarr.create_array(str(sharded), shape=(4,), chunks=(2,), shards=(4,), dtype="u1")[:] = np.arange(4)
    reader = open_array(sharded)
    assert list(reader.read(Region((0,), (4,)))) == [0, 1, 2, 3]
    shard = next(path for path in sharded.rglob("0") if path.is_file())
    shard.rename(tmp_path / "shard")
    shard.symlink_to(tmp_path / "shard")
    monkeypatch.setattr(zarr3.ZarrReader, "_check_files", lambda *_: None)  # as if it were swapped after a check
    with pytest.raises(StoreError, match="is a link"):
        reader.read(Region((0,), (4,)))


def test_a_folder_of_chunks_or_a_shard_that_is_a_link_shows_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "0").write_bytes(b"word")
    path = files.zarr_3(tmp_path / "a.zarr")
    (path / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="link"):
        open_array(path).read(Region((0,), (4,)))
    sharded = tmp_path / "s.zarr"
    zarr.create_array(str(sharded), shape=(4,), chunks=(2,), shards=(4,), dtype="u1")[:] = np.arange(4)
    shard = next(path for path in sharded.rglob("0") if path.is_file())
    shard.rename(tmp_path / "shard")
    shard.symlink_to(tmp_path / "shard")
    with pytest.raises(StoreError, match="link"):
        open_array(sharded).read(Region((0,), (4,)))


@pytest.mark.parametrize("name", ["zarr.json", ".zarray", ".zgroup"])
def test_metadata_that_are_a_link_or_a_pipe_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('{"a": 1}')
    for path in (tmp_path / "link.zarr", tmp_path / "pipe.zarr"):
        path.mkdir()
    (tmp_path / "link.zarr" / name).symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe.zarr" / name)
    with pytest.raises(StoreError, match="link"):
        open_array(tmp_path / "link.zarr")
    with pytest.raises(InputError, match="pipe"):
        open_array(tmp_path / "pipe.zarr")


def test_a_pyramid_names_no_image_outside_itself(tmp_path: Path) -> None:
    files.zarr_3(tmp_path / "secret.zarr")
    for number, named in enumerate(("../secret.zarr", str(tmp_path / "secret.zarr"), "link")):
        path = files.zarr_3(
            tmp_path / f"{number}.zarr",
            node_type="group",
            attributes={"ome": {"multiscales": [{"datasets": [{"path": named}]}]}},
        )
        (path / "link").symlink_to(tmp_path / "secret.zarr")
        with pytest.raises(StoreError, match="outside itself"):
            open_array(path)


@pytest.mark.timeout(100)
def test_pipes_and_sockets_are_refused_wherever_files_are_read(tmp_path: Path) -> None:
    readers: dict[str, Callable[[Path], object]] = {
        "a.npy": open_array,
        "a.tif": open_array,
        "a.png": open_array,
        "a.jpg": open_array,
        "a.csv": read_table,
        "a.parquet": read_table,
        "b.npy": read_value,
        "a.json": read_value,
        "a.arrays": read_bundle,
    }
    for name, read in readers.items():
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match="a pipe, a socket or a device"):
            read(tmp_path / name)
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(InputError, match="a pipe"):
        Journal(tmp_path).read_manifest()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s.npy"))
        with pytest.raises(InputError, match="a socket"):
            open_array(tmp_path / "s.npy")
    with pytest.raises(InputError, match="a device"):
        read_bundle(Path("/dev/zero"))


@pytest.mark.timeout(100)
def test_a_chunk_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    path = files.zarr_2(tmp_path / "a.zarr")
    os.mkfifo(path / "0")
    with pytest.raises(InputError, match="a pipe"):
        open_array(path).read(Region((0,), (4,)))


def test_an_array_that_was_removed_is_not_read_as_empty(tmp_path: Path) -> None:
    path = files.zarr_2(tmp_path / "a.zarr", b"word")
    reader = open_array(path)
    assert reader.read(Region((0,), (4,))).tobytes() == b"word"
    for file in (*path.iterdir(),):
        file.unlink()
    with pytest.raises(StoreError):
        reader.read(Region((0,), (4,)))


def test_honest_files_are_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 4)))
    files.ome(tmp_path / "a.ome.tif", 1, 1)
    assert lepton.open(tmp_path / "a.npy").shape == (3, 4)
    assert lepton.open(tmp_path / "a.ome.tif").shape == (2, 2)
