"""Jobs on real workers whose folders are limited, and folders that are moved under a job."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from celery import Celery
from PIL import Image
from skimage import filters as sk_filters

import lepton_celery as lepton
from lepton_celery.config import load_settings
from lepton_celery.errors import InputError, JobError, JobFailed, StoreError
from lepton_celery.ledger.info import JobState
from lepton_celery.local.stack import LocalStack
from lepton_celery.skimage import filters, measure
from tests.stacks import some_workers
from tests.waiting import eventually
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker

PIXELS = np.random.default_rng(0).integers(0, 255, (300, 400), np.uint8)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def stack(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    allowed = f"{root}:{root.parent}/of-{{tenant}}"
    with some_workers(tmp_path_factory.mktemp("stack"), 2, env={"LEPTON_ALLOWED_ROOTS": allowed}) as stack:
        yield stack


@pytest.fixture
def app(stack: LocalStack, root: Path, monkeypatch: pytest.MonkeyPatch) -> Celery:
    """A client with the same roots as the workers."""
    monkeypatch.setenv("LEPTON_ALLOWED_ROOTS", str(root))
    monkeypatch.setenv("LEPTON_SETTINGS", "test")
    monkeypatch.setenv("LEPTON_BROKER_URL", stack.broker_url)
    return lepton.create_app(load_settings())


def until_idle(stack: LocalStack) -> None:
    """Wait until workers have done all messages."""
    with redis.Redis.from_url(stack.broker_url) as broker:
        eventually(lambda: not broker.llen("lepton.default") and not broker.hlen("unacked"), "the end of all messages")


@pytest.mark.parametrize("suffix", [".npy", ".zarr", ".tif", ".png"])
def test_a_job_within_the_roots_has_the_same_pixels(app: Celery, root: Path, suffix: str) -> None:
    Image.fromarray(PIXELS).save(root / "in.png")
    image = lepton.open(root / "in.png")
    smooth = filters.gaussian(image, sigma=2)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    shown = (smooth > 0.5).astype("uint8")
    outputs: dict[str, Any] = {
        str(root / f"out{suffix}"): shown,
        str(root / "cells.csv"): measure.regionprops_table(labels),
    }
    job = lepton.submit(outputs, app=app, block_shape=(64, 80), overwrite=True)
    job.wait(180)
    expected = (sk_filters.gaussian(PIXELS, sigma=2) > 0.5).astype(np.uint8)
    assert np.array_equal(lepton.compute(lepton.open(root / f"out{suffix}")), expected)
    assert job.result()[str(root / "cells.csv")]["label"][0] == 1
    eventually(lambda: not [path for path in root.iterdir() if path.name.startswith(".")])
    (root / "in.png").unlink()


def test_a_job_outside_the_roots_is_refused_where_it_is_submitted(app: Celery, root: Path, tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.png")
    with pytest.raises(InputError, match="outside the allowed folders"):
        lepton.open(tmp_path / "in.png")
    with pytest.raises(InputError, match="outside the allowed folders"):
        lepton.submit({str(tmp_path / "out.npy"): lepton.open(PIXELS) + 1}, app=app)
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_a_path_outside_the_roots_is_refused_by_workers(stack: LocalStack, root: Path, tmp_path: Path) -> None:
    """Its submitter has no roots."""
    np.save(tmp_path / "in.npy", PIXELS)
    job = lepton.submit({str(root / "o.npy"): lepton.open(tmp_path / "in.npy")}, app=app_of(stack))
    with pytest.raises(JobFailed, match="allowed"):
        job.wait(180)
    job.forget()


def slow(folder: Path) -> tuple[Any, Path]:
    """A large image whose blocks sleep until a file exists; the image and the file."""
    enough = folder.with_name(f"{folder.name}-enough")
    source = lepton.open(np.tile(PIXELS, (3, 3)))
    return lepton.map_blocks("tests.faults.blocks:slow", source, seconds=0.2, until=str(enough)), enough


def test_a_folder_that_is_moved_under_a_job_is_not_made_anew(stack: LocalStack, app: Celery, root: Path) -> None:
    folder = root / "images"
    folder.mkdir()
    image, enough = slow(folder)
    outputs: dict[str, Any] = {str(folder / f"out{suffix}"): image for suffix in (".npy", ".zarr", ".tif")}
    job = lepton.submit(outputs, app=app, block_shape=(64, 64))
    eventually(lambda: job.info().blocks_done > 10)
    folder.rename(root / "moved")
    enough.touch()
    with pytest.raises(JobFailed):
        job.wait(180)
    until_idle(stack)
    assert not folder.exists()
    with pytest.raises((JobError, InputError), match="gone"):
        lepton.resume(job.id, app=app)
    (root / "moved").rename(folder)
    lepton.resume(job.id, app=app).wait(180)
    for path in outputs:
        assert np.array_equal(lepton.compute(lepton.open(path)), 255 - np.tile(PIXELS, (3, 3)))
    assert job.info().state is JobState.DONE


def test_the_files_of_a_failed_job_can_be_discarded(app: Celery, root: Path) -> None:
    folder = root / "discarded"
    folder.mkdir()
    image, enough = slow(folder)
    job = lepton.submit({str(folder / "a.npy"): image, str(folder / "b.zarr"): image}, app=app, block_shape=(64, 64))
    with pytest.raises(JobError, match="only files of failed jobs"):
        job.discard()
    eventually(lambda: job.info().blocks_done > 10)
    folder.rename(root / "away")
    enough.touch()
    with pytest.raises(JobFailed):
        job.wait(180)
    (root / "away").rename(folder)
    assert len(list(folder.iterdir())) >= 3
    job.discard()
    eventually(lambda: list(folder.iterdir()) == [])
    assert job.info().state is JobState.FAILED
    with pytest.raises(JobError, match="its files were discarded"):
        lepton.resume(job.id, app=app)


def test_a_submission_that_is_refused_for_want_of_space_leaves_nothing(
    stack: LocalStack, app: Celery, root: Path
) -> None:
    disk, folder = root / "disk", root / "beside"
    folder.mkdir()
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        image = lepton.open(np.tile(PIXELS, (6, 6)))
        outputs: dict[str, Any] = {
            str(folder / f"a{suffix}"): image + 1 for suffix in (".npy", ".zarr", ".tif", ".png")
        }
        with pytest.raises(StoreError, match="free space"):
            lepton.submit({**outputs, str(disk / "b.npy"): image + 1}, app=app, block_shape=(64, 64))
        until_idle(stack)  # workers that had begun blocks must not bring the parts back
        assert list(folder.iterdir()) == []
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_worker_keeps_a_job_to_the_folder_of_its_tenant(
    app: Celery, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The submitter may use all folders, so the worker alone refuses."""
    monkeypatch.delenv("LEPTON_ALLOWED_ROOTS")
    free = lepton.create_app(load_settings())
    ada, bob = root.parent / "of-ada", root.parent / "of-bob"
    for folder in (ada, bob):
        folder.mkdir()
        np.save(folder / "in.npy", PIXELS)
    own = {str(ada / "own.npy"): ~lepton.open(ada / "in.npy")}
    lepton.submit(own, app=free, tenant="ada").wait(120)
    assert np.array_equal(np.load(ada / "own.npy"), ~PIXELS)
    for outputs in (
        {str(bob / "written.npy"): ~lepton.open(ada / "in.npy")},
        {str(ada / "read.npy"): ~lepton.open(bob / "in.npy")},
    ):
        with pytest.raises(JobFailed, match=r"is outside the allowed folders \(.*/of-ada\)"):
            lepton.submit(outputs, app=free, tenant="ada").wait(120)
    assert not (bob / "written.npy").exists()
