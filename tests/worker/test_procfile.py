"""The Procfile under honcho: the worker scales, Ctrl-C ends all processes, and no block is lost or repeated."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from celery import Celery
from numpy.typing import NDArray
from skimage import data

import lepton_celery as lepton
from lepton_celery import create_app
from lepton_celery.config import load_settings
from lepton_celery.jobs.job import Job
from lepton_celery.local.server import RedisServer, free_port
from lepton_celery.planning.batches import batches, places_between
from tests.waiting import eventually

pytestmark = pytest.mark.worker

ROOT = Path(__file__).parents[2]
BLOCK = (96, 96)


class Honcho:
    """A running `honcho start` in this checkout."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def pool_size(self) -> int:
        """Number of pool processes of the worker that scales."""
        workers = [process for process in self.descendants() if is_worker(process)]
        return sum(process.ppid() in {other.pid for other in workers} for process in workers)

    def runs(self) -> list[str]:
        """Ids of all batches that workers received, in order and with repetitions."""
        return re.findall(r"Task lepton\.process\[([^\]]+)\] received", self.log)

    def stop(self) -> None:
        """Send Ctrl-C, and check that no process is left."""
        descendants = self.descendants()
        assert len(descendants) >= 8
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(180) == 130
        _, left = psutil.wait_procs(descendants, 180)
        assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]


def is_worker(process: psutil.Process) -> bool:
    try:
        return "--hostname=worker@%h" in process.cmdline()
    except psutil.Error:
        return False


@pytest.fixture(scope="module")
def environment(broker: RedisServer) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LEPTON_", "CELERY_"))}
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LEPTON_SETTINGS": "test",
        "LEPTON_BROKER_URL": broker.url,
        # nothing is repeated because processes are late
        "LEPTON_SWEEP_S": "5",
        "LEPTON_LEASE_S": "10",
        "AUTOSCALE_KEEPALIVE": "1",
        "LEPTON_TARGET_WAIT": "default=2s",
        "FLOWER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def app(broker: RedisServer) -> Celery:
    return create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": broker.url}))


@contextmanager
def honcho(environment: dict[str, str], log: Path) -> Iterator[Honcho]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["honcho", "start", "--env", os.devnull], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    running = Honcho(process, log)
    try:
        eventually(lambda: running.log.count(" ready.") == 2 and "Visit me at" in running.log, "the start")
        yield running
    finally:
        if process.poll() is None:
            left = running.descendants()
            process.kill()
            process.wait()
            for other in left:
                if other.is_running():
                    other.kill()


def submit(app: Celery, folder: Path, picture: NDArray[np.uint8]) -> tuple[Job, int]:
    """Submit a job whose blocks take 0.05 s until the file `enough` exists; the number of its batches."""
    np.save(folder / "input.npy", picture)
    source = lepton.open(folder / "input.npy")
    lazy = lepton.map_blocks("tests.faults.blocks:slow", source, seconds=0.05, until=str(folder / "enough"))
    job = lepton.submit({str(folder / "output.npy"): lazy}, app=app, block_shape=BLOCK, workers=16)
    plan = job.manifest().plan
    [stage] = plan.stages
    return job, len(batches(stage, plan.workers, places_between(0, len(stage.grid))))


def check(job: Job, folder: Path, picture: NDArray[np.uint8]) -> None:
    info = job.wait(180)
    assert info.blocks_done == info.blocks_total == info.dispatched
    # the ledger adds a block's figures with its first receipt only: each block was written, none counts twice
    assert info.stats["write_bytes"] == picture.nbytes
    assert np.array_equal(np.load(folder / "output.npy"), 255 - picture)


@pytest.fixture(scope="module")
def running(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Honcho]:
    with honcho(environment, tmp_path_factory.mktemp("honcho") / "log") as running:
        yield running


def test_the_worker_grows_under_a_backlog_and_shrinks_after_it(running: Honcho, app: Celery, tmp_path: Path) -> None:
    picture = np.tile(data.camera(), (4, 4))
    assert running.pool_size() == 1
    job, messages = submit(app, tmp_path, picture)
    assert messages >= 12
    eventually(lambda: running.pool_size() == 4, "growing")
    (tmp_path / "enough").touch()
    check(job, tmp_path, picture)
    # every batch came to a worker once and was finished there: nothing was lost, repaired or repeated
    runs = running.runs()
    assert len(runs) == len(set(runs)) >= messages  # a batch may be cut where a wave ends
    eventually(
        lambda: len(re.findall(r"Task lepton\.process\[[^\]]+\] succeeded", running.log)) == len(runs), "reporting"
    )
    assert "sent again" not in running.log
    eventually(lambda: running.pool_size() == 1, "shrinking")
    assert "WorkerLost" not in running.log


def test_the_example_of_the_compose_file_runs(running: Honcho, environment: dict[str, str], tmp_path: Path) -> None:
    script = ROOT / "compose" / "example" / "start"
    done = subprocess.run(
        [script, str(tmp_path), "256"], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "galaxies.zarr").is_dir()


def test_ctrl_c_in_the_middle_of_a_job_loses_nothing(
    running: Honcho, environment: dict[str, str], app: Celery, tmp_path: Path
) -> None:
    picture = np.tile(data.camera(), (4, 4))
    job, _ = submit(app, tmp_path, picture)
    eventually(lambda: job.info().blocks_done > 0, "the beginning")
    running.stop()
    assert "Soft Shutdown, terminating in 3.0 seconds" in running.log
    assert "WorkerLost" not in running.log
    assert 0 < job.info().blocks_done < job.info().blocks_total
    (tmp_path / "enough").touch()
    with honcho(environment, tmp_path / "log") as again:
        check(job, tmp_path, picture)
        again.stop()
