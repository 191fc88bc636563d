"""Features that only one format of arrays has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from lepton_celery import errors
from lepton_celery.grid import Region
from lepton_celery.stores import (
    Target,
    array_output,
    open_array,
)
from tests.unit.test_stores import pixels, write_all

GREY = pixels((70, 50), "uint8")
RGB = pixels((70, 50, 3), "uint8", seed=1)
VOLUME = pixels((5, 70, 50), "uint16", seed=2)


def same_everywhere(path: Path, image: np.ndarray[Any, Any]) -> bool:
    """Whether the whole image, a window across chunks and a single pixel read right, in native byte order."""
    reader = open_array(path)
    inner = Region(tuple(n // 3 for n in image.shape), tuple(n // 3 + max(1, n // 2) for n in image.shape))
    regions = [Region.whole(image.shape), inner, Region(inner.start, tuple(a + 1 for a in inner.start))]
    found = [reader.read(region) for region in regions]
    return reader.shape == image.shape and all(
        np.array_equal(pixels, image[region.slices]) and pixels.dtype == image.dtype.newbyteorder("=")
        for pixels, region in zip(found, regions, strict=True)
    )


def write_ome(path: Path, *, files: int, own: str, planes: int = 0) -> None:
    """One page of an OME-TIFF of so many files, `0.tif` and so on; `own` is the file's own UUID, if it has one."""
    planes = planes or files
    ids = "".join(
        f'<TiffData FirstT="{t}" IFD="{t if files == 1 else 0}" PlaneCount="1">'
        f'<UUID FileName="{t % files}.tif">urn:uuid:{t % files}</UUID></TiffData>'
        for t in range(planes)
    )
    own_id = f'UUID="{own}"' if own else ""
    xml = (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {own_id}>'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="50" SizeY="70" SizeZ="1" '
        f'SizeC="1" SizeT="{planes}"><Channel ID="Channel:0:0"/>{ids}</Pixels></Image></OME>'
    )
    tifffile.imwrite(path, GREY, description=xml, metadata=None)


class TestNpy:
    @pytest.mark.parametrize("dtype", [">u2", "<f8", ">c8", "?"])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_any_byte_order_and_axis_order_is_read(self, tmp_path: Path, dtype: str, order: Any) -> None:
        image = np.array(VOLUME.astype(dtype), order=order)
        np.save(tmp_path / "a.npy", image)
        assert same_everywhere(tmp_path / "a.npy", image)
        assert open_array(tmp_path / "a.npy").chunks == ((1, 1, 50) if order == "C" else (5, 1, 1))

    def test_long_rows_are_written_where_short_rows_are(self, tmp_path: Path) -> None:
        image = pixels((3, 5, 9000), "float64")
        target = Target(str(tmp_path / "a.npy"), image.shape, "float64", (2, 3, 4500), "j")
        array_output(target).create()
        write_all(target, np.asfortranarray(image))
        array_output(target).publish()
        assert np.array_equal(np.load(target.final), image)

    def test_long_rows_of_an_array_with_one_axis(self, tmp_path: Path) -> None:
        image = pixels((10_000,), "float64")
        target = Target(str(tmp_path / "a.npy"), image.shape, "float64", (4500,), "j")
        array_output(target).create()
        write_all(target, image)
        array_output(target).publish()
        assert np.array_equal(np.load(target.final), image)

    def test_pickled_objects_are_never_loaded(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
        with pytest.raises(errors.StoreError, match="Python objects"):
            open_array(tmp_path / "a.npy")

    def test_the_space_is_reserved_when_asked(self, tmp_path: Path) -> None:
        target = Target(str(tmp_path / "a.npy"), (1024, 1024), "float64", (64, 64), "j")
        output = array_output(target)
        output.create()
        output.reserve()
        assert target.part.stat().st_blocks * 512 >= 8 * 2**20
        output.publish()
        output.reserve()  # too late, but harmless
        assert np.load(target.final).sum() == 0


class TestZarr:
    @pytest.mark.parametrize("version", [2, 3])
    @pytest.mark.parametrize("dtype", [">u2", "<f4", "?"])
    def test_versions_2_and_3_are_read(self, tmp_path: Path, version: Any, dtype: str) -> None:
        image = VOLUME.astype(dtype)
        array = zarr.create_array(
            str(tmp_path / "a.zarr"), shape=image.shape, chunks=(2, 16, 16), dtype=dtype, zarr_format=version
        )
        array[:] = image
        assert same_everywhere(tmp_path / "a.zarr", image)

    def test_shards_and_raw_chunks_and_chunks_never_written_are_read(self, tmp_path: Path) -> None:
        shape = GREY.shape
        layouts: dict[str, dict[str, Any]] = {"shards": {"shards": (32, 32)}, "raw": {"compressors": None}, "zstd": {}}
        for name, layout in layouts.items():
            options: dict[str, Any] = {**layout, "chunks": (16, 16), "fill_value": 7}
            array = zarr.create_array(str(tmp_path / f"{name}.zarr"), shape=shape, dtype="uint8", **options)
            expected = np.full(shape, 7, "uint8")
            array[:40, :20] = expected[:40, :20] = GREY[:40, :20]
            assert same_everywhere(tmp_path / f"{name}.zarr", expected)

    def test_what_is_written_is_plain_zarr_v3_with_every_chunk_there(self, tmp_path: Path) -> None:
        target = Target(str(tmp_path / "a.zarr"), (70, 50), "uint8", (32, 16), "j")
        array_output(target).create()
        write_all(target, np.zeros((70, 50), "uint8"))
        array_output(target).publish()
        array = zarr.open_array(str(target.final), mode="r")
        assert (array.metadata.zarr_format, array.chunks, array.nchunks_initialized) == (3, (32, 16), 12)

    def test_a_large_block_is_cut_into_chunks_of_its_own(self, tmp_path: Path) -> None:
        target = Target(str(tmp_path / "a.zarr"), (9000, 9001), "float64", (4096, 9001), "j")
        array_output(target).create()
        array = zarr.open_array(str(target.part), mode="r")
        assert 4096 % array.chunks[0] == 0
        assert np.prod(array.chunks) * 8 <= 64 * 2**20

    def test_a_group_names_its_arrays_and_they_can_be_opened(self, tmp_path: Path) -> None:
        group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
        group.create_array("0", shape=(3,), dtype="uint8")
        group.create_array("1", shape=(2,), dtype="uint8")
        with pytest.raises(errors.StoreError, match=r"group.*\(0, 1\)"):
            open_array(tmp_path / "g.zarr")
        assert open_array(tmp_path / "g.zarr" / "1").shape == (2,)

    @pytest.mark.parametrize("version", [2, 3])
    def test_a_pyramid_is_read_at_full_resolution(self, tmp_path: Path, version: Any) -> None:
        group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w", zarr_format=version)
        for level in range(2):
            group.create_array(f"s{level}", data=GREY[:: 2**level, :: 2**level])
        pyramids = [{"axes": [], "datasets": [{"path": "s0"}, {"path": "s1"}]}]
        group.attrs.update({"multiscales": pyramids} if version == 2 else {"ome": {"multiscales": pyramids}})
        assert same_everywhere(tmp_path / "g.zarr", GREY)
        assert open_array(tmp_path / "g.zarr").url == str(tmp_path / "g.zarr" / "s0")

    def test_a_folder_of_another_name_is_known_by_its_metadata(self, tmp_path: Path) -> None:
        zarr.create_array(str(tmp_path / "scan"), data=GREY)
        assert same_everywhere(tmp_path / "scan", GREY)

    def test_a_damaged_chunk_is_a_store_error(self, tmp_path: Path) -> None:
        target = Target(str(tmp_path / "a.zarr"), (70, 50), "uint8", (70, 50), "j")
        array_output(target).create()
        write_all(target, GREY)
        array_output(target).publish()
        chunk = target.final / "c" / "0" / "0"
        for damage in (chunk.read_bytes()[:100], b"", b"rubbish" * 20):
            chunk.write_bytes(damage)
            with pytest.raises(errors.StoreError, match="damaged"):
                open_array(target.path).read(Region.whole((70, 50)))


class TestTiff:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"byteorder": ">"},
            {"compression": "zlib", "rowsperstrip": 7},
            {"compression": "zlib", "tile": (32, 16), "byteorder": ">", "predictor": True},
            {"compression": "lzw", "tile": (16, 16)},
            {"tile": (16, 32)},
            {"bigtiff": True, "compression": "zlib"},
            {"ome": True, "compression": "zlib", "tile": (16, 16)},
            {"imagej": True, "byteorder": ">"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("name", ["grey", "rgb", "volume", "planar"])
    def test_windows_of_every_layout(self, tmp_path: Path, options: dict[str, Any], name: str) -> None:
        images = {"grey": GREY, "rgb": RGB, "volume": VOLUME, "planar": np.ascontiguousarray(np.moveaxis(RGB, 2, 0))}
        more = dict(options, photometric="rgb" if name in ("rgb", "planar") else "minisblack")
        if name == "planar" and options.get("imagej"):
            more["photometric"] = "minisblack"
        elif name == "planar":
            more["planarconfig"] = "separate"
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, images[name], **more)
        stored = tifffile.imread(path)
        assert np.array_equal(stored.squeeze(), images[name])
        assert same_everywhere(path, np.moveaxis(stored, 0, 2) if more.get("planarconfig") else stored)

    def test_a_pyramid_is_read_at_full_resolution(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
            writer.write(RGB, subifds=1, tile=(16, 16), photometric="rgb", compression="zlib")
            writer.write(RGB[::2, ::2], tile=(16, 16), photometric="rgb", compression="zlib", subfiletype=1)
        assert same_everywhere(tmp_path / "a.ome.tif", RGB)
        assert open_array(tmp_path / "a.ome.tif").chunks == (16, 16, 3)

    def test_a_sparse_file_reads_as_zeros(self, tmp_path: Path) -> None:
        tiles = [b""] * 20
        tifffile.imwrite(
            tmp_path / "a.tif", iter(tiles), shape=(70, 50), dtype="uint8", tile=(16, 16), compression="zlib"
        )
        assert not open_array(tmp_path / "a.tif").read(Region.whole((70, 50))).any()

    @pytest.mark.parametrize("bits", [True, False])
    def test_black_and_white_and_axes_of_length_one(self, tmp_path: Path, bits: bool) -> None:
        image = (GREY > 100) if bits else GREY[None, :, :1]
        tifffile.imwrite(tmp_path / "a.tif", image, compression="zlib", photometric="minisblack")
        assert same_everywhere(tmp_path / "a.tif", tifffile.imread(tmp_path / "a.tif").reshape(image.shape))

    @pytest.mark.parametrize("with_ids", [True, False])
    def test_one_of_several_ome_files_is_not_read_alone(self, tmp_path: Path, with_ids: bool) -> None:
        for index in range(2):
            write_ome(tmp_path / f"{index}.tif", files=2, own=f"urn:uuid:{index}" if with_ids else "")
        assert tifffile.imread(tmp_path / "0.tif").shape == (2, 70, 50)
        with pytest.raises(errors.StoreError, match=r"one of the 2 files of an OME-TIFF \(0.tif, 1.tif\); join them"):
            open_array(tmp_path / "0.tif")

    @pytest.mark.parametrize("own", ["", "urn:uuid:0", "urn:uuid:other"])
    @pytest.mark.parametrize("name", ["0.tif", "renamed.tif"])
    def test_a_single_ome_file_may_be_renamed(self, tmp_path: Path, own: str, name: str) -> None:
        write_ome(tmp_path / name, files=1, own=own)
        assert same_everywhere(tmp_path / name, GREY)

    def test_ome_files_are_read_as_tifffile_reads_them_or_lack_pages(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        for xml in ("<OME", '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><BinaryOnly/></OME>'):
            tifffile.imwrite(path, GREY, description=xml, metadata=None)
            assert same_everywhere(path, tifffile.imread(path))
        write_ome(path, files=1, own="", planes=3)
        with pytest.raises(errors.StoreError, match="lacks 2 of its 3 pages"):
            open_array(path)

    @pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 7}, {"tile": (16, 16)}])
    def test_a_truncated_file_is_refused_when_it_is_opened(self, tmp_path: Path, options: dict[str, Any]) -> None:
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, GREY, **options)
        whole = path.read_bytes()
        for size in (6, 100, len(whole) - 1):
            path.write_bytes(whole[:size])
            with pytest.raises(errors.StoreError, match=r"ends in the middle|cannot be read"):
                open_array(path)

    @pytest.mark.parametrize("shape", [(70, 50, 3), (33, 40, 4), (3, 70, 50), (1, 70, 50)])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
    def test_colours_and_pages_are_written(self, tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
        image = pixels(shape, dtype)
        block = (48, 32, 4) if shape[2] < 5 else (2, 48, 32)
        target = Target(str(tmp_path / ("a.tif" if shape[0] == 1 else "a.ome.tif")), shape, dtype, block, "j")
        array_output(target).create()
        write_all(target, image)
        array_output(target).publish()
        assert same_everywhere(target.final, image)
        with tifffile.TiffFile(target.final) as tif:
            page: Any = tif.series[0].keyframe
            assert (page.compression.name, page.tile) == ("ADOBE_DEFLATE", (48, 32))
            assert (page.photometric.name == "RGB") == (shape[2] < 5)
        assert np.array_equal(tifffile.imread(target.final).reshape(shape), image)

    @pytest.mark.parametrize("shape", [(70, 50), (5, 70, 50), (70, 50, 3), (70, 50, 4)])
    def test_booleans_have_one_bit_a_pixel(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        image = pixels(shape, "uint8") > 100
        block = (2, 32, 32) if shape[0] == 5 else (32, 32, *shape[2:])
        target = Target(str(tmp_path / "a.tif"), shape, "bool", block, "j")
        array_output(target).create()
        write_all(target, image)
        array_output(target).publish()
        assert same_everywhere(target.final, image)
        assert np.array_equal(tifffile.imread(target.final), image)
        if len(shape) == 2:
            assert np.array_equal(np.asarray(Image.open(target.final)), image)

    def test_without_imagecodecs_tiles_are_deflated_by_zlib(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "imagecodecs", None)
        target = Target(str(tmp_path / "a.tif"), (70, 50), "uint8", (32, 32), "j")
        array_output(target).create()
        write_all(target, GREY)
        array_output(target).publish()
        assert same_everywhere(target.final, GREY)

    def test_blocks_that_hold_no_tiles_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(errors.InputError, match="multiple of 16 in place of 40"):
            array_output(Target(str(tmp_path / "a.tif"), (70, 50), "uint8", (40, 32), "j"))
        with pytest.raises(errors.InputError, match="all colours in each block"):
            array_output(Target(str(tmp_path / "a.tif"), (70, 1, 3), "uint8", (32, 1, 1), "j"))
        with pytest.raises(errors.InputError, match="4 axes"):
            array_output(Target(str(tmp_path / "a.tif"), (2, 2, 70, 50), "uint8", (1, 1, 32, 32), "j"))


class TestPictures:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16"])
    def test_every_mode_of_png_is_read(self, tmp_path: Path, mode: str) -> None:
        picture = Image.fromarray(VOLUME[0]) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
        picture.save(tmp_path / "a.png")
        expected = np.asarray(picture)
        assert same_everywhere(tmp_path / "a.png", expected)

    def test_a_palette_becomes_colours(self, tmp_path: Path) -> None:
        picture = Image.fromarray(RGB).quantize(16)
        picture.save(tmp_path / "a.png")
        assert same_everywhere(tmp_path / "a.png", np.asarray(picture.convert("RGB")))

    def test_an_animation_is_refused_and_not_cut(self, tmp_path: Path) -> None:
        Image.fromarray(RGB).save(tmp_path / "a.png", save_all=True, append_images=[Image.fromarray(255 - RGB)])
        with pytest.raises(errors.StoreError, match="animation of 2 pictures"):
            open_array(tmp_path / "a.png")

    def test_sixteen_bit_colours_are_refused_and_not_cut(self, tmp_path: Path) -> None:
        imagecodecs = pytest.importorskip("imagecodecs")
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(RGB.astype("uint16") * 200))
        with pytest.raises(errors.StoreError, match="16-bit colours"):
            open_array(tmp_path / "a.png")

    @pytest.mark.parametrize(("suffix", "shape"), [(".png", (70, 50, 3)), (".png", (70, 50, 4)), (".jpg", (70, 50, 3))])
    def test_colours_are_written(self, tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
        image = pixels(shape, "uint8") // 8 + 100
        target = Target(str(tmp_path / f"a{suffix}"), shape, "uint8", (32, 32, 4), "j")
        array_output(target).create()
        write_all(target, image)
        array_output(target).publish()
        found = open_array(target.final).read(Region.whole(shape))
        assert np.abs(found.astype(int) - image).max() <= (0 if suffix == ".png" else 40)

    def test_a_picture_larger_than_pillows_limit_is_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Image.fromarray(GREY).save(tmp_path / "a.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
        assert same_everywhere(tmp_path / "a.png", GREY)
