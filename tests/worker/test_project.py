"""Jobs in a project's own Celery application, with settings that are legal and unhelpful."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import redis
from celery import Celery
from kombu.utils.scheduling import round_robin_cycle
from skimage import data
from skimage import filters as sk_filters

import lepton_celery as lepton
from lepton_celery.engines.celery.worker.lane_order import LaneCycle
from lepton_celery.ledger.info import JobState
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack, Project
from tests.acceptance.commands import ROOT, environment
from tests.stacks import short_lived
from tests.waiting import eventually

pytestmark = pytest.mark.worker

HOSTILE = """
import os
from celery import Celery
from kombu import Queue
from lepton_celery import configure

BROKER = os.environ["PROJECT_BROKER"]
app = Celery("project", broker=BROKER, backend="file://" + os.environ["PROJECT_RESULTS"], set_as_current=False)
app.conf.update(
    enable_utc=False,
    timezone="Asia/Kathmandu",
    worker_prefetch_multiplier=8,
    worker_send_task_events=False,
    task_send_sent_event=False,
    task_ignore_result=False,
    task_acks_late=False,
    task_reject_on_worker_lost=False,
    task_acks_on_failure_or_timeout=False,
    task_track_started=True,
    task_time_limit=60,
    task_store_errors_even_if_ignored=True,
    task_serializer="yaml",
    result_serializer="yaml",
    accept_content=["yaml", "json"],
    result_expires=60,
    worker_max_tasks_per_child=10,  # Celery takes up to 5 s to replace a process
    worker_enable_remote_control=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_soft_shutdown_timeout=0.0,
    broker_connection_max_retries=3,
    broker_transport_options={"global_keyprefix": "proj_", "visibility_timeout": 7200},
    result_backend_transport_options={"global_keyprefix": "proj_"},
    task_default_priority=6,
    task_routes={"*": {"queue": "project"}},
    task_default_queue="project",
    task_queues=[Queue(name) for name in ("project", "lepton.batch", "lepton.default", "lepton.interactive")],
)
configure(app)


@app.task(name="project.add", shared=False)
def add(a, b):
    return a + b
"""


@dataclass
class Site:
    """A server, workers that run the project, and what the project's module defines in this process."""

    server: RedisServer
    stack: LocalStack
    names: dict[str, Any]
    env: dict[str, str]
    folder: Path

    @property
    def app(self) -> Celery[Any]:
        app: Celery[Any] = self.names["app"]
        return app


@contextmanager
def running(folder: Path) -> Iterator[Site]:
    """The project with two workers of one process each."""
    (folder / "project.py").write_text(HOSTILE)
    (folder / "results").mkdir()
    with RedisServer(folder / "server") as server, pytest.MonkeyPatch.context() as patch:
        env = {
            "PROJECT_BROKER": server.url,
            "PROJECT_RESULTS": str(folder / "results"),
            "LEPTON_LEDGER_URL": server.url.removesuffix("/0") + "/3",
            "LEPTON_ALLOWED_FUNCTIONS": "tests.faults.blocks:*",
            "PYTHONPATH": str(ROOT),
            "LEPTON_LEASE_S": "3",
            "LEPTON_SWEEP_S": "0.5",
        }
        for name, value in env.items():
            patch.setenv(name, value)
        names: dict[str, Any] = {"__name__": "project"}
        exec(HOSTILE, names)
        project = Project(app="project", settings="", env=env, cwd=folder)
        stack = LocalStack(folder / "stack", workers=2, flower=False, broker_url=server.url, project=project)
        with short_lived(stack):
            yield Site(server, stack, names, env, folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("project")) as site:
        yield site


def slow(site: Site, tmp_path: Path, side: int, seconds: float, **options: Any) -> tuple[lepton.Job, Path]:
    """Submit a job whose blocks sleep until a file exists; the job and the file."""
    np.save(tmp_path / "input.npy", np.full((side, side), 40, np.uint8))
    enough = tmp_path / "enough"
    source = lepton.open(tmp_path / "input.npy")
    image = lepton.map_blocks("tests.faults.blocks:slow", source, seconds=seconds, until=str(enough))
    output = {str(tmp_path / "slow.npy"): image}
    return lepton.submit(output, app=site.app, block_shape=(64, 64), **options), enough


def test_an_interactive_job_overtakes_a_batch_job_whose_messages_the_workers_hold(site: Site, tmp_path: Path) -> None:
    batch, enough = slow(site, tmp_path, 2048, 0.4, priority="batch", workers=16)  # takes 205 s
    eventually(lambda: batch.info().blocks_done > 0)
    quick = {str(tmp_path / "quick.npy"): ~lepton.open(data.coins())}
    lepton.submit(quick, app=site.app, priority="interactive").wait(180)
    assert batch.info().state is JobState.RUNNING
    enough.touch()
    batch.cancel()


def test_the_commands_of_the_project_use_its_broker_and_its_ledger(site: Site, tmp_path: Path) -> None:
    np.save(tmp_path / "coins.npy", data.coins())
    command = [sys.executable, "-m", "celery", "-A", "project", "lepton"]
    run = partial(
        subprocess.run,
        cwd=tmp_path,
        env=environment(**site.env) | {"PYTHONPATH": f"{site.folder}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    ran = run([*command, "run", "coins.npy", "o.npy", "gaussian:sigma=2"])
    assert ran.returncode == 0, ran.stderr
    assert np.array_equal(np.load(tmp_path / "o.npy"), sk_filters.gaussian(data.coins(), sigma=2))
    assert "o.npy" in run([*command, "jobs"]).stdout


def test_workers_tell_which_settings_make_jobs_worse(site: Site) -> None:
    log = (site.stack.logs / "worker-1.log").read_text()
    assert "prefetch: it holds batches that other workers could do; start the worker of the lanes with" in log
    assert "set worker_soft_shutdown_timeout = 5" in log


def test_a_job_survives_kill_9_in_a_project_with_hostile_settings(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    with running(tmp_path / "site") as site:
        job, enough = slow(site, tmp_path, 512, 0.1)
        added = site.names["add"].delay(1, 2)
        first, second = (psutil.Process(p.pid) for p in site.stack.processes if p.name.startswith("worker"))
        for done in (4, 8):
            eventually(lambda done=done: job.info().blocks_done >= done)  # type: ignore[misc]
            for child in first.children():
                child.send_signal(signal.SIGKILL)
        assert added.get(timeout=180) == 3
        second.kill()
        enough.touch()
        info = job.wait(180)
        assert info.state is JobState.DONE
        assert np.array_equal(np.load(tmp_path / "slow.npy"), 255 - np.load(tmp_path / "input.npy"))
        assert info.blocks_done == info.blocks_total == 64
        with redis.Redis.from_url(site.server.url, decode_responses=True) as broker:
            assert all(key.startswith("proj_") for key in broker.scan_iter())  # the ledger is another database


def test_lanes_exchange_their_turns_and_other_queues_keep_theirs() -> None:
    cycle = LaneCycle(round_robin_cycle(["a", "lepton.batch", "b", "lepton.interactive", "lepton.default"]))
    turns = []
    for _ in range(5):
        turns.append(cycle.consume(5))
        cycle.rotate(turns[-1][0])  # whoever is asked first has a message
    assert turns[0] == ["a", "lepton.interactive", "b", "lepton.default", "lepton.batch"]
    for turn in turns:
        assert [name for name in turn if "." in name] == ["lepton.interactive", "lepton.default", "lepton.batch"]
    assert [turn[0] for turn in turns] == ["a", "lepton.interactive", "b", "lepton.interactive", "lepton.interactive"]
    cycle.update(["lepton.default", "x"])
    assert cycle.consume(2) == ["lepton.default", "x"]
