"""Jobs on real workers with blocks that fail, and lost ledgers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from celery import Celery
from numpy.typing import NDArray
from scipy import ndimage
from skimage import filters as sk_filters

import lepton_celery as lepton
from lepton_celery.config import Settings, load_settings
from lepton_celery.errors import InputError, JobError, JobFailed, JobNotFound
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack
from lepton_celery.skimage import filters
from tests.faults.blocks import above_minimum
from tests.stacks import some_workers
from tests.waiting import eventually
from tests.worker.conftest import app_of
from tests.worker.dark_images import BLOCK, SIDE, left_behind, mapped, submit

pytestmark = pytest.mark.worker

ATTEMPTS = 3
"""Attempts that a block has on `crashing`."""


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A worker of two processes with little memory, for blocks that end their process."""
    env = {"LEPTON_MEMORY_LIMIT_BYTES": str(50 << 20), "LEPTON_MAX_ATTEMPTS": str(ATTEMPTS)}
    with some_workers(tmp_path_factory.mktemp("crashing"), concurrency=2, env=env) as stack:
        yield stack


def log_of(stack: LocalStack) -> str:
    return (stack.logs / "worker-1.log").read_text()


# ------------------------------------------------------------------------------------------------ blocks that fail


@pytest.mark.usefixtures("dark")
def test_a_block_that_always_fails_ends_the_job_with_its_error(app: Celery, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    job = submit(tmp_path, app, mapped(tmp_path, "raises", log=str(runs)))
    with pytest.raises(
        JobFailed, match=r"block 7 \[64:128, 192:256\] of stage 1/1: ValueError: a bright pixel"
    ) as caught:
        job.wait(180)
    assert caught.value.block == 7
    assert Counter(runs.read_text().split())["7"] == load_settings({"LEPTON_SETTINGS": "test"}).max_attempts
    job.forget()
    eventually(lambda: left_behind(tmp_path) == [])


@pytest.mark.usefixtures("dark")
@pytest.mark.parametrize("on_error", ["fail", "fill"])
def test_an_error_whose_message_has_a_lone_surrogate_keeps_its_reason(
    app: Celery, tmp_path: Path, on_error: Literal["fail", "fill"]
) -> None:
    job = submit(tmp_path, app, mapped(tmp_path, "raises_undecodable"), on_error=on_error)
    if on_error == "fail":
        with pytest.raises(JobFailed, match=r"block 7 .* ValueError: caf\\udce9\.tif$"):
            job.wait(180)
    else:
        job.wait(180)
        (filled,) = job.filled_blocks()
        assert filled.reason == "ValueError: caf\\udce9.tif"


def test_a_warning_whose_message_has_a_lone_surrogate_is_told(
    app: Celery, tmp_path: Path, dark: NDArray[np.uint8]
) -> None:
    job = submit(tmp_path, app, mapped(tmp_path, "warns_undecodable"))
    with pytest.warns(UserWarning, match=r"caf\\udce9\.tif"):
        job.result(30)
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)


def test_a_block_that_fails_is_filled_and_reported(app: Celery, tmp_path: Path, dark: NDArray[np.uint8]) -> None:
    image = mapped(tmp_path, "raises")
    outputs = {str(tmp_path / "o.npy"): image, str(tmp_path / "sum.csv"): image.sum()}
    job = lepton.submit(outputs, app=app, block_shape=(BLOCK, BLOCK), on_error="fill", fill_value=9)
    result = job.result(30)
    expected = 255 - dark
    expected[64:128, 192:256] = 9
    assert np.array_equal(np.load(tmp_path / "o.npy"), expected)
    assert result[str(tmp_path / "sum.csv")]["value"] == [expected.sum()]  # of the filled image
    (filled,) = job.filled_blocks()
    assert (filled.stage, filled.block, filled.reason) == (0, 7, "ValueError: a bright pixel")
    assert job.info().filled == 1
    assert str(job.region(filled.stage, filled.block)) == str(filled.region) == "[64:128, 192:256]"


def test_a_block_that_kills_its_worker_costs_no_other_block(
    crashing: LocalStack, tmp_path: Path, dark: NDArray[np.uint8]
) -> None:
    job = submit(tmp_path, app_of(crashing), mapped(tmp_path, "dies"), on_error="fill")
    job.wait(180)
    (filled,) = job.filled_blocks()
    assert (filled.block, filled.attempts) == (7, ATTEMPTS)
    assert f"took its worker down {ATTEMPTS} times" in filled.reason
    expected = 255 - dark
    expected[64:128, 192:256] = 0
    assert np.array_equal(np.load(tmp_path / "o.npy"), expected)


@pytest.mark.parametrize("on_error", ["fail", "fill"])
def test_a_job_all_of_whose_blocks_kill_their_workers_is_stopped(
    crashing: LocalStack, tmp_path: Path, on_error: Literal["fail", "fill"]
) -> None:
    np.save(tmp_path / "input.npy", np.full((1024, 1024), 255, np.uint8))
    before = log_of(crashing)
    job = submit(tmp_path, app_of(crashing), mapped(tmp_path, "dies"), on_error=on_error)
    stopped = r"blocks each ended the worker process that worked on them alone, and only \d"
    given_up = "it took its worker down" if on_error == "fail" else stopped  # whichever comes first
    with pytest.raises(JobFailed, match=f"{stopped}|{given_up}"):
        job.wait(180)
    deaths = log_of(crashing).removeprefix(before).count("exited with 'signal 9")
    # 12 blocks alone, and the batches before them, instead of three for each of 256 blocks
    assert ATTEMPTS <= deaths < 4 * ATTEMPTS + 64 + 8


@pytest.mark.timeout(900)  # workers start again 16 times
def test_a_job_all_of_whose_blocks_end_whole_workers_is_stopped(tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", np.full((512, 512), 255, np.uint8))
    env = {"LEPTON_MAX_ATTEMPTS": "2", "LEPTON_LEASE_S": "0.6", "LEPTON_SWEEP_S": "0.2"}
    with some_workers(tmp_path / "stack", 2, concurrency=2, env=env) as stack:
        job = submit(tmp_path, app_of(stack), mapped(tmp_path, "ends_worker"), on_error="fill")
        workers = [process for process in stack.processes if process.name.startswith("worker")]
        deaths = 0
        while job.info().state.is_open:
            for number, dead in enumerate(workers):
                if not dead.is_running:  # a supervisor starts it again
                    workers[number] = replace(dead)
                    workers[number].start()
                    deaths += 1
            time.sleep(0.1)
        for worker in workers:
            worker.kill()
        with pytest.raises(JobFailed, match="blocks each ended the worker process that worked on them alone"):
            job.wait(1)
    # each of 8 blocks twice, instead of each of 64 blocks twice
    assert deaths < 40


def test_some_blocks_that_kill_their_workers_stop_no_job(crashing: LocalStack, tmp_path: Path) -> None:
    image = np.full((1024, 1024), 40, np.uint8)
    killers = [(row, column) for row in range(0, 16, 4) for column in range(0, 16, 4)]
    for row, column in killers:
        image[row * BLOCK + 3, column * BLOCK + 3] = 255
    np.save(tmp_path / "input.npy", image)
    job = submit(tmp_path, app_of(crashing), mapped(tmp_path, "dies"), on_error="fill")
    job.wait(180)
    assert len(job.filled_blocks()) == len(killers) > Settings(max_attempts=ATTEMPTS).max_killers
    expected = 255 - image
    for row, column in killers:
        expected[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK] = 0
    assert np.array_equal(np.load(tmp_path / "o.npy"), expected)


def test_a_slow_block_is_duplicated_and_the_first_receipt_counts(tmp_path: Path, dark: NDArray[np.uint8]) -> None:
    runs, env = tmp_path / "runs", {"LEPTON_DUPLICATE_AFTER": "6"}  # 3 s
    with some_workers(tmp_path / "stack", concurrency=2, env=env) as stack:
        job = submit(tmp_path, app_of(stack), mapped(tmp_path, "late", seconds=600.0, log=str(runs)))
        info = job.wait(180)
    assert info.blocks_done == 16
    assert info.filled == 0
    assert runs.read_text().split() == ["7", "7"]
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)


def test_a_job_whose_blocks_all_fail_is_stopped(app: Celery, tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", np.full((1024, 1024), 255, np.uint8))
    job = submit(tmp_path, app, mapped(tmp_path, "raises"), on_error="fill")
    with pytest.raises(JobFailed, match="blocks done so far were given up, the last one: ValueError: a bright pixel"):
        job.wait(180)
    assert len(job.filled_blocks()) < 64
    job.forget()


@pytest.mark.parametrize(("function", "parameters"), [("dies_twice", {}), ("hungry", {"bytes_per_pixel": 100_000})])
def test_a_users_function_gets_the_blocks_asked_for_after_two_failures(
    crashing: LocalStack, tmp_path: Path, dark: NDArray[np.uint8], function: str, parameters: dict[str, Any]
) -> None:
    """Its worker has died twice, or memory was short, but the function may depend on the whole block."""
    runs, before = tmp_path / "runs", log_of(crashing)
    submit(tmp_path, app_of(crashing), mapped(tmp_path, function, log=str(runs), **parameters)).wait(180)
    log = log_of(crashing).removeprefix(before)
    assert runs.read_text().split() == ["7"] * 3
    assert not re.search(r"in \d+ pieces", log)
    expected = np.empty_like(dark)
    for row in range(0, SIDE, BLOCK):
        for column in range(0, SIDE, BLOCK):
            block = np.s_[row : row + BLOCK, column : column + BLOCK]
            expected[block] = above_minimum(dark[block])
    assert np.array_equal(np.load(tmp_path / "o.npy"), expected)


def test_a_block_that_needs_too_much_memory_is_done_in_pieces(crashing: LocalStack, tmp_path: Path) -> None:
    np.save(tmp_path / "input.npy", np.random.default_rng(1).integers(0, 255, (2048, 2048), np.uint8))
    smooth = filters.gaussian(lepton.open(tmp_path / "input.npy"), sigma=1)
    # 60 MB as a whole: the result takes 32 MB, and as much the image in its precision
    outputs = {str(tmp_path / "o.npy"): smooth}
    info = lepton.submit(outputs, app=app_of(crashing), block_shape=(2048, 2048)).wait(180)
    assert re.search(r"needs too much memory; in (4|16) pieces", log_of(crashing))
    assert info.filled == 0
    assert np.array_equal(np.load(tmp_path / "o.npy"), sk_filters.gaussian(np.load(tmp_path / "input.npy"), sigma=1))


def test_a_block_that_holds_the_gil_keeps_its_lease(app: Celery, tmp_path: Path, dark: NDArray[np.uint8]) -> None:
    runs = tmp_path / "runs"
    lease_s = load_settings({"LEPTON_SETTINGS": "test"}).lease_s
    submit(tmp_path, app, mapped(tmp_path, "stubborn", seconds=2.5 * lease_s, log=str(runs))).wait(180)
    assert runs.read_text().split() == ["7"]
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)


@pytest.mark.usefixtures("dark")
def test_a_block_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    env = {"LEPTON_BLOCK_LIMIT_S": "1", "LEPTON_MAX_ATTEMPTS": "2"}
    runs = tmp_path / "runs"
    with some_workers(tmp_path / "stack", concurrency=2, env=env) as stack:
        job = submit(tmp_path, app_of(stack), mapped(tmp_path, "stubborn", seconds=60, log=str(runs)))
        with pytest.raises(JobFailed, match=r"block 7 .* ran longer than 1 s"):
            job.wait(180)
        assert "Timeout (0:00:01" in log_of(stack)
    assert runs.read_text().split() == ["7", "7"]


# ------------------------------------------------------------------------------------------------ lost ledgers


def test_jobs_go_on_after_their_ledger_was_lost(tmp_path: Path, dark: NDArray[np.uint8]) -> None:
    cured = tmp_path / "cured"
    jobs: dict[str, lepton.Job] = {}
    with some_workers(tmp_path / "a") as stack:
        for by in ("output", "folder"):
            (tmp_path / by).mkdir()
            image = mapped(tmp_path, "raises", log=str(tmp_path / by / "runs"), cured=str(cured))
            smooth = lepton.map_blocks("scipy.ndimage:gaussian_filter", image - image.min(), halo=9, sigma=2)
            jobs[by] = submit(tmp_path / by, app_of(stack), smooth)
            with pytest.raises(JobFailed):
                jobs[by].wait(180)
    cured.touch()
    inverted = 255 - dark
    expected = ndimage.gaussian_filter(inverted - inverted.min(), sigma=2)
    with some_workers(tmp_path / "b") as stack:
        for by, job in jobs.items():
            folder, runs = tmp_path / by, tmp_path / by / "runs"
            before = len(runs.read_text().split())
            at = folder / ("o.npy" if by == "output" else f".lepton-{job.id}")
            resumed = lepton.resume(at, app=app_of(stack))
            assert resumed.id == job.id
            assert (info := resumed.info()).stage or info.blocks_done >= 8  # the first stage may have ended by now
            resumed.wait(180)
            # the first stage's missing blocks, then the second stage
            assert len(runs.read_text().split()) < before + 16 + 16
            assert np.array_equal(np.load(folder / "o.npy"), expected)


def test_the_same_work_submitted_again_goes_on_where_it_stopped(
    app: Celery, tmp_path: Path, dark: NDArray[np.uint8]
) -> None:
    runs, cured = tmp_path / "runs", tmp_path / "cured"
    image = mapped(tmp_path, "raises", log=str(runs), cured=str(cured))
    first = submit(tmp_path, app, image)
    with pytest.raises(JobFailed):
        first.wait(180)
    with pytest.raises(InputError, match="functions, their parameters or the blocks"):
        submit(tmp_path, app, mapped(tmp_path, "counted", log=str(runs)), resume=True)
    cured.touch()
    again = submit(tmp_path, app, image, resume=True)
    assert again.id == first.id
    again.wait(180)
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)
    assert len([run for run in runs.read_text().split() if run != "7"]) == 15


@pytest.mark.usefixtures("dark")
def test_a_submitter_that_dies_leaves_a_job_that_never_runs(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "server") as server:
        app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": server.url}))
        job = submit(tmp_path, app, mapped(tmp_path, "slow", seconds=0))
        job.cancel()
        # as a kill during `submit` leaves the job: recorded and paused, with its inputs not in place
        job = submit(tmp_path, app, mapped(tmp_path, "slow", seconds=0))
        shutil.rmtree(tmp_path / f".lepton-{job.id}" / "stages")
        job._records.forget(job.id)
        with pytest.raises(JobError, match="never submitted as a whole"):
            lepton.resume(tmp_path / "o.npy", app=app)
        assert job.id not in [
            info.job_id for info in lepton.list_jobs(settings=load_settings({"LEPTON_BROKER_URL": server.url}))
        ]


# ------------------------------------------------------------------------------------------------ retention and shutdown


@pytest.mark.usefixtures("dark")
def test_jobs_that_ended_long_ago_are_removed(tmp_path: Path) -> None:
    with some_workers(tmp_path / "stack", env={"LEPTON_RETENTION_S": "1"}) as stack:
        app = app_of(stack)
        done = lepton.submit({str(tmp_path / "done.npy"): ~lepton.open(tmp_path / "input.npy")}, app=app)
        failed = submit(tmp_path, app, mapped(tmp_path, "raises"))

        def is_forgotten(job: lepton.Job) -> bool:
            try:
                job.info()
            except JobNotFound:
                return True
            return False

        eventually(lambda: is_forgotten(done) and is_forgotten(failed))
        eventually(lambda: left_behind(tmp_path) == [])
    assert (tmp_path / "done.npy").exists()


def test_a_worker_that_is_told_to_stop_loses_nothing(tmp_path: Path, dark: NDArray[np.uint8]) -> None:
    """One of two workers gets SIGTERM in the middle of its batch, as in a deployment."""
    runs = tmp_path / "runs"
    with some_workers(tmp_path / "stack", 2) as stack:
        job = submit(tmp_path, app_of(stack), mapped(tmp_path, "slow", seconds=0.1, log=str(runs)))
        eventually(lambda: runs.exists() and len(runs.read_text().split()) >= 2)
        first = next(process.pid for process in stack.processes if process.name.startswith("worker"))
        assert first is not None
        os.kill(first, signal.SIGTERM)
        job.wait(180)
        batch_blocks = job.manifest().plan.stages[0].batch_blocks
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - dark)
    assert len(runs.read_text().split()) <= 16 + batch_blocks
