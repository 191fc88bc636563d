"""Blocks have the same name everywhere: users see the index in the grid and the region, never the place in the ledger.

The blocks here are done column by column, so that a block's place is not its index: block 7 of the grid is in place 13.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lepton_celery as lepton
from lepton_celery.errors import JobFailed
from lepton_celery.grid import Region
from lepton_celery.ledger import open_ledger
from lepton_celery.local.stack import LocalStack
from lepton_celery.planning import sizes
from tests.acceptance import commands
from tests.stacks import some_workers
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker

SIDE, BLOCK = 256, 64
BRIGHT = (70, 200)
"""The pixel of 255, in block 7."""
NAME = "block 7 [64:128, 192:256]"
PLACE = 13


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A worker of two processes with little memory."""
    env = {"LEPTON_MEMORY_LIMIT_BYTES": str(200 << 20)}
    with some_workers(tmp_path_factory.mktemp("stack"), concurrency=2, env=env) as stack:
        yield stack


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    """An image with one bright pixel, whose blocks are planned column by column."""
    monkeypatch.setattr(sizes, "runs", lambda counts, size: (counts[0], 1))
    pixels = np.full((SIDE, SIDE), 40, np.uint8)
    pixels[BRIGHT] = 255
    np.save(tmp_path / "input.npy", pixels)
    return pixels


def submit(
    tmp_path: Path, stack: LocalStack, function: str, *, on_error: Any = "fail", **parameters: Any
) -> lepton.Job:
    source = lepton.open(tmp_path / "input.npy")
    lazy = lepton.map_blocks(f"tests.faults.blocks:{function}", source, **parameters)
    output = {str(tmp_path / "o.npy"): lazy}
    job = lepton.submit(output, app=app_of(stack), block_shape=(BLOCK, BLOCK), on_error=on_error)
    (stage,) = job.manifest().plan.stages
    assert stage.tile == (SIDE // BLOCK, 1)
    return job


def log_of(stack: LocalStack) -> str:
    return (stack.logs / "worker-1.log").read_text()


def status_of(job: lepton.Job, stack: LocalStack, tmp_path: Path) -> str:
    done = commands.lepton("status", job.id, cwd=tmp_path, LEPTON_BROKER_URL=stack.broker_url)
    return done.stdout + done.stderr


@pytest.mark.usefixtures("image")
def test_a_block_that_fails_has_its_name_in_the_log_the_error_and_the_status(stack: LocalStack, tmp_path: Path) -> None:
    job = submit(tmp_path, stack, "raises")
    with pytest.raises(JobFailed) as caught:
        job.wait(180)
    assert str(caught.value) == f"{NAME} of stage 1/1: ValueError: a bright pixel"
    assert (caught.value.stage, caught.value.block) == (0, 7)
    assert job.info().error_place == PLACE
    assert f"job {job.id}: {NAME} of stage 1/1 failed" in log_of(stack)
    status = status_of(job, stack, tmp_path)
    assert "block    7 [64:128, 192:256]" in status
    assert f"failed: {NAME} of stage 1/1: ValueError: a bright pixel" in status


def test_a_filled_block_has_its_name_in_the_log_the_report_and_the_status(
    stack: LocalStack, tmp_path: Path, image: NDArray[np.uint8]
) -> None:
    job = submit(tmp_path, stack, "raises", on_error="fill")
    job.wait(180)
    (filled,) = job.filled_blocks()
    assert (filled.stage, filled.block, filled.region) == (0, 7, Region((64, 192), (128, 256)))
    (recorded,) = open_ledger(stack.broker_url).filled_blocks(job.id)
    assert recorded.place == PLACE
    assert f"job {job.id}: {NAME} of stage 1/1 is filled: ValueError: a bright pixel" in log_of(stack)
    assert f"filled   {NAME} after" in status_of(job, stack, tmp_path)
    expected = 255 - image
    expected[64:128, 192:256] = 0
    assert np.array_equal(np.load(tmp_path / "o.npy"), expected)


def test_a_block_that_needs_too_much_memory_has_its_name_in_the_log(
    stack: LocalStack, tmp_path: Path, image: NDArray[np.uint8]
) -> None:
    job = submit(tmp_path, stack, "hungry", bytes_per_pixel=100_000, log=str(tmp_path / "runs"))
    job.wait(180)
    log = log_of(stack)
    assert f"job {job.id}: {NAME} of stage 1/1 failed" in log
    assert "MemoryError" in log and "the block is not computed in pieces" in log
    assert np.array_equal(np.load(tmp_path / "o.npy"), image - 40)


@pytest.mark.usefixtures("image")
def test_a_block_that_kills_its_worker_has_its_name_in_the_error(stack: LocalStack, tmp_path: Path) -> None:
    job = submit(tmp_path, stack, "dies")
    with pytest.raises(JobFailed) as caught:
        job.wait(180)
    assert str(caught.value).startswith(f"{NAME} of stage 1/1: it took its worker down 4 times")
    assert caught.value.block == 7


@pytest.mark.usefixtures("image")
def test_a_batch_that_cannot_read_its_input_names_its_first_block(stack: LocalStack, tmp_path: Path) -> None:
    job = submit(tmp_path, stack, "missing", path=str(tmp_path / "nothing"))
    with pytest.raises(JobFailed) as caught:
        job.wait(180)
    assert str(caught.value).startswith(f"{NAME} of stage 1/1: ")
    assert caught.value.block == 7
