"""Refusals by stores: bad files, forbidden paths, outputs that cannot be written, full disks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lepton_celery import errors
from lepton_celery.grid import Region
from lepton_celery.stores import (
    Target,
    array_output,
    check_allowed,
    check_dtype,
    check_output,
    ingest,
    local_path,
    needs_ingest,
    open_array,
    write_table,
)
from lepton_celery.stores.ingest import _pieces
from tests.unit.test_stores import ended_well, in_fork, pixels, write_all

GREY = pixels((70, 50), "uint8")
RGB = pixels((70, 50, 3), "uint8", seed=1)
VOLUME = pixels((5, 70, 50), "uint16", seed=2)


class TestBadInput:
    @pytest.mark.timeout(100)
    @pytest.mark.parametrize("name", ["pipe", "pipe.npy", "pipe.tif", "pipe.png"])
    def test_a_pipe_is_refused_and_not_waited_for(self, name: str, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / name)
        with pytest.raises(errors.InputError, match="pipe"):
            open_array(tmp_path / name)

    def test_missing_files_and_unknown_formats_are_refused(self, tmp_path: Path) -> None:
        for suffix in (".npy", ".zarr", ".tif", ".png", ".jpg"):
            with pytest.raises(errors.StoreNotFound, match="nothing at"):
                open_array(tmp_path / f"a{suffix}")
        with pytest.raises(errors.InputError, match=r"in place end in \.npy, \.zarr"):
            open_array(tmp_path / "a.xyz")

    @pytest.mark.parametrize("suffix", [".npy", ".zarr", ".tif", ".png", ".jpg"])
    @pytest.mark.parametrize("content", ["empty", "rubbish", "folder", "other"])
    def test_rubbish_is_a_store_error(self, tmp_path: Path, suffix: str, content: str) -> None:
        path = tmp_path / f"a{suffix}"
        if content == "folder":
            path.mkdir()
        elif content == "other":
            np.savez(tmp_path / "a.npz", GREY)
            (tmp_path / "a.npz").rename(path)
        else:
            path.write_bytes(b"" if content == "empty" else b"rubbish" * 100)
        with pytest.raises(errors.StoreError, match="cannot be read"):
            open_array(path)

    @pytest.mark.parametrize("kind", ["npy", "tif", "deflate.tif", "png", "jpg"])
    def test_a_truncated_file_is_a_store_error(self, tmp_path: Path, kind: str) -> None:
        path, noise = tmp_path / f"a.{kind}", pixels((300, 300), "uint8")
        if kind == "npy":
            np.save(path, noise)
        elif "tif" in kind:
            tifffile.imwrite(path, noise, compression="zlib" if "deflate" in kind else None)
        else:
            Image.fromarray(noise).save(path)
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(errors.StoreError):
            open_array(path).read(Region.whole((300, 300)))

    def test_text_is_no_image(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array(["text"]))
        with pytest.raises(errors.StoreError, match="not a pixel type"):
            open_array(tmp_path / "a.npy")

    def test_a_missing_codec_names_the_extra(self, tmp_path: Path) -> None:
        pytest.importorskip("imagecodecs")
        tifffile.imwrite(tmp_path / "a.tif", RGB, compression="jpeg", tile=(16, 16), photometric="rgb")
        program = (
            "import sys; sys.modules['imagecodecs'] = None\n"
            "from lepton_celery.grid import Region\n"
            "from lepton_celery.stores import open_array\n"
            f"open_array({str(tmp_path / 'a.tif')!r}).read(Region((0, 0, 0), {RGB.shape}))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "StoreError" in done.stderr and "pip install 'lepton-celery[codecs]'" in done.stderr

    def test_a_file_without_read_permission_is_refused(self) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            Path(folder).chmod(0o755)
            path = Path(folder) / "a.npy"
            np.save(path, GREY)
            path.chmod(0)

            def read() -> None:
                as_nobody()
                with pytest.raises(errors.StoreError, match="permission denied"):
                    open_array(path)

            assert ended_well(in_fork(read))


def as_nobody() -> None:
    """Give up root's power over permissions; a laptop's user has none to give up."""
    if os.geteuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)


class TestPaths:
    @pytest.mark.parametrize(
        ("url", "path"),
        [("/a/b.npy", "/a/b.npy"), ("file:///a%20b.npy", "/a b.npy"), ("file://localhost/a#b.npy", "/a#b.npy")],
    )
    def test_paths_and_file_urls_are_accepted(self, url: str, path: str) -> None:
        assert local_path(url) == Path(path)

    def test_a_relative_path_becomes_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert local_path(Path("a/b.npy")) == tmp_path / "a" / "b.npy"

    @pytest.mark.parametrize(
        "url", ["s3://bucket/a.npy", "http://host/a.npy", "file://host/a.npy", "", "a\0b", "file://a"]
    )
    def test_other_places_are_refused(self, url: str) -> None:
        with pytest.raises(errors.InputError):
            local_path(url)

    def test_links_and_dots_do_not_lead_out_of_the_allowed_folders(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        root.mkdir()
        np.save(tmp_path / "secret.npy", GREY)
        np.save(root / "a.npy", GREY)
        (root / "link.npy").symlink_to(tmp_path / "secret.npy")
        (tmp_path / "way-in").symlink_to(root)
        assert open_array(root / "a.npy", roots=[root]).shape == GREY.shape
        assert open_array(tmp_path / "way-in" / "a.npy", roots=[tmp_path / "x", root]).shape == GREY.shape
        for path in (root / "link.npy", root / ".." / "secret.npy", tmp_path / "root2" / "a.npy"):
            with pytest.raises(errors.InputError, match="outside the allowed folders"):
                open_array(path, roots=[root])
        check_allowed(tmp_path, [])


class TestChecksAtSubmission:
    def test_an_output_that_cannot_be_written_is_refused(self, tmp_path: Path) -> None:
        check_output(tmp_path / "a.npy")
        check_output(tmp_path / "a.parquet")
        (tmp_path / "a.npy").write_text("")
        check_output(tmp_path / "a.npy", overwrite=True)
        with pytest.raises(errors.OutputExists):
            check_output(tmp_path / "a.npy")
        with pytest.raises(errors.StoreNotFound, match="create"):
            check_output(tmp_path / "missing" / "a.npy")
        with pytest.raises(errors.InputError, match=r"\.parquet"):
            check_output(tmp_path / "a.xyz")

    def test_a_folder_without_permission_is_refused(self) -> None:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            Path(folder).chmod(0o555)

            def check() -> None:
                as_nobody()
                with pytest.raises(errors.StoreError, match="no permission"):
                    check_output(Path(folder) / "a.npy")
                for suffix in (".npy", ".zarr", ".tif", ".png"):
                    with pytest.raises(errors.StoreError, match="permission denied"):
                        array_output(Target(f"{folder}/a{suffix}", (32, 32), "uint8", (16, 16), "j")).create()

            assert ended_well(in_fork(check))
            Path(folder).chmod(0o755)

    @pytest.mark.parametrize(
        ("name", "shape", "dtype", "says"),
        [
            ("a.png", (3, 4), "float64", "img_as_ubyte"),
            ("a.png", (3, 4, 3), "uint16", "img_as_ubyte"),
            ("a.jpg", (3, 4), "uint16", "JPEG holds uint8"),
            ("a.jpg", (3, 70000), "uint8", "65500"),
            ("a.jpg", (3, 4, 4), "uint8", "JPEG holds uint8"),
            ("a.png", (0, 4), "uint8", "empty"),
            ("a.tif", (0, 4), "uint8", "empty"),
            ("a.tif", (4,), "uint8", "1 axes"),
            ("a.zarr", (4,), "longdouble", "ZARR holds"),
            ("a.npy", (4,), "object", "NPY holds"),
            ("a.csv", (4,), "uint8", "array format"),
        ],
    )
    def test_unsupported_images_are_refused(self, name: str, shape: tuple[int, ...], dtype: str, says: str) -> None:
        with pytest.raises(errors.InputError, match=says):
            check_dtype(name, shape, dtype)


class TestIngest:
    def test_pictures_and_huge_strips_are_copied_first(self, tmp_path: Path) -> None:
        Image.fromarray(GREY).save(tmp_path / "a.png")
        tifffile.imwrite(tmp_path / "a.tif", GREY, compression="zlib")
        np.save(tmp_path / "a.npy", GREY)
        assert needs_ingest(open_array(tmp_path / "a.png"))
        assert not needs_ingest(open_array(tmp_path / "a.tif"))
        assert not needs_ingest(open_array(tmp_path / "a.npy"))
        huge = open_array(tmp_path / "a.tif")
        huge.chunks = (2**14, 2**14 + 1)
        assert needs_ingest(huge)

    @pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
    def test_a_copy_is_the_same_and_leaves_nothing_else(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        if suffix == ".npy":
            np.save(path, np.asfortranarray(VOLUME))
        else:
            Image.fromarray(RGB).save(path)
        reader = open_array(path)
        for _ in range(2):
            ingest(reader, tmp_path / "copy.npy")
        assert np.array_equal(np.load(tmp_path / "copy.npy"), VOLUME if suffix == ".npy" else RGB)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(["copy.npy", path.name])

    def test_pieces_are_whole_chunks_of_at_most_64_mib(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", GREY, tile=(16, 16), compression="zlib")
        reader = open_array(tmp_path / "a.tif")
        reader.shape, reader.chunks = (40000, 40000), (256, 512)
        pieces = _pieces(reader)
        assert np.prod(pieces) <= 64 * 2**20
        assert pieces[0] % 256 == 0 and pieces[1] % 512 == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class TestFullDisk:
    @pytest.mark.parametrize("suffix", [".npy", ".zarr", ".tif", ".png"])
    def test_a_full_disk_is_reported_and_leaves_no_output(self, small_disk: Path, suffix: str) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (2048, 1024), "uint8")
        target = Target(str(small_disk / f"a{suffix}"), noise.shape, "uint8", (256, 1024), "j")
        with pytest.raises(errors.StoreError, match="free space"):
            array_output(target).create()
            write_all(target, noise)
        assert not target.final.exists()
        array_output(target).discard()
        assert not list(small_disk.iterdir())

    def test_a_disk_that_fills_while_publishing_leaves_no_output(self, small_disk: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (768, 1024), "uint8")
        for suffix in (".tif", ".png"):
            target = Target(str(small_disk / f"a{suffix}"), noise.shape, "uint8", (256, 1024), "j")
            array_output(target).create()
            write_all(target, noise)
            with pytest.raises(errors.StoreError, match="free space"):
                array_output(target).publish()
            assert [entry.name for entry in small_disk.iterdir()] == [target.part.name]
            array_output(target).discard()

    def test_tables_and_copies_leave_nothing_on_a_full_disk(self, small_disk: Path, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).random(200_000)
        np.save(tmp_path / "a.npy", noise)
        with pytest.raises(errors.StoreError, match="free space"):
            ingest(open_array(tmp_path / "a.npy"), small_disk / "copy.npy")
        for suffix in (".csv", ".parquet"):
            with pytest.raises(errors.StoreError, match="free space"):
                write_table(small_disk / f"a{suffix}", {"x": noise})
        assert not list(small_disk.iterdir())


def test_submitting_imports_no_format_library() -> None:
    code = (
        "import sys, lepton_celery.stores as s; s.check_output('/tmp/lepton-a.zarr'); s.check_dtype('a.tif', (3, 3), 'u1');"
        "print(sorted({'zarr', 'tifffile', 'PIL', 'pyarrow', 'imagecodecs', 'numcodecs'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
