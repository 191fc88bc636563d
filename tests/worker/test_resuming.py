"""Jobs on real workers that are paused, cancelled or fail, and go on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import redis
from celery import Celery
from numpy.typing import NDArray

import lepton_celery as lepton
from lepton_celery.errors import InputError, JobCancelled, JobError, JobFailed, JobNotFound, OutputExists
from lepton_celery.ledger.info import JobState
from lepton_celery.local.stack import LocalStack
from tests.waiting import eventually, sweeps
from tests.worker.dark_images import BLOCK, SIDE, left_behind, mapped, submit

pytestmark = pytest.mark.worker


def test_a_paused_job_starts_nothing_until_it_is_resumed(
    workers: LocalStack, app: Celery, tmp_path: Path, dark: NDArray[np.uint8]
) -> None:
    runs, resumed = tmp_path / "runs", tmp_path / "resumed"
    job = submit(tmp_path, app, mapped(tmp_path, "slow", seconds=0.5, until=str(resumed), log=str(runs)))
    assert job.pause()
    assert job.info().state is JobState.PAUSED
    broker = redis.Redis.from_url(app.conf.broker_url)
    eventually(lambda: not broker.llen("lepton.default") and not broker.hlen("unacked"))  # blocks at work have ended
    done = job.info().blocks_done
    resumed.touch()
    sweeps(workers.directory / "alive")  # two of each worker
    assert job.info().blocks_done == done < 16
    assert lepton.resume(job.id, app=app).id == job.id
    job.wait(180)
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)
    assert len(runs.read_text().split()) == 16


@pytest.mark.usefixtures("dark")
def test_a_paused_job_can_be_cancelled(app: Celery, tmp_path: Path) -> None:
    job = submit(tmp_path, app, mapped(tmp_path, "slow", seconds=0.5, until=str(tmp_path / "cancelled")))
    assert job.pause()
    assert job.cancel()
    (tmp_path / "cancelled").touch()
    with pytest.raises(JobCancelled):
        job.wait(5)
    with pytest.raises(JobError, match="was cancelled"):
        lepton.resume(job.id, app=app)
    eventually(lambda: left_behind(tmp_path) == [])


def test_a_failed_job_goes_on_with_its_missing_blocks(app: Celery, tmp_path: Path, dark: NDArray[np.uint8]) -> None:
    runs, cured = tmp_path / "runs", tmp_path / "cured"
    job = submit(tmp_path, app, mapped(tmp_path, "raises", log=str(runs), cured=str(cured)))
    with pytest.raises(JobFailed):
        job.wait(180)
    cured.touch()
    lepton.resume(job.id, app=app)
    job.wait(180)
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)
    count = Counter(runs.read_text().split())
    assert {block: runs for block, runs in count.items() if runs > 1} == {"7": 5}
    eventually(lambda: left_behind(tmp_path) == [])
    assert lepton.resume(job.id, app=app).info().state is JobState.DONE


def test_a_job_that_failed_in_a_block_has_published_nothing_and_resuming_publishes_all(
    app: Celery, tmp_path: Path, dark: NDArray[np.uint8]
) -> None:
    image, cured = lepton.open(tmp_path / "input.npy"), tmp_path / "cured"
    same = image - (image.max() - np.uint8(255))  # in a second stage
    outputs = {
        str(tmp_path / "o.npy"): lepton.map_blocks("tests.faults.blocks:raises", same, cured=str(cured)),
        str(tmp_path / "max.json"): image.max(),
    }
    job = lepton.submit(outputs, app=app, block_shape=(BLOCK, BLOCK))
    with pytest.raises(JobFailed, match=r"ValueError: a bright pixel$"):
        job.wait(180)
    assert not (tmp_path / "max.json").exists() and not (tmp_path / "o.npy").exists()
    cured.touch()
    (tmp_path / ".o.npy.other.part").touch()  # of another job
    again = lepton.submit(outputs, app=app, block_shape=(BLOCK, BLOCK), resume=True)
    assert again.id == job.id
    result = again.result(30)
    assert np.array_equal(lepton.compute(result[str(tmp_path / "o.npy")]), 255 - dark)
    assert result[str(tmp_path / "max.json")] == 255
    eventually(lambda: left_behind(tmp_path) == [".o.npy.other.part"])
    with pytest.raises(OutputExists):  # nothing is left to continue
        lepton.submit(outputs, app=app, block_shape=(BLOCK, BLOCK), resume=True)


def test_a_name_that_is_taken_costs_no_other_output_and_resuming_publishes_it(
    app: Celery, tmp_path: Path, dark: NDArray[np.uint8]
) -> None:
    taken = tmp_path / "taken"
    image = mapped(tmp_path, "slow", seconds=0.5, until=str(taken))
    outputs = {str(tmp_path / name): image for name in ("a.npy", "b.npy", "c.zarr")} | {
        str(tmp_path / "min.csv"): image.min(),
        str(tmp_path / "max.csv"): image.max(),
    }
    job = lepton.submit(outputs, app=app, block_shape=(BLOCK, BLOCK))
    for name in ("b.npy", "min.csv"):
        (tmp_path / name).write_text("precious")
    taken.touch()
    with pytest.raises(JobFailed, match=r"written: max.csv, a.npy, c.zarr; not written: min.csv, b.npy"):
        job.wait(180)
    for name in ("b.npy", "min.csv"):
        assert (tmp_path / name).read_text() == "precious"
        (tmp_path / name).unlink()
    # as a worker does that was frozen since before the image was published
    (tmp_path / f".a.npy.{job.id}.part").write_bytes(b"")
    lepton.resume(job.id, app=app)
    result = job.result(30)
    for name in ("a.npy", "b.npy", "c.zarr"):
        assert np.array_equal(lepton.compute(result[str(tmp_path / name)]), 255 - dark)
    assert result[str(tmp_path / "min.csv")]["value"] == [0]
    eventually(lambda: left_behind(tmp_path) == [])


@pytest.mark.usefixtures("dark")
def test_a_failed_job_is_not_resumed_on_another_input(app: Celery, tmp_path: Path) -> None:
    job = submit(tmp_path, app, mapped(tmp_path, "raises"))
    with pytest.raises(JobFailed):
        job.wait(180)
    np.save(tmp_path / "input.npy", np.zeros((SIDE, SIDE), np.uint8))
    with pytest.raises(InputError, match=r"input\.npy has changed since the job was submitted"):
        lepton.resume(job.id, app=app)
    assert job.info().state is JobState.FAILED
    job.forget()
    with pytest.raises(JobNotFound):
        lepton.resume(job.id, app=app)


@pytest.mark.usefixtures("dark")
def test_an_input_that_changes_under_a_job_is_noticed(app: Celery, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    job = submit(tmp_path, app, mapped(tmp_path, "slow", seconds=0.5, until=str(changed)))
    np.save(tmp_path / "input.npy", np.zeros((SIDE, SIDE), np.uint8))
    changed.touch()
    with pytest.raises(JobFailed, match=r"input\.npy has changed since the job was submitted"):
        job.wait(180)
    assert not (tmp_path / "o.npy").exists()
    job.forget()
