"""File systems that stop answering: clients give up in time, and workers end the process that waits and say why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery.doctor.folders import answer_probe
from lepton_celery.errors import JobFailed, StoreTimeout
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.stores.stalls import answered
from tests.faults.dead_mount import DeadMount, mounted
from tests.waiting import eventually
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker

TIMEOUT_S = 1.0
SIDE, BLOCK = 1024, 256
IMAGE = np.arange(SIDE * SIDE, dtype=np.float64).reshape(SIDE, SIDE) % 251


@pytest.fixture
def mount(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[DeadMount]:
    source = tmp_path / "served"
    source.mkdir()
    np.save(source / "a.npy", IMAGE)
    lepton.run({str(source / "a.zarr"): lepton.open(IMAGE)}, block_shape=(BLOCK, BLOCK))
    try:
        with mounted(source, tmp_path / "mount", flushes=getattr(request, "param", False)) as mount:
            yield mount
    except PermissionError as error:
        pytest.skip(f"this user cannot mount a file system ({error})")


def seconds_until_timeout(call: Callable[[], Any]) -> float:
    """How long a call takes that must fail because a file system does not answer; an endless one fails the test."""
    began, errors = time.monotonic(), []

    def run() -> None:
        with pytest.raises(StoreTimeout, match="does not answer") as caught:
            call()
        errors.append(caught.value)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20 * TIMEOUT_S)
    assert errors, "it still waits, or said something else"
    return time.monotonic() - began


@pytest.mark.parametrize("name", ["a.npy", "a.zarr"])
def test_clients_give_up(name: str, mount: DeadMount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_STORE_TIMEOUT_S", str(TIMEOUT_S))
    image = lepton.open(mount.folder / name)
    mount.stop()
    output = str(tmp_path / "o.npy")
    calls: list[Callable[[], Any]] = [
        lambda: lepton.open(mount.folder / name),
        lambda: lepton.run({output: image + 1}),
        lambda: lepton.run({str(mount.folder / "o.npy"): lepton.open(IMAGE) + 1}),
    ]
    for call in calls:
        assert seconds_until_timeout(call) < 15 * TIMEOUT_S
    assert answer_probe(str(mount.folder), "0" * 32, "w", ())["kind"] == "dead"
    mount.go_on()
    assert lepton.open(mount.folder / name).shape == IMAGE.shape


def test_a_slow_file_is_not_a_dead_one() -> None:
    def busy() -> int:
        until = time.monotonic() + 2 * TIMEOUT_S
        while time.monotonic() < until:
            sum(range(1000))
        return 7

    assert answered("f", busy, TIMEOUT_S) == 7
    with pytest.raises(ZeroDivisionError):  # an error of the call is the caller's
        answered("f", lambda: 1 // 0, TIMEOUT_S)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    env = {"LEPTON_STORE_TIMEOUT_S": str(TIMEOUT_S), "LEPTON_MAX_ATTEMPTS": "2"}
    with LocalStack(
        tmp_path / "stack", workers=1, concurrency=2, flower=False, project=Project(settings="test", env=env)
    ) as stack:
        yield stack


def submit(stack: LocalStack, mount: DeadMount, name: str, folder: Path) -> lepton.Job:
    """A job that waits until the file `go` exists once it has done some of its blocks."""
    image = lepton.open(mount.folder / name) % 7
    slow = lepton.map_blocks("tests.faults.blocks:slow", image, seconds=0.3, until=str(folder / "go"))
    return lepton.submit({str(folder / "o.npy"): slow}, app=app_of(stack), block_shape=(BLOCK, BLOCK))


@pytest.mark.parametrize("name", ["a.npy", "a.zarr"])
def test_a_job_whose_input_is_dead_fails_and_says_so(
    name: str, stack: LocalStack, mount: DeadMount, tmp_path: Path
) -> None:
    job = submit(stack, mount, name, tmp_path)
    eventually(lambda: job.info().blocks_done >= 2)
    mount.stop()
    with pytest.raises(
        JobFailed, match=r"block .* of stage 1.*reading or writing .*mount/a.* made no progress for 1 s"
    ):
        job.wait(180)
    (tmp_path / "go").touch()
    honest = lepton.submit({str(tmp_path / "honest.npy"): lepton.open(IMAGE) + 1}, app=app_of(stack))
    honest.wait(180)  # the worker has processes again
    mount.go_on()
    lepton.resume(job.id, app=app_of(stack)).wait(180)
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - IMAGE % 7)


@pytest.mark.parametrize("mount", [True], indirect=True)
def test_a_job_ends_also_if_the_kernel_keeps_the_processes(stack: LocalStack, mount: DeadMount, tmp_path: Path) -> None:
    job = submit(stack, mount, "a.npy", tmp_path)
    eventually(lambda: job.info().blocks_done >= 2)
    mount.stop()
    with pytest.raises(JobFailed, match=r"mount/a.npy made no progress for 1 s: .*; nobody else has worked on it"):
        job.wait(180)


def test_a_mount_that_comes_back_costs_attempts_only(stack: LocalStack, mount: DeadMount, tmp_path: Path) -> None:
    job = submit(stack, mount, "a.npy", tmp_path)
    eventually(lambda: job.info().blocks_done >= 2)
    mount.stop()
    log = stack.logs / "worker-1.log"
    eventually(lambda: "made no progress" in log.read_text())
    mount.go_on()
    (tmp_path / "go").touch()
    job.wait(180)
    assert np.array_equal(np.load(tmp_path / "o.npy"), 255 - IMAGE % 7)
