"""Lanes on real workers: a slot for interactive jobs, and the queue for merges and ends of waves."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis
from skimage import data, filters

import lepton_celery as lepton
from lepton_celery import create_app
from lepton_celery.config import Settings
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.errors import WaitingWarning
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.info import JobState
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters as lepton_filters
from tests.acceptance.commands import environment
from tests.server.server import running_server
from tests.stacks import short_lived
from tests.waiting import eventually
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Two workers, and one for interactive jobs."""
    folder = tmp_path_factory.mktemp("lanes")
    stack = LocalStack(folder, workers=2, interactive=True, flower=False, project=Project(settings="test"))
    with short_lived(stack):
        yield stack


def test_an_interactive_job_waits_for_no_block_of_others(stack: LocalStack, tmp_path: Path) -> None:
    app = app_of(stack)
    ledger = open_ledger(settings_of(app).ledger)
    enough, begun = tmp_path / "enough", tmp_path / "begun"
    np.save(tmp_path / "input.npy", data.camera())
    source = lepton.open(tmp_path / "input.npy")
    held = lepton.map_blocks("tests.faults.blocks:held", source, until=str(enough), log=str(begun))
    large = lepton.submit({str(tmp_path / "held.npy"): held}, app=app, block_shape=(64, 64), priority="batch")
    eventually(lambda: begun.exists() and begun.read_text().count("\n") >= 2, "two blocks that wait for the file")
    quick = {str(tmp_path / "quick.npy"): lepton_filters.gaussian(source, sigma=2)}
    lepton.submit(quick, app=app, priority="interactive", block_shape=(256, 256)).wait(180)
    assert np.array_equal(np.load(tmp_path / "quick.npy"), filters.gaussian(data.camera(), sigma=2))
    info = large.info()
    assert (info.state, info.blocks_done) == (JobState.RUNNING, 0), "no slot became free in the meantime"
    # the slot counts for the window of the lane that it serves, and of no other
    eventually(lambda: ledger.slots("interactive") == 3, "the notes of three workers")
    assert ledger.slots("default") == ledger.slots("batch") == 2
    enough.touch()
    large.wait(180)


def test_merges_and_ends_of_waves_are_served_before_other_queues(tmp_path: Path) -> None:
    """A worker that was started for one lane takes them first, and those of other jobs too."""
    with running_server(tmp_path) as server:
        app = create_app(Settings(broker_url=server.url))
        waiting = ["lepton.control", "lepton.default"]
        with redis.Redis.from_url(server.url) as broker, pytest.warns(WaitingWarning):
            np.save(tmp_path / "input.npy", data.camera())
            source = lepton.open(tmp_path / "input.npy")
            outputs = {str(tmp_path / "o.npy"): lepton_filters.gaussian(source, sigma=2)}
            job = lepton.submit(outputs, app=app, block_shape=(64, 64), workers=2)
            canvas.send_merge(app, job.info())
            assert [broker.llen(name) > 0 for name in waiting] == [True, True]
        worker = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "lepton_celery.app",
            "worker",
            "-Q",
            "lepton.default",
            "-c",
            "1",
        ]
        log = tmp_path / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*worker, "--loglevel=INFO"], env=environment(LEPTON_BROKER_URL=server.url), stdout=file, stderr=file
            )
        try:
            job.wait(180)
        finally:
            process.terminate()
            process.wait(180)
    received = re.findall(r"Task (lepton\.\w+)\[\S+\] received", log.read_text())
    assert received[0] == "lepton.close"
    assert "lepton.process" in received
    assert log.read_text().count("this worker also serves lepton.control, before its other queues") == 1
