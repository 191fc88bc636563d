"""Squares of images as they are shown: the right pixels of each level, few bytes read for them, the right colours."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow

from lepton_celery import stores
from lepton_celery.errors import InputError, StoreError
from lepton_celery.grid import Region
from lepton_celery.jobs.rendering import DisplayRange, are_labels, display_range, eight_bits, png
from lepton_celery.stores.axes import axis
from lepton_celery.stores.base import ArrayReader
from lepton_celery.views import deep_zoom
from lepton_celery.views.deep_zoom import MOST_SQUARE_BYTES, DeepZoom
from lepton_celery.views.image_axes import axes_of
from lepton_celery.views.image_sample import MOST_SAMPLE_BYTES
from lepton_celery.views.kept import Kept
from lepton_celery.views.sampling import sample, sample_bytes, spread
from tests.oracle import picture

DTYPES = "uint8 int16 uint16 int32 uint64 float16 float32 float64".split()


class Counted(ArrayReader):
    """An array in chunks that counts what is read of it, as whole chunks."""

    def __init__(self, array: NDArray[Any], chunks: tuple[int, ...]) -> None:
        self.url, self.shape, self.dtype, self.chunks = "counted", array.shape, array.dtype, chunks
        self._array = array
        self.decoded_bytes = 0
        self.largest_bytes = 0

    def read(self, region: Region) -> NDArray[Any]:
        box = [(b - 1) // c - a // c + 1 for a, b, c in zip(region.start, region.stop, self.chunks, strict=True)]
        chunk = int(np.prod(self.chunks)) * self.dtype.itemsize
        self.decoded_bytes += int(np.prod(box)) * chunk
        self.largest_bytes = max(self.largest_bytes, int(np.prod(box)) * chunk)
        return self._array[region.slices].copy()


def whole_level(image: DeepZoom, level: int, **chosen: Any) -> NDArray[Any]:
    """All squares of a level, put together."""
    shown, side = image.shown(**chosen), image.square_px
    height, width = image.level_size(level)
    return np.concatenate(
        [
            np.concatenate([image.square(shown, level, column, row) for column in range(-(-width // side))], axis=1)
            for row in range(-(-height // side))
        ]
    )


def every(array: NDArray[Any], level: int) -> NDArray[Any]:
    """Every 2**level-th pixel along both sides, from the middles."""
    step = 1 << level
    rows, columns = (np.minimum(np.arange(-(-n // step)) * step + step // 2, n - 1) for n in array.shape[:2])
    return array[np.ix_(rows, columns)]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_squares_have_the_pixels_of_the_image(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 1500)), data.draw(st.integers(1, 1500))
    dtype = data.draw(st.sampled_from(["bool", *DTYPES]))
    array = picture((height, width), dtype)
    chunks = (data.draw(st.integers(1, height)), data.draw(st.integers(1, width)))
    readers = [stores.MemoryReader(array), stores.MemoryReader(np.asfortranarray(array))]
    if (height // chunks[0] + 1) * (width // chunks[1] + 1) < 2000:
        readers.append(Counted(array, chunks))  # type: ignore[arg-type]
    for reader in readers:
        image = DeepZoom([reader])
        assert image.level_size(image.levels - 1) <= (512, 512)
        for level in range(image.levels):
            found = whole_level(image, level, look="grey")
            np.testing.assert_array_equal(found, every(array, level))
            assert found.dtype == array.dtype


@pytest.mark.parametrize(
    ("shape", "names", "planes", "channel", "expected"),
    [
        ((5, 60, 70), "", (3,), None, lambda a: a[3]),
        ((5, 60, 70), "", (), None, lambda a: a[2]),
        ((2, 5, 60, 70), "", (1, 4), None, lambda a: a[1, 4]),
        ((60, 70, 5), "yxz", (4,), None, lambda a: a[:, :, 4]),
        ((70, 60), "xy", (), None, lambda a: a.T),
        ((3, 60, 70), "cyx", (), 2, lambda a: a[2]),
        ((4, 6, 60, 70), "tcyx", (3,), 5, lambda a: a[3, 5]),
        ((60, 70, 3), "", (), None, lambda a: a),
        ((60, 70, 4), "", (), None, lambda a: a),
        ((60, 70, 3), "", (), 1, lambda a: a[..., 1]),
        ((60, 70, 2), "", (), None, lambda a: a[..., 0]),
        ((5, 60, 70, 3), "", (1,), None, lambda a: a[1]),
        ((1234,), "", (), None, lambda a: a[None, :512]),
        ((1, 1), "", (), None, lambda a: a),
    ],
)
def test_planes_and_channels_are_chosen(
    shape: tuple[int, ...], names: str, planes: tuple[int, ...], channel: int | None, expected: Any
) -> None:
    array = picture(shape, "uint16")
    reader = stores.MemoryReader(array)
    reader.axes = tuple(axis(name) for name in names)
    image = DeepZoom([reader])
    np.testing.assert_array_equal(image.square(image.shown(planes, channel), 0, 0, 0), expected(array))


def test_a_pyramid_is_read_where_a_file_has_one(tmp_path: Path) -> None:
    levels = [picture(shape, "uint16") + number for number, shape in enumerate([(1501, 1200), (751, 600), (375, 300)])]
    group = zarr.open_group(tmp_path / "scan.zarr", mode="w", zarr_format=2)
    for number, level in enumerate(levels):
        group.create_array(str(number), data=level, chunks=(256, 256))
    axes = [{"name": name, "type": "space"} for name in "yx"]
    datasets = [{"path": str(number)} for number in range(len(levels))]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    with tifffile.TiffWriter(tmp_path / "scan.tif") as tif:
        tif.write(levels[0], subifds=2, tile=(128, 128), compression="zlib")
        for level in levels[1:]:
            tif.write(level, subfiletype=1, tile=(128, 128), compression="zlib")
    for name in ("scan.zarr", "scan.zarr/0", "scan.tif"):
        image = DeepZoom(stores.open_levels(tmp_path / name))
        assert (image.stored_levels, image.levels) == (3, 3), name
        np.testing.assert_array_equal(whole_level(image, 0), levels[0])
        np.testing.assert_array_equal(whole_level(image, 1), levels[1])
        np.testing.assert_array_equal(whole_level(image, 2), levels[2][np.minimum(np.arange(376), 374)])
    assert len(stores.open_levels(tmp_path / "scan.zarr/2")) == 1


def test_a_copy_that_is_no_smaller_copy_is_not_used(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "odd.zarr", mode="w", zarr_format=2)
    for name, shape in (("0", (600, 700)), ("1", (600, 700)), ("2", (30, 35, 3)), ("3", (300, 350))):
        group.create_array(name, data=picture(shape, "uint8"))
    paths = ["0", "1", "2", "../elsewhere", "3"]
    group.attrs["multiscales"] = [{"version": "0.4", "datasets": [{"path": path} for path in paths]}]
    assert [reader.shape for reader in stores.open_levels(tmp_path / "odd.zarr")] == [(600, 700)]


@pytest.mark.parametrize("chunks", [(512, 512), (1000, 1000), (64, 3000), (3000, 64), (100, 100)])
def test_a_square_reads_no_more_than_allowed(monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, int]) -> None:
    limit = 12 << 20
    monkeypatch.setattr(deep_zoom, "MOST_SQUARE_BYTES", limit)
    array = np.zeros((6000, 6000), np.uint16)
    reader = Counted(array, chunks)
    image = DeepZoom([reader])
    assert 1 <= image.levels <= 5
    shown = image.shown()
    for level in range(image.levels):
        rows, columns = (-(-n // image.square_px) for n in image.level_size(level))
        for row, column in {(0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1)}:
            reader.decoded_bytes = 0
            image.square(shown, level, column, row)
            assert reader.decoded_bytes <= limit
    reader.decoded_bytes = reader.largest_bytes = 0
    image.range_of(shown)
    assert reader.decoded_bytes <= MOST_SAMPLE_BYTES
    assert reader.largest_bytes == np.prod(chunks) * 2, "memory holds one chunk"


def test_an_image_of_huge_chunks_is_refused() -> None:
    array = np.broadcast_to(np.zeros((), np.uint8), (40_000, 40_000))
    with pytest.raises(StoreError, match=r"pieces of 40000 × 40000 pixels \(1.6 GB\).*write .zarr"):
        DeepZoom([Counted(array, array.shape)])
    with pytest.raises(StoreError, match="no pixels"):
        DeepZoom([Counted(np.zeros((0, 5)), (1, 5))])


def test_memory_maps_are_read_by_rows(tmp_path: Path) -> None:
    array = np.lib.format.open_memmap(tmp_path / "wide.npy", "w+", np.uint16, (3000, 200_000))
    array[::7, ::11] = 7
    del array
    [reader] = stores.open_levels(tmp_path / "wide.npy")
    assert not reader.reads_whole_chunks
    image = DeepZoom([reader])
    rows, columns = spread(3000, 8), spread(200_000, 512)
    assert sample_bytes(reader, [rows, columns]) < 8 * 400_000
    np.testing.assert_array_equal(
        sample(reader, [rows, columns]), np.load(tmp_path / "wide.npy")[np.ix_(rows, columns)]
    )
    assert image.levels == 10 and sample_bytes(reader, [rows, columns]) < MOST_SQUARE_BYTES


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"level": 2}, "levels 0 to 1"),
        ({"level": -1}, "levels 0 to 1"),
        ({"column": 2}, "columns 0 to 1"),
        ({"row": 1, "level": 1}, "rows 0 to 0"),
    ],
)
def test_squares_that_are_not_there_are_refused(asked: dict[str, int], says: str) -> None:
    image = DeepZoom([stores.MemoryReader(picture((700, 900), "uint8"))])
    with pytest.raises(InputError, match=says):
        image.square(image.shown(), **{"level": 0, "column": 0, "row": 0} | asked)


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"planes": (5,)}, "planes 0 to 4"),
        ({"planes": (1, 1)}, "given 2 times"),
        ({"channel": 0}, "0 channels"),
        ({"look": "colours"}, "3 or 4 channels"),
        ({"look": "labels"}, "float32"),
    ],
)
def test_what_cannot_be_shown_is_refused(chosen: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        DeepZoom([stores.MemoryReader(picture((5, 40, 50), "float32"))]).shown(**chosen)


def decoded(array: NDArray[Any], look: Any, within: DisplayRange) -> NDArray[Any]:
    return np.asarray(Pillow.open(io.BytesIO(png(eight_bits(array, look, within), quick=True))))


@pytest.mark.parametrize("dtype", [*DTYPES, "complex64"])
def test_values_are_mapped_to_their_range(dtype: str) -> None:
    array = (picture((40, 50), "float64") * 100).astype(dtype)
    real = np.abs(array).astype(np.float64) if dtype == "complex64" else array.astype(np.float64)
    within = DisplayRange(20, 70)
    expected = np.clip((real - 20) * 255 / 50, 0, 255)
    assert np.abs(decoded(array, "grey", within) - expected).max() <= 0.51


def test_what_is_no_number_is_transparent_and_infinity_is_white() -> None:
    array = np.array([[np.nan, np.inf], [-np.inf, 0.5]], np.float32)
    found = decoded(array, "grey", DisplayRange(0, 1))
    np.testing.assert_array_equal(found, [[[0, 0], [255, 255]], [[0, 255], [128, 255]]])
    assert display_range(array) == DisplayRange(0.5, 1.5)
    assert display_range(np.full((3, 3), np.nan)) == DisplayRange(0, 1)
    colours = np.dstack([array, array, np.ones_like(array)])
    np.testing.assert_array_equal(decoded(colours, "colours", DisplayRange(0, 1))[0, 0], [0, 0, 255, 0])


def test_booleans_are_black_and_white() -> None:
    mask = np.array([[True, False]])
    assert display_range(mask[:, :1]) == DisplayRange(0, 1)
    np.testing.assert_array_equal(decoded(mask, "grey", display_range(mask)), [[255, 0]])


def test_colours_of_8_bits_stay_as_they_are() -> None:
    for channels in (3, 4):
        array = picture((30, 40, channels), "uint8")
        image = DeepZoom([stores.MemoryReader(array)])
        shown = image.shown()
        np.testing.assert_array_equal(decoded(image.square(shown, 0, 0, 0), shown.look, image.range_of(shown)), array)


def test_few_bright_pixels_do_not_make_the_rest_dark() -> None:
    array = np.random.default_rng(0).integers(100, 200, (400, 500)).astype(np.uint16)
    array[7, 9] = 65535
    image = DeepZoom([stores.MemoryReader(array)])
    within = image.range_of(image.shown())
    assert (within.black, within.white) == (100, 199)


def test_labels_have_colours_of_their_own() -> None:
    labels = np.arange(1, 200, dtype=np.int32).repeat(5).reshape(1, -1).repeat(7, axis=0)
    found = decoded(labels, "labels", DisplayRange(0, 1))
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 199
    np.testing.assert_array_equal(found, decoded(labels.astype(np.uint8), "labels", DisplayRange(5, 6)))
    assert not decoded(np.zeros((2, 2), np.int64), "labels", DisplayRange(0, 1)).any()
    assert decoded(np.array([[-3, 4093, 2**62]]), "labels", DisplayRange(0, 1)).any(axis=-1).all()
    assert decoded(np.array([[2**64 - 1]], np.uint64), "labels", DisplayRange(0, 1)).any()


def test_labels_are_told_from_brightness() -> None:
    from skimage import data, filters, measure, segmentation

    coins = data.coins()
    labels = measure.label(coins > filters.threshold_otsu(coins))
    flooded = segmentation.watershed(filters.sobel(coins), markers=measure.label((coins < 30) | (coins > 150)))

    def look(array: NDArray[Any]) -> str:
        return DeepZoom([stores.MemoryReader(array)]).look

    assert [look(array) for array in (labels, labels.astype(np.uint16), flooded)] == ["labels"] * 3
    smooth = filters.gaussian(coins, 8, preserve_range=True)
    assert [
        look(array) for array in (coins, coins.astype(np.int64), smooth.astype(np.uint8), smooth.astype(np.int32))
    ] == ["grey"] * 4
    assert look(labels > 0) == look((255 * (labels > 0)).astype(np.uint8)) == "grey"
    assert not are_labels(np.zeros((0, 2), np.int32))


def test_axes_have_their_roles() -> None:
    assert axes_of((4, 5)).planes == ()
    assert (axes_of(()).rows, axes_of(()).columns) == (None, None)
    assert axes_of((7,)).size((7,)) == (1, 7)
    assert axes_of((3, 2, 2)).channels == 2
    named = axes_of((2, 3, 4, 5), tuple(axis(name) for name in "xyct"))
    assert (named.columns, named.rows, named.channels, named.planes) == (0, 1, 2, (3,))


def test_what_was_not_used_for_longest_is_dropped() -> None:
    kept: Kept[str, int] = Kept(10)
    kept.put("a", 1, 4)
    kept.put("b", 2, 4)
    assert kept.get("a") == 1
    kept.put("c", 3, 4)
    assert [kept.get(name) for name in "abc"] == [1, None, 3]
    kept.put("c", 4, 6)
    assert [kept.get(name) for name in "abc"] == [1, None, 4]
    kept.put("d", 5, 100)
    assert [kept.get(name) for name in "abcd"] == [None, None, None, 5]
