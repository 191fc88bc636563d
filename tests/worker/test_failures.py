"""Failures of processes, messages, servers and disks. Each row names a failure and the test that covers it.

a pool's process is killed in a block         test_jobs: killed children and a killed worker cost no block
… between its receipt and the chord's count   here: a job ends although its chords never do
a whole worker is killed                      test_jobs: killed children and a killed worker cost no block
a worker is frozen and continues              here: a frozen worker commits nothing twice
a message is lost                             test_jobs: messages that are lost are sent again
the submitter dies during `submit`            here: a submitter that dies …
a block outlasts the visibility timeout       here: a redelivered message does not repeat a block at work
a message is delivered twice                  here: a repeated message repeats no block
a merge runs twice                            here: a frozen merge publishes nothing twice; test_chaos
a block kills its worker                      test_recovery: a block that kills its worker costs no other block
a block never ends                            test_recovery: a block that takes too long is ended
connections break                             here: broken connections cost no block
a worker is told to stop                      test_recovery: a worker that is told to stop loses nothing
the server is killed                          here: a killed server costs no receipt
the server's clock is set back                here: a clock set back by an hour delays …
the server is full                            here: workers take messages again after the server was full
the server has lost its data                  test_recovery: a job goes on after its ledger was lost
Celery's results expire                       here: a job ends although its chords never do
a batch job is before an interactive job      test_jobs: an interactive job overtakes a batch job
RabbitMQ drops a message                      test_rabbitmq: messages delivered too often are kept and their job ends
workers of two releases run                   here: a job of another release is left to its own workers
a disk is full                                here: a full disk fails a job, which can be resumed
all of these at once                          test_chaos
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import redis
from numpy.typing import NDArray
from skimage import filters as sk_filters

import lepton_celery as lepton
from lepton_celery.errors import JobCancelled, JobError, JobFailed, WaitingWarning, WaitTimeout
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import turns
from lepton_celery.ledger.info import JobState
from lepton_celery.ledger.lane_window import Spans
from lepton_celery.planning.batches import places_between
from lepton_celery.skimage import filters
from lepton_celery.stores.base import part_of
from tests.chaos import checks
from tests.chaos.cluster import CLOCK_IS_FAKED, Cluster, Disk
from tests.chaos.faults import MergeFault, Scene, restore
from tests.waiting import eventually as until
from tests.waiting import sweeps

pytestmark = pytest.mark.worker

SIDE, BLOCK = 256, 64
BLOCKS = 16
FIRST = StageNumber(0)
BRIGHT = (70, 200)
"""The pixel of 255, in block 7."""

FUNCTIONS = {"LEPTON_ALLOWED_FUNCTIONS": "tests.faults.blocks:*"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers of two processes on a server that can be killed."""
    directory = tmp_path_factory.mktemp("cluster")
    with Cluster(directory, workers=2, concurrency=2, settings="test", environment=FUNCTIONS) as cluster:
        yield cluster


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Cluster]:
    """A server without workers, which a test starts once messages are in the queues."""
    with Cluster(tmp_path / "cluster", workers=0, concurrency=2, settings="test", environment=FUNCTIONS) as cluster:
        yield cluster


@pytest.fixture
def image(tmp_path: Path) -> NDArray[np.uint8]:
    """An image whose blocks of 64 x 64 have different first pixels, and one bright pixel."""
    pixels = np.full((SIDE, SIDE), 40, np.uint8)
    pixels[::BLOCK, ::BLOCK] = np.arange(BLOCKS).reshape(4, 4)
    pixels[BRIGHT] = 255
    np.save(tmp_path / "input.npy", pixels)
    return pixels


def mapped(tmp_path: Path, function: str, **parameters: Any) -> Any:
    return lepton.map_blocks(f"tests.faults.blocks:{function}", lepton.open(tmp_path / "input.npy"), **parameters)


def submit(tmp_path: Path, cluster: Cluster, image: Any) -> lepton.Job:
    outputs = {str(tmp_path / "o.npy"): image}
    return lepton.submit(outputs, app=cluster.app, block_shape=(BLOCK, BLOCK), workers=4)


def assert_right(tmp_path: Path, job: lepton.Job, cluster: Cluster, expected: NDArray[Any]) -> None:
    """Check that the output is right, and that neither files nor keys of the job are left."""
    info = job.info()
    assert (info.state, info.blocks_done) == (JobState.DONE, info.blocks_total)
    assert np.array_equal(np.load(tmp_path / "o.npy"), expected)
    until(lambda: not checks.hidden(tmp_path))
    assert list(checks.keys(cluster, job.id)) == []


# ------------------------------------------------------------------------------------------------ messages


def test_a_job_ends_although_its_chords_never_do(
    idle: Cluster, tmp_path: Path, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No chord body is sent, as after a process died after its receipt, or after results have expired."""
    monkeypatch.setattr(turns, "ALONE", Spans(0.3, 0.1, 0.1))  # the whole job would be one wave, which needs no chord
    job = submit(tmp_path, idle, mapped(tmp_path, "slow", seconds=0.05))
    chords = list(idle.broker.scan_iter(match="celery-taskset-meta-*"))
    assert chords
    idle.broker.delete(*chords)
    idle.start_workers(1)
    job.wait(180)
    assert_right(tmp_path, job, idle, 255 - image)


def test_a_repeated_message_repeats_no_block(idle: Cluster, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    runs = tmp_path / "runs"
    job = submit(tmp_path, idle, mapped(tmp_path, "counted", log=str(runs)))
    (queue,) = (name for name in idle.broker.keys("lepton.*") if idle.broker.type(name) == "list")
    messages = idle.broker.lrange(queue, 0, -1)
    idle.broker.rpush(queue, *messages)
    idle.start_workers(2)
    job.wait(180)
    until(lambda: not idle.broker.llen(queue))
    assert sorted(map(int, runs.read_text().split())) == list(range(BLOCKS))
    assert_right(tmp_path, job, idle, 255 - image)


def test_a_redelivered_message_does_not_repeat_a_block_at_work(
    cluster: Cluster, tmp_path: Path, image: NDArray[np.uint8]
) -> None:
    """As when a block takes longer than the visibility timeout."""
    runs = tmp_path / "runs"
    seconds = 1.5 * cluster.settings.lease_s
    job = submit(tmp_path, cluster, mapped(tmp_path, "stubborn", seconds=seconds, log=str(runs)))
    until(lambda: runs.exists() and job.info().blocks_done >= BLOCKS // 2)
    for _ in range(5):
        restore(cluster, cluster.broker.hkeys("unacked"))
        until(lambda: not cluster.broker.llen("lepton.default"), "a worker that takes the message")
    job.wait(180)
    assert runs.read_text().split() == ["7"]
    assert_right(tmp_path, job, cluster, 255 - image)


# ------------------------------------------------------------------------------------------------ processes


def test_a_frozen_worker_commits_nothing_twice(cluster: Cluster, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """Its blocks are done elsewhere meanwhile, and its late receipts change nothing."""
    job = submit(tmp_path, cluster, mapped(tmp_path, "slow", seconds=0.3))
    until(lambda: job.info().blocks_done > 0)
    frozen = cluster.workers[0]
    frozen.signal(signal.SIGSTOP)
    try:
        info = job.wait(180)
    finally:
        frozen.signal(signal.SIGCONT)
    before = checks.fingerprint(tmp_path)
    assert_right(tmp_path, job, cluster, 255 - image)
    assert list(checks.quiet(cluster)) == []
    assert checks.fingerprint(tmp_path) == before
    assert job.info() == info


@contextmanager
def locked(part: Path) -> Iterator[None]:
    """Lock an output that is not published yet, as another publisher would; publishers wait for some seconds."""
    descriptor = os.open(part, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def test_a_frozen_merge_publishes_nothing_twice(cluster: Cluster, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """Its fence is stale by then, because another merge has published."""
    may_end = tmp_path / "may end"
    held = mapped(tmp_path, "held", until=str(may_end), log=str(tmp_path / "log"))
    folder = tmp_path / "outputs"
    folder.mkdir()
    paths = [folder / name for name in ("a.tif", "b.tif")]
    job = lepton.submit({str(path): held for path in paths}, app=cluster.app, block_shape=(BLOCK, BLOCK))
    parts = [part_of(path, job.id) for path in paths]
    until(lambda: all(part.exists() for part in parts), "the parts of the outputs")
    scene = Scene(cluster, random.Random(1), disk=None, running=[job])
    fault = MergeFault("stop in publish", is_publishing=True, is_stopped=True)
    with locked(parts[0]), locked(parts[1]):
        may_end.touch()
        until(lambda: fault.strike(scene), "a merge that waits for the locks of its outputs")
    info = job.wait(180)
    before = checks.fingerprint(folder)
    for _, wake in scene.due:
        wake()
    assert list(checks.quiet(cluster)) == []
    until(lambda: not checks.hidden(folder))
    assert (job.info(), checks.fingerprint(folder)) == (info, before)
    assert info.merge_attempts > 1
    for path in paths:
        assert np.array_equal(lepton.compute(lepton.open(path)), 255 - image)
    assert list(checks.keys(cluster, job.id)) == []


# ------------------------------------------------------------------------------------------------ the submitter


def submitter(cluster: Cluster, lines: str) -> subprocess.Popen[bytes]:
    """Start a process that runs these lines with `app` and `lepton`."""
    text = (
        "import numpy, lepton_celery as lepton\n"
        "from lepton_celery.config import load_settings\n"
        f"app = lepton.create_app(load_settings({{'LEPTON_SETTINGS': 'test', 'LEPTON_BROKER_URL': {cluster.url!r}}}))\n"
    )
    return subprocess.Popen([sys.executable, "-c", text + lines])


def jobs_of(cluster: Cluster, title: str) -> list[str]:
    return [info.job_id for info in cluster.ledger.jobs() if info.title == title]


def test_a_submitter_that_dies_while_it_copies_its_inputs(cluster: Cluster, tmp_path: Path) -> None:
    """The job never begins, and is removed without a trace. The submitter copies its input, and is stuck then."""
    output = str(tmp_path / "o.npy")
    process = submitter(
        cluster,
        "import time\n"
        "from lepton_celery import stores\n"
        "ingest = stores.ingest\n"
        "stores.ingest = lambda *arguments, **options: (ingest(*arguments, **options), time.sleep(600))\n"
        "image = lepton.open(numpy.ones((2000, 2000), numpy.uint8))\n"
        f"lepton.submit({{{output!r}: image + 1}}, app=app, title='copies')\n",
    )
    try:
        until(lambda: list(tmp_path.rglob("*.npy")), "a copy of the input")
    finally:
        process.kill()
        process.wait()
    job = lepton.get_job(jobs_of(cluster, "copies")[0], settings=cluster.settings)
    sweeps(cluster.alive, 6)  # three of each worker
    info = job.info()
    assert (info.state, info.dispatched, info.blocks_done) == (JobState.PAUSED, 0, 0)
    assert job.cancel()
    with pytest.raises(JobCancelled):
        job.wait(5)
    job.forget()
    assert list(tmp_path.iterdir()) == []
    assert list(checks.keys(cluster, job.id, frozenset())) == []


def test_a_submitter_that_dies_while_it_sends_messages(idle: Cluster, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """Workers send the messages that it did not send."""
    source, output = str(tmp_path / "input.npy"), str(tmp_path / "o.npy")
    process = submitter(
        idle,
        f"image = lepton.open({source!r})\n"
        f"lepton.submit({{{output!r}: 255 - image}}, app=app, block_shape=(8, 8), workers=8, title='sends')\n",
    )
    broker = redis.Redis.from_url(idle.url)
    try:
        until(lambda: broker.llen("lepton.default") > 0)
    finally:
        process.kill()
        process.wait()
    (job_id,) = jobs_of(idle, "sends")
    idle.start_workers(1)
    job = lepton.get_job(job_id, settings=idle.settings)
    job.wait(180)
    assert_right(tmp_path, job, idle, 255 - image)


# ------------------------------------------------------------------------------------------------ the server


def test_broken_connections_cost_no_block(cluster: Cluster, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    job = submit(tmp_path, cluster, mapped(tmp_path, "slow", seconds=0.2))
    for done in (1, 5, 9):
        until(lambda done=done: job.info().blocks_done >= done)  # type: ignore[misc]
        cluster.broker.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    job.wait(180)
    assert_right(tmp_path, job, cluster, 255 - image)


def test_a_killed_server_costs_no_receipt(cluster: Cluster, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    """The server restores the job from its append-only file, and workers continue."""
    job = submit(tmp_path, cluster, mapped(tmp_path, "slow", seconds=0.2))
    until(lambda: job.info().blocks_done > 3)
    before = job.info()
    cluster.kill_server(0.5)
    assert job.info().blocks_done >= before.blocks_done
    job.wait(180)
    assert_right(tmp_path, job, cluster, 255 - image)


@pytest.mark.skipif(not CLOCK_IS_FAKED, reason="needs Debian's package faketime")
def test_a_clock_set_back_by_an_hour_delays_a_killed_workers_blocks_by_seconds(
    tmp_path: Path, image: NDArray[np.uint8]
) -> None:
    directory = tmp_path / "cluster"
    with Cluster(
        directory, workers=2, concurrency=2, settings="test", environment=FUNCTIONS, fake_clock=True
    ) as cluster:
        job = submit(tmp_path, cluster, mapped(tmp_path, "slow", seconds=0.5))
        until(lambda: job.info().blocks_done > 0)
        assert cluster.clock_offset is not None
        cluster.clock_offset.write_text("-3600\n")
        before = time.time()
        until(lambda: cluster.ledger.clock() < before - 3000)
        cluster.workers[0].signal(signal.SIGKILL)
        job.wait(180)
        assert_right(tmp_path, job, cluster, 255 - image)


@pytest.mark.parametrize("setting", ["maxmemory", "min-replicas-to-write"])
def test_workers_take_messages_again_after_the_server_was_full(
    idle: Cluster, tmp_path: Path, image: NDArray[np.uint8], setting: str
) -> None:
    """A full server gives messages and refuses what Celery writes when it takes one, and when a task ends.

    A server without its replicas refuses all that is written, as one does whose disk is full.
    """
    refused = str(tmp_path.with_name("refused"))
    job = submit(tmp_path, idle, mapped(tmp_path, "slow", seconds=0.5, until=refused))
    other = {str(tmp_path / "other.npy"): mapped(tmp_path, "slow", seconds=0.5, until=refused)}
    later = lepton.submit(other, app=idle.app, block_shape=(BLOCK, BLOCK), workers=4)
    idle.start_workers(2)
    before = [worker.pid for worker in idle.workers]
    until(lambda: job.info().blocks_done > 3)
    idle.broker.config_set(setting, 1)
    refusal = {"maxmemory": "command not allowed when used memory", "min-replicas-to-write": "NOREPLICAS"}[setting]
    logs = [worker.process.log for worker in idle.workers]
    until(lambda: all(refusal in log.read_text() for log in logs), "a refusal of what each worker writes")
    Path(refused).touch()
    idle.broker.config_set(setting, 0)
    job.wait(180)
    later.wait(180)
    assert [worker.pid for worker in idle.workers] == before and all(worker.is_ready for worker in idle.workers)
    assert np.array_equal(np.load(tmp_path / "other.npy"), 255 - image)
    (tmp_path / "other.npy").unlink()
    assert_right(tmp_path, job, idle, 255 - image)
    assert list(checks.quiet(idle)) == []


@pytest.mark.usefixtures("image")
def test_nothing_of_a_job_at_work_expires(idle: Cluster, tmp_path: Path) -> None:
    job = submit(tmp_path, idle, mapped(tmp_path, "slow", seconds=0))
    claim = idle.ledger.claim(job.id, FIRST, places_between(0, 4), owner="me", lease_s=60, max_attempts=4)
    assert len(claim.granted) == 4
    idle.ledger.commit(job.id, FIRST, [Place(0)], owner="me", stats={})
    names = list(idle.broker.scan_iter(match="lepton*"))
    assert any(job.id in name for name in names)
    assert [name for name in names if idle.broker.ttl(name) != -1] == []
    job.cancel()
    job.forget()


@pytest.mark.usefixtures("image")
def test_a_job_of_an_earlier_release_is_left_alone(idle: Cluster, tmp_path: Path) -> None:
    """A worker logs why it leaves the job alone, and does the next one."""
    old = submit(tmp_path, idle, mapped(tmp_path, "slow", seconds=0))
    idle.broker.hset(f"lepton:{{{old.id}}}:job", "version", 3)
    idle.broker.set(f"lepton:{{{old.id}}}:manifest", json.dumps({"version": 3}))
    idle.start_workers(1)
    outputs = {str(tmp_path / "new.npy"): mapped(tmp_path, "slow", seconds=0)}
    lepton.submit(outputs, app=idle.app, block_shape=(BLOCK, BLOCK)).wait(180)
    until(lambda: not idle.broker.llen("lepton.default"))
    with pytest.raises(JobError, match="has version '3', this release reads 4; run one release on all machines"):
        old.wait(5)
    logs = "".join(log.read_text() for log in idle.log_files())
    assert f"job {old.id} is left to workers of its release: the job's manifest has version 3" in logs
    assert not (tmp_path / "o.npy").exists()
    idle.ledger.forget(old.id)


def test_a_job_of_another_release_waits_for_a_worker_of_its_own(
    idle: Cluster, tmp_path: Path, image: NDArray[np.uint8]
) -> None:
    """The workers here hand its blocks back, without an attempt lost, and say so."""
    runs = tmp_path / "runs"
    job = submit(tmp_path, idle, mapped(tmp_path, "counted", log=str(runs)))
    key = f"lepton:{{{job.id}}}:manifest"
    manifest = idle.broker.get(key)
    idle.broker.set(key, json.dumps({**json.loads(manifest), "version": 99}))
    idle.start_workers(1)
    until(lambda: bool(job.info().waits_for))
    sweeps(idle.alive)
    info = job.info()
    assert (info.state, info.blocks_done) == (JobState.RUNNING, 0)
    assert info.waits_for.startswith("the job's manifest has version 99, this release reads version")
    assert not idle.broker.exists(f"lepton:{{{job.id}}}:attempts")
    with pytest.warns(WaitingWarning, match="has version 99"), pytest.raises(WaitTimeout, match="has version 99"):
        job.wait(0.2)
    idle.broker.set(key, manifest)  # as if a worker of its release took the messages
    job.wait(180)
    assert job.info().waits_for == ""
    assert sorted(map(int, runs.read_text().split())) == list(range(BLOCKS))
    assert_right(tmp_path, job, idle, 255 - image)


# ------------------------------------------------------------------------------------------------ disks


def _children_may_write(cluster: Cluster, size: int) -> None:
    for child in cluster.workers[0].children():
        psutil.Process(child).rlimit(psutil.RLIMIT_FSIZE, (size, -1))


@pytest.mark.usefixtures("image")
def test_a_full_disk_fails_a_job_which_can_be_resumed(tmp_path: Path) -> None:
    """The job fails after its retries, and continues when there is room."""
    environment = {**FUNCTIONS, "LEPTON_MAX_RETRIES": "1"}
    folder = tmp_path / "disk"
    disk = Disk.mount(folder) if os.geteuid() == 0 else None
    folder.mkdir(exist_ok=True)
    np.save(folder / "input.npy", np.random.default_rng(1).integers(0, 255, (512, 512), np.uint8))
    smooth = filters.gaussian(lepton.open(folder / "input.npy"), sigma=1)
    try:
        with Cluster(
            tmp_path / "cluster", workers=1, concurrency=2, settings="test", environment=environment
        ) as cluster:
            cluster.workers[0].signal(signal.SIGSTOP)
            job = lepton.submit({str(folder / "o.zarr"): smooth}, app=cluster.app, block_shape=(64, 64))
            if disk is not None:
                disk.fill()
            else:
                _children_may_write(cluster, 0)
            cluster.workers[0].signal(signal.SIGCONT)
            with pytest.raises(JobFailed, match="the disk is full" if disk is not None else "File too large"):
                job.wait(180)
            assert not (folder / "o.zarr").exists()
            if disk is not None:
                disk.make_room()
            else:
                _children_may_write(cluster, -1)
            lepton.resume(job.id, app=cluster.app)
            job.wait(180)
            until(lambda: not checks.hidden(folder))
            expected = sk_filters.gaussian(np.load(folder / "input.npy"), sigma=1)
            found = lepton.compute(lepton.open(folder / "o.zarr"))
            assert np.array_equal(found, expected)
    finally:
        if disk is not None:
            disk.unmount()
