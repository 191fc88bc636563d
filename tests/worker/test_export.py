"""The desired workers of lanes while real jobs run: from none to some, and back."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from celery import Celery
from skimage import data

import lepton_celery as lepton
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.fleet.policy import Limits
from lepton_celery.fleet.replicas import LaneFleet, Replicas
from lepton_celery.ledger import open_ledger
from tests.acceptance.commands import environment
from tests.server.test_export import get, metrics, served
from tests.waiting import eventually

pytestmark = pytest.mark.worker


@contextmanager
def held_job(app: Celery, folder: Path) -> Iterator[lepton.Job]:
    """A job of which two blocks run during the `with` block; then it is done."""
    begun, enough = folder / "begun", folder / "enough"
    np.save(folder / "input.npy", data.camera())
    held = lepton.map_blocks(
        "tests.faults.blocks:held", lepton.open(folder / "input.npy"), until=str(enough), log=str(begun)
    )
    job = lepton.submit({str(folder / "o.npy"): held}, app=app, block_shape=(64, 64), priority="batch")
    eventually(lambda: begun.exists() and begun.read_text().count("\n") >= 2, "two blocks at work")
    try:
        yield job
    finally:
        enough.touch()
    job.wait(180)


def test_a_lane_goes_from_none_to_some_and_back(app: Celery, tmp_path: Path) -> None:
    limits = Limits(minimum=0, maximum=4, reserved=0, period_s=0.1, hold_s=0.3)
    lanes = ("interactive", "default", "batch")
    replicas = Replicas(
        open_ledger(settings_of(app).ledger), {lane: LaneFleet(limits, 1.0, startup_s=0.1) for lane in lanes}
    )
    replicas.start()
    try:
        with served(replicas) as url:
            eventually(lambda: get(f"{url}/healthz") == (200, dict.fromkeys(lanes, 0)), "no desired worker")
            with held_job(app, tmp_path):
                eventually(lambda: get(f"{url}/keda/batch")[1]["desired"] >= 2, "desired workers")
                found = metrics(url)
                assert found["lepton_busy_slots", "batch"] == found["lepton_ready_slots", "batch"] == 2
                assert 0 < found["lepton_outstanding_blocks", "batch"] <= 64
                assert get(f"{url}/keda/default")[1]["desired"] == 0
            eventually(lambda: get(f"{url}/keda/batch")[1]["desired"] == 0, "no desired worker again")
            assert metrics(url)["lepton_outstanding_blocks", "batch"] == 0
    finally:
        replicas.stop()


def test_the_command_serves_until_ctrl_c(app: Celery, tmp_path: Path) -> None:
    log = tmp_path / "log"
    url = settings_of(app).broker_url
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["lepton", "autoscale", "--export", "--port", "0", "--max", "batch=3", "--period", "200ms"],
            cwd=tmp_path,
            env=environment(LEPTON_BROKER_URL=url, PYTHONUNBUFFERED="1"),
            stdout=file,
            stderr=file,
        )
    try:
        eventually(lambda: "/metrics" in log.read_text() or process.poll() is not None, "the address")
        [address] = re.findall(r"http://127\.0\.0\.1:\d+", log.read_text())
        with held_job(app, tmp_path):
            eventually(lambda: get(f"{address}/keda/batch")[1]["desired"] in (2, 3), "desired workers")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(180) == 0, log.read_text()
