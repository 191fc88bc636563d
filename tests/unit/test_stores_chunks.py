"""Zarr chunks read as files: partly read, cached, replaced or damaged chunks, and shards after a fork."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs import blosc
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from lepton_celery import errors
from lepton_celery.grid import BlockGrid, Region
from lepton_celery.stores.base import AnyArray
from lepton_celery.stores.blosc_rows import check_complete, decode_piece
from lepton_celery.stores.chunk_cache import CACHE_BYTES, ChunkCache, identity, room_for
from lepton_celery.stores.chunk_files import ChunkFiles
from lepton_celery.stores.zarr3 import ZarrReader
from tests.unit.test_stores import pixels

CODECS: dict[str, Any] = {
    "raw": None,
    "lz4": BloscCodec(cname="lz4", clevel=5),
    "zstd": ZstdCodec(),
    "gzip": GzipCodec(level=1),
}


def saved(path: Path, image: AnyArray, chunks: tuple[int, ...], codec: str, **options: Any) -> ZarrReader:
    """Save `image` as a Zarr array, with chunks that are old enough to be cached."""
    array = zarr.create_array(
        str(path),
        shape=image.shape,
        chunks=chunks,
        dtype=image.dtype,
        **{"compressors": CODECS.get(codec, "auto"), **options},
    )
    array[...] = image
    age(path)
    return ZarrReader(path)


def age(path: Path, seconds: float = 60.0) -> None:
    then = time.time() - seconds
    for file in path.rglob("*"):
        os.utime(file, (then, then))


def files_of(reader: ZarrReader) -> ChunkFiles:
    assert reader.files is not None
    return reader.files


def read_in_blocks(reader: ZarrReader, image: AnyArray, block: tuple[int, ...], halo: int) -> int:
    """Read all blocks with a halo, in raster order; the peak bytes of the chunk cache."""
    most = 0
    for region in BlockGrid(image.shape, block):
        wide = region.expand((halo,) * image.ndim, image.shape)
        assert np.array_equal(reader.read(wide), image[wide.slices])
        most = max(most, files_of(reader).cache.nbytes)
    return most


class TestAnyLayout:
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_regions_in_any_order_are_those_of_the_image(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        shape = tuple(data.draw(st.lists(st.integers(1, 90), min_size=1, max_size=3)))
        shape = tuple(min(n, 12) if axis < len(shape) - 2 else n for axis, n in enumerate(shape))
        chunks = tuple(data.draw(st.integers(1 + n // 5, n + 3)) for n in shape)
        image = pixels(shape, data.draw(st.sampled_from(["uint8", "bool", ">u2", "int32", "float32", "complex64"])))
        codec = data.draw(st.sampled_from(sorted(CODECS)))
        version = data.draw(st.sampled_from([2, 3]))
        options = {"zarr_format": 2, "compressors": "auto"} if version == 2 else {}
        reader = saved(tmp_path_factory.mktemp("any") / "a.zarr", image, chunks, codec, **options)
        assert reader.files is not None
        for _ in range(12):
            ends = [sorted((data.draw(st.integers(0, n)), data.draw(st.integers(0, n)))) for n in shape]
            region = Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))
            found = reader.read(region)
            assert np.array_equal(found, image[region.slices])
            assert found.dtype.isnative and found.flags.c_contiguous and found.flags.owndata and found.flags.writeable

    @pytest.mark.parametrize("compressor", ["zlib", "bz2", "lzma", "lz4", "blosc", "zstd"])
    def test_the_codecs_of_version_2(self, tmp_path: Path, compressor: str) -> None:
        import numcodecs

        image = pixels((40, 50), "int16")
        codec = numcodecs.get_codec({"id": compressor})
        reader = saved(tmp_path / "a.zarr", image, (16, 16), "", zarr_format=2, compressors=codec)
        assert reader.files is not None
        assert np.array_equal(reader.read(Region((3, 4), (39, 50))), image[3:39, 4:])

    def test_fortran_order_and_filters_are_left_to_zarr(self, tmp_path: Path) -> None:
        import numcodecs

        image = pixels((40, 50), "int16")
        layouts: dict[str, Any] = {"f": {"order": "F"}, "delta": {"filters": [numcodecs.Delta("i2")]}}
        for name, options in layouts.items():
            reader = saved(tmp_path / f"{name}.zarr", image, (16, 16), "", zarr_format=2, **options)
            assert reader.files is None
            assert np.array_equal(reader.read(Region((3, 4), (39, 50))), image[3:39, 4:])

    @pytest.mark.parametrize("version", [2, 3])
    def test_one_pixel_without_axes_and_images_without_pixels(self, tmp_path: Path, version: Any) -> None:
        one = saved(tmp_path / "one.zarr", np.array(7, "int16"), (), "", zarr_format=version)
        assert one.read(Region((), ())) == 7
        none = saved(tmp_path / "none.zarr", np.zeros((3, 0), "int16"), (3, 1), "", zarr_format=version)
        assert none.read(Region((0, 0), (3, 0))).shape == (3, 0)

    def test_threads_that_read_together_see_the_same_pixels(self, tmp_path: Path) -> None:
        image = pixels((300, 300), "float32")
        reader = saved(tmp_path / "a.zarr", image, (64, 64), "lz4")
        regions = [block.expand((9, 9), image.shape) for block in BlockGrid(image.shape, (50, 50))] * 4
        with ThreadPoolExecutor(4) as pool:
            for region, found in zip(regions, pool.map(reader.read, regions), strict=True):
                assert np.array_equal(found, image[region.slices])


class TestHalos:
    def test_only_the_needed_rows_of_a_neighbour_are_decoded(self, tmp_path: Path) -> None:
        image = pixels((1024, 512), "float32")
        reader = saved(tmp_path / "a.zarr", image, (512, 512), "lz4")
        assert np.array_equal(reader.read(Region((0, 0), (8, 512))), image[:8])
        assert np.array_equal(reader.read(Region((508, 100), (520, 300))), image[508:520, 100:300])
        assert files_of(reader).decoded_bytes == 20 * 512 * 4

    @pytest.mark.parametrize("codec", ["lz4", "zstd"])
    def test_blocks_in_raster_order_decode_a_chunk_about_once_per_row_of_blocks(
        self, tmp_path: Path, codec: str
    ) -> None:
        image = pixels((512, 512), "float32")
        reader = saved(tmp_path / "a.zarr", image, (128, 128), codec)
        read_in_blocks(reader, image, (128, 128), 4)
        times = files_of(reader).decoded_bytes / image.nbytes
        # Blosc decodes only the rows above and below that are needed; without a cache, both would be 6.25
        assert times < (1.1 if codec == "lz4" else 2.6)

    def test_the_size_of_the_cache_depends_on_the_block_and_not_on_the_image(self, tmp_path: Path) -> None:
        image = pixels((600, 600), "float32")
        reader = saved(tmp_path / "a.zarr", image, (50, 50), "zstd")
        most = read_in_blocks(reader, image, (100, 100), 8)
        assert 0 < most <= room_for(116 * 116 * 4, 50 * 50 * 4) == 5 * 116 * 116 * 2
        assert room_for(1 << 40, 1) == CACHE_BYTES

    def test_blocks_smaller_than_chunks_decode_a_chunk_once_per_row_of_blocks(self, tmp_path: Path) -> None:
        image = pixels((256, 256), "float32")
        reader = saved(tmp_path / "a.zarr", image, (128, 128), "lz4")
        read_in_blocks(reader, image, (64, 64), 2)
        assert files_of(reader).decoded_bytes < 2.2 * image.nbytes

    def test_raw_chunks_are_not_cached(self, tmp_path: Path) -> None:
        image = pixels((64, 64), "float32")
        reader = saved(tmp_path / "a.zarr", image, (16, 16), "raw")
        assert read_in_blocks(reader, image, (16, 16), 3) == 0
        assert files_of(reader).decoded_bytes == 0


class TestChangedFiles:
    @pytest.mark.parametrize("codec", sorted(CODECS))
    def test_a_replaced_chunk_is_read_again(self, tmp_path: Path, codec: str) -> None:
        image = pixels((32, 32), "uint8")
        reader = saved(tmp_path / "a.zarr", image, (16, 16), codec)
        assert np.array_equal(reader.read(Region((0, 0), (32, 20))), image[:, :20])
        saved(tmp_path / "b.zarr", 249 - image, (16, 16), codec)
        age(tmp_path / "b.zarr", 30)
        for chunk in (tmp_path / "b.zarr").rglob("c/*/*"):
            chunk.replace(tmp_path / "a.zarr" / chunk.relative_to(tmp_path / "b.zarr"))
        assert np.array_equal(reader.read(Region((0, 0), (32, 20))), 249 - image[:, :20])

    def test_a_chunk_that_was_just_written_is_not_cached(self, tmp_path: Path) -> None:
        path = tmp_path / "chunk"
        path.write_bytes(b"x")
        assert identity(path.stat()) is None
        age(tmp_path)
        assert identity(path.stat()) is not None

    @pytest.mark.parametrize("codec", sorted(CODECS))
    @pytest.mark.parametrize("left", [0, 10, 200, -1])
    def test_a_truncated_chunk_is_refused_also_where_only_rows_of_it_are_read(
        self, tmp_path: Path, codec: str, left: int
    ) -> None:
        image = np.random.default_rng(0).integers(0, 255, (256, 64), np.uint8)
        reader = saved(tmp_path / "a.zarr", image, (256, 64), codec)
        reader.read(Region.whole(image.shape))
        chunk = tmp_path / "a.zarr/c/0/0"
        os.truncate(chunk, left if left >= 0 else chunk.stat().st_size + left)
        for region in (Region((3, 0), (9, 64)), Region.whole(image.shape)):
            with pytest.raises(errors.StoreError, match="damaged"):
                reader.read(region)

    def test_damage_inside_a_blosc_chunk_never_ends_the_process(self) -> None:
        image = np.random.default_rng(0).integers(0, 40, (64, 64)).astype("float32")
        chunk = blosc.compress(image.reshape(-1).view(np.uint8), b"lz4", 5, typesize=4, blocksize=4096)
        chance = np.random.default_rng(1)
        refused = 0
        for _ in range(2000):
            damaged = bytearray(chunk)
            for at in chance.integers(0, 80 if chance.random() < 0.5 else len(chunk), 3):
                damaged[at] = chance.integers(0, 256)
            try:
                check_complete(damaged, image.nbytes)
                decode_piece(damaged, int(chance.integers(0, 60)) * 256, np.empty((4, 64), "float32"))
            except (ValueError, struct.error):
                refused += 1
        assert refused > 500


class TestCache:
    def test_the_least_recently_used_chunk_is_evicted_first(self) -> None:
        cache, version = ChunkCache(), (1, 2, 3)
        for at in range(4):
            cache.put((at,), version, np.full(10, at, np.uint8), room=30)
            cache.get((1,), version)
        assert [at for at in range(4) if cache.get((at,), version) is not None] == [1, 2, 3]
        assert (cache.nbytes, len(cache._chunks)) == (30, 3)
        cache.put((1,), (1, 2, 4), np.zeros(10, np.uint8), room=20)
        assert cache.get((1,), version) is None
        assert (cache.nbytes, len(cache._chunks)) == (20, 2)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 50), st.integers(0, 100)), max_size=40))
    def test_the_cache_never_holds_more_than_its_room(self, puts: list[tuple[int, int, int]]) -> None:
        cache, kept = ChunkCache(), dict[int, AnyArray]()
        for at, size, room in puts:
            kept[at] = np.zeros(size, np.uint8)
            cache.put((at,), (1, 2, 3), kept[at], room=room)
            found = {at: cache.get((at,), (1, 2, 3)) for at in kept}
            assert all(chunk is None or chunk is kept[at] for at, chunk in found.items())
            assert cache.nbytes == sum(chunk.nbytes for chunk in found.values() if chunk is not None) <= room

    def test_a_locked_cache_does_not_block_its_users(self) -> None:
        cache = ChunkCache()
        cache.put((0,), (1, 1, 1), np.zeros(4, np.uint8), room=100)
        found: list[object] = []
        cache._lock.acquire()  # as in a child that was forked while a thread held the lock
        other = Thread(target=lambda: found.append(cache.get((0,), (1, 1, 1))))
        other.start()
        other.join(10)
        assert found == [None]


AFTER_A_FORK = """
import os, signal, sys
import numpy as np
from lepton_celery.grid import Region
from lepton_celery.stores.zarr3 import ZarrReader

path, image = sys.argv[1], np.load(sys.argv[2])
reader = ZarrReader(__import__("pathlib").Path(path))
region = Region((5, 7), (60, 90))


def right():
    return np.array_equal(reader.read(region), image[region.slices])


def pipeline():
    return type(reader._opened._async_array.codec_pipeline).__name__


def child():
    found = os.fork()
    if not found:
        signal.alarm(20)  # what hangs is ended
        print(right(), pipeline(), flush=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(found, 0)[1]) == 0


child()
child()
print(right(), pipeline(), flush=True)
child()
"""


class TestShards:
    def test_zarrs_reads_shards_in_every_process_whose_parent_has_not_used_it(self, tmp_path: Path) -> None:
        image = pixels((100, 100), "float32")
        assert saved(tmp_path / "a.zarr", image, (16, 16), "zstd", shards=(32, 32)).files is None
        np.save(tmp_path / "a.npy", image)
        command = [sys.executable, "-c", AFTER_A_FORK, str(tmp_path / "a.zarr"), str(tmp_path / "a.npy")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        quick, own = "True ZarrsCodecPipeline", "True BatchedCodecPipeline"
        assert done.stdout.splitlines() == [quick, quick, quick, own], done.stderr

    @pytest.mark.parametrize("dtype", ["uint8", "bool", "int32", "float64", "complex64"])
    def test_regions_of_shards_are_those_of_the_image(self, tmp_path: Path, dtype: str) -> None:
        image = pixels((5, 70, 50), dtype)
        reader = saved(tmp_path / "a.zarr", image, (1, 16, 16), "lz4", shards=(2, 32, 32))
        for region in (Region.whole(image.shape), Region((1, 9, 30), (4, 41, 47)), Region((2, 2, 2), (2, 5, 5))):
            found = reader.read(region)
            assert np.array_equal(found, image[region.slices])
            assert found.flags.c_contiguous and found.flags.owndata and found.flags.writeable

    def test_a_damaged_shard_is_refused(self, tmp_path: Path) -> None:
        image = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
        reader = saved(tmp_path / "a.zarr", image, (16, 16), "zstd", shards=(64, 64))
        shard = tmp_path / "a.zarr/c/0/0"
        os.truncate(shard, shard.stat().st_size // 2)
        with pytest.raises(errors.StoreError, match="damaged"):
            reader.read(Region.whole(image.shape))
