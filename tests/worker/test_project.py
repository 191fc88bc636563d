"""Jobs in a project's own Celery application, with settings that are legal and unhelpful."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import redis
from skimage import color as sk_color
from skimage import data
from skimage import filters as sk_filters

import lepton_celery as lepton
from lepton_celery.ledger.info import JobState
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import color, filters

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
    worker_max_tasks_per_child=3,
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


@app.task(name="project.add")
def add(a, b):
    return a + b
"""


def stack_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[LocalStack, dict[str, Any]]:
    """A stack whose workers run the project, and what the project's module defines in this process."""
    (tmp_path / "project.py").write_text(HOSTILE)
    (tmp_path / "results").mkdir()
    server = LocalStack(tmp_path / "server", workers=0, flower=False)
    server.start()
    env = {
        "PROJECT_BROKER": server.broker_url,
        "PROJECT_RESULTS": str(tmp_path / "results"),
        "LEPTON_LEDGER_URL": server.broker_url.removesuffix("/0") + "/3",
        "LEPTON_LEASE_S": "3",
        "LEPTON_SWEEP_S": "0.5",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {}
    exec(HOSTILE, names)
    project = Project(app="project", settings="", env=env, cwd=tmp_path)
    stack = LocalStack(tmp_path / "stack", flower=False, broker_url=server.broker_url, project=project, **options)
    names["server"] = server
    return stack, names


def test_a_job_survives_kill_9_in_a_project_with_hostile_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = np.tile(data.astronaut(), (2, 2, 1))
    np.save(tmp_path / "photo.npy", rgb)
    footprint = np.ones((9, 9))
    expected = sk_filters.median(sk_color.rgb2gray(rgb), footprint=footprint)
    stack, project = stack_of(tmp_path, monkeypatch, workers=2)
    try:
        with stack:
            image = filters.median(color.rgb2gray(lepton.open(tmp_path / "photo.npy")), footprint=footprint)
            output = tmp_path / "o.npy"
            job = lepton.submit({str(output): image}, app=project["app"], block_shape=(64, 64))
            assert project["add"].delay(1, 2).get(timeout=30) == 3
            first, second = (psutil.Process(p.pid) for p in stack.processes if p.name.startswith("worker"))
            killed, deadline = 0, time.monotonic() + 60
            while killed < 2:
                assert time.monotonic() < deadline
                if job.info().blocks_done >= 20 * (killed + 1):
                    for child in first.children():
                        child.send_signal(signal.SIGKILL)
                    killed += 1
                time.sleep(0.02)
            second.kill()
            info = job.wait(60)
            assert info.state is JobState.DONE
            assert np.array_equal(np.load(output), expected)
            assert info.blocks_done == info.blocks_total == 256
            with redis.Redis.from_url(project["server"].broker_url, decode_responses=True) as broker:
                assert all(key.startswith("proj_") for key in broker.scan_iter())  # the ledger is another database
    finally:
        project["server"].stop()
