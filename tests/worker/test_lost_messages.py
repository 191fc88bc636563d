"""Messages that are lost while others wait, jobs that ended long ago, and damaged entries beside honest jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.ledger import JobState
from lepton_celery.ledger.info import Description
from tests.chaos import checks
from tests.chaos.cluster import Cluster
from tests.waiting import eventually as until

pytestmark = pytest.mark.worker

BLOCK = 64
LANE = "lepton.default"


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Cluster]:
    """A server without workers; a job has few messages in the broker at a time."""
    environment = {
        "LEPTON_ALLOWED_FUNCTIONS": "tests.faults.blocks:*",
        "LEPTON_RETENTION_S": "3",
    }
    with Cluster(tmp_path / "cluster", workers=0, concurrency=2, settings="test", environment=environment) as cluster:
        yield cluster


def submit(cluster: Cluster, folder: Path, side: int, seconds: float, until: str = "") -> lepton.Job:
    """Submit a job of blocks that take some seconds each, until the file `until` exists."""
    folder.mkdir()
    np.save(folder / "input.npy", np.full((side, side), 40, np.uint8))
    pixels = lepton.open(folder / "input.npy")
    image = lepton.map_blocks("tests.faults.blocks:slow", pixels, seconds=seconds, until=until)
    outputs: dict[str, Any] = {str(folder / "o.npy"): image}
    return lepton.submit(outputs, app=cluster.app, block_shape=(BLOCK, BLOCK), workers=2)


def test_a_lost_message_is_sent_again_while_other_jobs_fill_the_lane(idle: Cluster, tmp_path: Path) -> None:
    enough = tmp_path / "enough"

    def in_lane(job: lepton.Job) -> list[str]:
        return [message for message in idle.broker.lrange(LANE, 0, -1) if job.id in message]

    earlier = submit(idle, tmp_path / "earlier", 8 * BLOCK, 0.1)
    lost = submit(idle, tmp_path / "lost", BLOCK, 0)
    messages = in_lane(lost)
    assert messages
    for message in messages:
        idle.broker.lrem(LANE, 1, message)
    idle.start_workers(1)
    until(lambda: in_lane(lost), "a check for lost work in the lane")
    later = submit(idle, tmp_path / "later", 32 * BLOCK, 0.4, until=str(enough))  # takes 205 s
    lost.wait(180)
    assert later.info().state is JobState.RUNNING
    enough.touch()
    later.wait(180)
    until(lambda: earlier.id not in idle.ledger.active())
    assert list(checks.quiet(idle)) == []


def test_only_jobs_that_ended_long_ago_are_forgotten(idle: Cluster, tmp_path: Path) -> None:
    """A message to forget a job may be late: the job was resumed meanwhile; or somebody else wrote it."""
    running = submit(idle, tmp_path / "running", 4 * BLOCK, 0.2)
    resumed = submit(idle, tmp_path / "resumed", BLOCK, 0)
    assert idle.ledger.fail(resumed.id, "because")
    ended = []
    for number in range(100):
        ended.append(f"ended{number}")
        idle.ledger.create(ended[-1], {}, lane="default", description=Description(""), stages=[1.0], blocks=1)
        assert idle.ledger.cancel(ended[-1])
    canvas.send_tidy(idle.app, [running.id, resumed.id, *ended[:30]], "default")
    lepton.resume(resumed.id, app=idle.app)
    idle.start_workers(1)
    for job in (resumed, running):
        assert job.wait(180).state is JobState.DONE
    until(lambda: not set(ended) & {info.job_id for info in idle.ledger.jobs(limit=1000)})
    assert list(checks.quiet(idle)) == []
    for job_id in ended:
        assert list(checks.keys(idle, job_id, frozenset())) == []
