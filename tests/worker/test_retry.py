"""What was given up is tried again on real workers, and the pixels are those of scikit-image on the whole image."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery
from click.testing import CliRunner
from numpy.typing import NDArray
from skimage import filters as sk_filters
from skimage.io import imsave

import lepton_celery as lepton
from lepton_celery.api.answers import Request
from lepton_celery.api.service import Api
from lepton_celery.cli.commands import lepton as command
from lepton_celery.errors import InputError, JobCancelled, JobError, JobFailed, OutputExists, StoreError
from lepton_celery.grid import StageIndex
from lepton_celery.jobs.retry import Again, retry
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.info import JobState
from lepton_celery.skimage import filters
from lepton_celery.views.blocks import BlockState, block_map
from tests.waiting import eventually
from tests.worker.dark_images import left_behind, mapped, submit

pytestmark = pytest.mark.worker


def edges(tmp_path: Path, *, deadly: bool = False) -> Any:
    """Two stages after a function that gives up on block 7, while block 15 waits."""
    files = {name: str(tmp_path / name) for name in ("cured", "enough")}
    smooth = filters.gaussian(mapped(tmp_path, "poisoned", deadly=deadly, **files), sigma=1)
    return smooth > filters.threshold_otsu(smooth)


def expected(dark: NDArray[np.uint8]) -> NDArray[np.bool_]:
    smooth = sk_filters.gaussian(255 - dark, sigma=1)
    found: NDArray[np.bool_] = smooth > sk_filters.threshold_otsu(smooth)
    return found


def is_done(job: lepton.Job, block: int) -> bool:
    """Whether a block of the first stage, which is open, has its receipt."""
    assert job.info().stage == 0
    return bool(block_map(job, StageIndex(0)).states[block] == BlockState.DONE)


def with_hole(tmp_path: Path, app: Celery) -> lepton.Job:
    """A job that is done, one block of which was given up; its cause is removed."""
    (tmp_path / "enough").touch()
    job = submit(tmp_path, app, edges(tmp_path), on_error="fill", title="a hole", owner="ada")
    job.wait(180)
    assert job.info().filled == 1
    (tmp_path / "cured").touch()
    return job


@pytest.mark.parametrize("deadly", [False, True])
def test_blocks_that_were_given_up_are_done_after_all(
    app: Celery, tmp_path: Path, dark: NDArray[np.uint8], deadly: bool
) -> None:
    job = submit(tmp_path, app, edges(tmp_path, deadly=deadly), on_error="fill")
    eventually(lambda: job.info().filled, "a block that is given up")
    if not deadly:  # it takes some time until three processes are dead
        again = retry(job.id, app=app)
        assert (again.job.id, again.what, again.blocks) == (job.id, Again.BLOCKS, 1)
        eventually(lambda: job.info().filled, "a block that is given up with all its attempts anew")
    (tmp_path / "cured").touch()
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(retry, job.id, app=app) for _ in range(4)]
    assert sorted(one.exception() is None for one in asked) == [False, False, False, True]
    eventually(lambda: is_done(job, 7), "the block")
    with pytest.raises(JobError, match="no block of it was given up"):
        retry(job.id, app=app)
    (tmp_path / "enough").touch()
    job.wait(180)
    assert job.filled_blocks() == []
    assert np.array_equal(np.load(tmp_path / "o.npy"), expected(dark))
    with pytest.raises(JobError, match="is done, and no block of it was given up"):
        retry(job.id, app=app)


def test_a_process_that_dies_before_it_sends_the_blocks_loses_none(
    app: Celery, tmp_path: Path, dark: NDArray[np.uint8]
) -> None:
    job = submit(tmp_path, app, edges(tmp_path), on_error="fill")
    eventually(lambda: job.info().filled, "a block that is given up")
    (tmp_path / "cured").touch()
    places, refusal = open_ledger(app.conf["lepton"].ledger).retry_filled(job.id)
    assert (len(places), refusal) == (1, "")  # killed here: a sweeper finds the block
    eventually(lambda: is_done(job, 7), "the block")
    (tmp_path / "enough").touch()
    job.wait(180)
    assert np.array_equal(np.load(tmp_path / "o.npy"), expected(dark))


def test_a_job_that_is_done_with_a_filled_block_is_done_again(
    app: Celery, tmp_path: Path, dark: NDArray[np.uint8]
) -> None:
    job = with_hole(tmp_path, app)
    with_a_hole = np.load(tmp_path / "o.npy")
    assert not np.array_equal(with_a_hole, expected(dark))
    (tmp_path / "enough").unlink()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: retry(job.id, app=app), range(4)))
    [again] = {answer.job.id for answer in answers}
    assert again != job.id and {answer.what for answer in answers} == {Again.WHOLE_JOB}
    new = answers[0].job
    assert np.array_equal(np.load(tmp_path / "o.npy"), with_a_hole)  # replaced when the new job is done
    (tmp_path / "enough").touch()
    new.wait(180)
    assert np.array_equal(np.load(tmp_path / "o.npy"), expected(dark))
    assert (new.info().retry_of, job.info().retried_as) == (job.id, new.id)
    assert (new.info().title, new.info().owner) == ("a hole", "ada")
    assert new.manifest().plan == job.manifest().plan
    assert retry(job.id, app=app).job.id == new.id
    eventually(lambda: left_behind(tmp_path) == [])


def test_what_cannot_be_done_again_says_why(app: Celery, tmp_path: Path, dark: NDArray[np.uint8]) -> None:
    job = with_hole(tmp_path, app)
    (tmp_path / "input.npy").rename(tmp_path / "elsewhere.npy")
    with pytest.raises(StoreError, match=r"input\.npy"):
        retry(job.id, app=app)
    np.save(tmp_path / "input.npy", dark + 1)
    with pytest.raises(InputError, match="has changed since the job was submitted"):
        retry(job.id, app=app)
    assert job.info().retried_as == ""
    array = lepton.submit({str(tmp_path / "a.npy"): lepton.open(dark) + 1}, app=app)
    if not array.cancel():
        array.wait(180)
    else:
        with pytest.raises(InputError, match="was an array of the program"):
            retry(array.id, app=app)
    eventually(lambda: left_behind(tmp_path) == [])


def test_a_cancelled_job_is_done_again_unless_its_outputs_exist(
    app: Celery, tmp_path: Path, dark: NDArray[np.uint8]
) -> None:
    imsave(tmp_path / "picture.png", dark, check_contrast=False)
    enough = str(tmp_path / "enough")
    slow = lepton.map_blocks(
        "tests.faults.blocks:slow", lepton.open(tmp_path / "picture.png"), seconds=0.5, until=enough
    )
    job = submit(tmp_path, app, slow)
    assert job.cancel()
    with pytest.raises(JobCancelled):
        job.wait(60)
    (tmp_path / "enough").touch()
    (tmp_path / "o.npy").touch()
    with pytest.raises(OutputExists):
        retry(job.id, app=app)
    (tmp_path / "o.npy").unlink()
    again = retry(job.id, app=app).job
    again.wait(180)
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)
    assert again.info().retry_of == job.id
    eventually(lambda: left_behind(tmp_path) == [])


def test_a_failed_job_is_resumed_by_the_command_and_the_api(
    app: Celery, tmp_path: Path, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_SETTINGS", "test")
    monkeypatch.setenv("LEPTON_BROKER_URL", app.conf["lepton"].broker_url)
    cured = tmp_path / "cured"
    job = submit(tmp_path, app, mapped(tmp_path, "raises", cured=str(cured)))
    with pytest.raises(JobFailed):
        job.wait(180)
    told = CliRunner().invoke(command, ["retry", job.id[:8]])
    assert told.exit_code == 0 and f"job {job.id} continues, with" in told.output, told.output
    with pytest.raises(JobFailed):
        job.wait(180)
    cured.touch()
    api = Api(app)
    answer = api.answer(Request("POST", f"/jobs/{job.id}/retry", may_change=True))
    found = json.loads(answer.body)
    assert (answer.status, found["job"], found["what"]) == (200, job.id, "resumed")
    job.wait(180)
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)
    assert api.answer(Request("POST", f"/jobs/{job.id}/retry", may_change=True)).status == 409
    assert api.answer(Request("POST", f"/jobs/{job.id}/retry")).status == 403
    assert api.answer(Request("POST", f"/jobs/{job.id}/retry", may_change=True, owner="bob")).status == 404
    told = CliRunner().invoke(command, ["retry", job.id])
    assert told.exit_code == 9 and "nothing to try again" in told.output
    assert job.info().state is JobState.DONE
