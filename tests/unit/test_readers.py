"""A reader gives what `skimage.io.imread` gives, or says why it does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import io

from lepton_celery import errors
from lepton_celery.graph.nodes import open as open_image
from lepton_celery.grid import Region
from lepton_celery.stores import open_array
from tests.unit.test_stores import pixels

pytest.importorskip("imageio")

GREY, RGB, RGBA = pixels((37, 50), "uint8"), pixels((37, 50, 3), "uint8", seed=1), pixels((37, 50, 4), "uint8", seed=2)
DEEP, VOLUME = pixels((37, 50), "uint16", seed=3), pixels((5, 37, 50), "uint8", seed=4)
PALETTE = Image.fromarray(RGB).quantize(16)

EXIF = Image.Exif()
EXIF[0x0112] = 6
"""Rotated by a quarter."""


def pil(image: Any, **options: Any) -> Callable[[Path], None]:
    """Writes a picture through Pillow."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)

    def write(path: Path) -> None:
        picture.save(path, **options)

    return write


def tif(image: Any, **options: Any) -> Callable[[Path], None]:
    """Writes a TIFF through tifffile."""

    def write(path: Path) -> None:
        tifffile.imwrite(path, image, **options)

    return write


def planes(image: Any) -> Any:
    return np.ascontiguousarray(np.moveaxis(image, -1, 0))


def as_pages(*images: Any) -> Callable[[Path], None]:
    """Writes a TIFF of independent pages."""

    def write(path: Path) -> None:
        with tifffile.TiffWriter(path) as writer:
            for image in images:
                writer.write(image, contiguous=False, metadata=None, photometric="rgb" if image.ndim == 3 else None)

    return write


FILES: dict[str, Callable[[Path], None]] = {
    "grey.png": pil(GREY),
    "colours.png": pil(RGB),
    "alpha.png": pil(RGBA),
    "grey and alpha.png": pil(Image.fromarray(RGBA).convert("LA")),
    "one bit.png": pil(GREY > 100),
    "16 bits.png": pil(DEEP),
    "palette.png": pil(PALETTE),
    "palette of two bits.png": pil(Image.fromarray(RGB).quantize(4), bits=2),
    "grey palette.png": pil(Image.fromarray(GREY).convert("P")),
    "palette with a transparent colour.png": pil(PALETTE, transparency=3),
    "palette with alpha.png": pil(PALETTE, transparency=bytes(range(0, 160, 10))),
    "transparent grey.png": pil(GREY, transparency=7),
    "transparent colour.png": pil(RGB, transparency=(1, 2, 3)),
    "rotated.png": pil(RGB, exif=EXIF),
    "grey.jpg": pil(GREY),
    "colours.jpg": pil(RGB),
    "rotated.jpg": pil(RGB, exif=EXIF),
    "cmyk.jpg": pil(Image.fromarray(RGB).convert("CMYK")),
    "progressive.jpeg": pil(RGB, progressive=True),
    **{f"{dtype}.tif": tif((GREY / 2).astype(dtype)) for dtype in "bool i1 u2 i4 u8 f2 f4 f8 c8".split()},
    "colours.tif": tif(RGB, photometric="rgb"),
    "alpha.tif": tif(RGBA, photometric="rgb"),
    "planes.tif": tif(planes(RGB), photometric="rgb", planarconfig="separate"),
    "compressed planes.tif": tif(planes(RGB), photometric="rgb", planarconfig="separate", compression="zlib"),
    "planes and alpha.tif": tif(planes(RGBA), photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"]),
    "white is 0.tif": tif(GREY, photometric="miniswhite"),
    "compressed white is 0.tif": tif(GREY, photometric="miniswhite", compression="zlib", rowsperstrip=7),
    "bits of white.tif": tif(GREY > 100, photometric="miniswhite"),
    "palette.tif": tif(GREY, photometric="palette", colormap=pixels((3, 256), "uint16")),
    "pillow's palette.tif": pil(PALETTE),
    "cmyk.tif": pil(Image.fromarray(RGB).convert("CMYK")),
    "lab.tif": pil(Image.fromarray(RGB).convert("LAB")),
    "grey and alpha.tif": pil(Image.fromarray(RGBA).convert("LA")),
    "pages.tif": tif(VOLUME, photometric="minisblack"),
    "independent pages.tif": as_pages(*VOLUME),
    "pages of colours.tif": as_pages(RGB, RGB[::-1]),
    "pages of two sizes.tif": as_pages(GREY, DEEP[:20]),
    "pillow's pages.tif": pil(GREY, save_all=True, append_images=[Image.fromarray(255 - GREY)]),
    "imagej.tif": tif(VOLUME.astype("u2"), imagej=True, metadata={"axes": "ZYX"}),
    "hyperstack.tif": tif(pixels((2, 5, 2, 37, 50), "uint8"), imagej=True, metadata={"axes": "TZCYX"}),
    "volume.ome.tif": tif(VOLUME, ome=True, photometric="minisblack", metadata={"axes": "ZYX"}),
    "two samples.tif": tif(np.stack([GREY, GREY], -1), photometric="minisblack", planarconfig="contig"),
    "one row.tif": tif(GREY[:1]),
    "one page.tif": tif(GREY[None], photometric="minisblack"),
    "one axis.tif": tif(GREY[0]),
    "one sample.tif": tif(GREY[..., None], photometric="minisblack"),
    "lzw.tif": tif(RGB, compression="lzw", predictor=True, photometric="rgb"),
    "floats.tif": tif(GREY.astype("f4"), compression="zlib", predictor=True),
    "boxes.tif": tif(VOLUME, tile=(2, 16, 16), volumetric=True),
    "big.tif": tif(DEEP, bigtiff=True, byteorder=">"),
}

NEED_CODECS = ("lzw", "floats")


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_scikit_image_reads_it(tmp_path: Path, name: str) -> None:
    if name.startswith(NEED_CODECS):
        pytest.importorskip("imagecodecs")
    FILES[name](tmp_path / name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Palette images with Transparency", UserWarning)
        wanted = io.imread(tmp_path / name)
    reader = open_array(tmp_path / name)
    assert (reader.shape, reader.dtype) == (wanted.shape, wanted.dtype)
    middle = Region(tuple(n // 3 for n in wanted.shape), tuple(n // 3 + max(1, n // 2) for n in wanted.shape))
    for region in (Region.whole(wanted.shape), middle):
        assert np.array_equal(reader.read(region), wanted[region.slices])


@pytest.mark.parametrize("slices", [3, 4])
def test_three_slices_of_a_volume_stay_slices(tmp_path: Path, slices: int) -> None:
    """`skimage.io.imread` takes the first of three axes for colours if it has a length of 3 or 4."""
    tifffile.imwrite(tmp_path / "a.tif", VOLUME[:slices], photometric="minisblack")
    assert io.imread(tmp_path / "a.tif").shape == (37, 50, slices)
    assert open_array(tmp_path / "a.tif").shape == (slices, 37, 50)


@pytest.mark.parametrize("suffix", ["gif", "bmp", "ppm", "tga"])
def test_other_formats_are_refused_with_a_way_to_read_them(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB).save(path)
    with pytest.raises(errors.InputError, match=r"lepton.open\(skimage.io.imread"):
        open_image(path)
    assert open_image(io.imread(path)).dtype == np.uint8


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png", ".jpg", ".zarr"])
def test_folders_and_empty_files_are_refused_with_the_reason(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(errors.StoreError, match=r"is a folder|not a Zarr"):
        open_image(tmp_path / f"folder{suffix}")
    (tmp_path / f"empty{suffix}").touch()
    with pytest.raises(errors.StoreError, match="cannot be read"):
        open_image((tmp_path / f"empty{suffix}").as_uri())
    with pytest.raises(errors.InputError, match="is a folder, and not one of Zarr"):
        open_image(tmp_path)
