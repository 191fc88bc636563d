"""Checks of running jobs, of ended jobs, and of the whole run. Each yields its violations in words."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from lepton_celery.engines.celery.sending.queues import JOB_QUEUES
from lepton_celery.ledger.info import JobInfo
from tests.chaos.cluster import Cluster
from tests.chaos.faults import restore
from tests.chaos.jobs import TOLD, assert_right

_KEPT = frozenset({"job", "manifest", "result", "stats", "history", "tracebacks"})
"""Keys that the ledger keeps of a job that is done."""

_QUIET_S = 120.0


def counters(info: JobInfo) -> Iterator[str]:
    """Check the counters of a job at any moment."""
    if not 0 <= info.blocks_done <= info.blocks_total:
        yield f"{info.blocks_done} of {info.blocks_total} blocks are done"
    if not 0 <= info.dispatched <= info.blocks_total:
        yield f"{info.dispatched} of {info.blocks_total} blocks are dispatched"
    if info.filled:
        yield f"{info.filled} blocks were filled"


def order(before: JobInfo, now: JobInfo) -> Iterator[str]:
    """Check two successive records of a job: no stage comes back after it has ended."""
    if (now.stage // now.stages, now.stage_index) < (before.stage // before.stages, before.stage_index) and (
        now.stage_index <= before.stage_index
    ):
        yield f"stage {now.stage_label} came after stage {before.stage_label}"


def pixels(kind: str, source: Path, folder: Path) -> Iterator[str]:
    """Compare the outputs with those of the whole image."""
    try:
        assert_right(kind, source, folder)
    except Exception as error:  # including outputs that cannot be read
        yield f"wrong output: {type(error).__name__}: {error}"


def fingerprint(folder: Path) -> dict[str, tuple[int, int]]:
    """The inode and the checksum of each output, since each output is published once.

    Modification times may change: a process that was frozen in a block may write the same bytes again.
    """
    found = {}
    for place, folders, files in os.walk(folder):  # hidden files may be removed meanwhile
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            path = Path(place, name)
            found[str(path.relative_to(folder))] = (path.stat().st_ino, zlib.crc32(path.read_bytes()))
    return found


def hidden(folder: Path, job_id: str = "") -> list[str]:
    """Hidden files that a job, or any job, has left beside its outputs."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".") and job_id in path.name)


def keys(cluster: Cluster, job_id: str, kept: frozenset[str] = _KEPT) -> Iterator[str]:
    """Check that the ledger has only the keys `kept` of a job."""
    found = {key.rpartition(":")[2] for key in cluster.broker.scan_iter(match=f"*{job_id}*", count=10_000)}
    if found - kept:
        yield f"keys that stay: {', '.join(sorted(found - kept))}"


def leftovers(cluster: Cluster) -> Iterator[str]:
    """Check that the ledger has nothing of any job, once all are forgotten."""
    for index in ("jobs", "active", "ended"):
        if left := cluster.broker.zrange(f"lepton:{index}", 0, -1):
            yield f"the index {index} has {', '.join(left)}"
    for key in cluster.broker.scan_iter(match="lepton:{*", count=10_000):
        yield f"the key {key} stays"


def processes(url: str) -> Iterator[str]:
    """Check that no worker of a server is left, whoever its parent is."""
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("LEPTON_BROKER_URL") == url:
                yield f"process {process.pid} stays: {' '.join(process.info['cmdline'])}"


def told(cluster: Cluster, job_id: str, info: JobInfo, resumed: int) -> Iterator[str]:
    """Check that the end of a job was told once: with one id, also if a process was killed while it told it."""
    messages = [json.loads(text) for text in cluster.broker.lrange(TOLD, 0, -1)]
    ends = [(json.loads(message["body"])[0], message["headers"]["id"]) for message in messages]
    ids = {(state, task_id) for (told_id, state), task_id in ends if told_id == job_id}
    last = [state for state, _ in ids if state == info.state]
    most = (
        1 + resumed if info.state == "failed" else 1
    )  # a job that failed, was resumed and failed again had two such ends
    if not 1 <= len(last) <= most:
        yield f"it is {info.state}, and that was told with {len(last)} ids: {sorted(ids)}"
    if len(ids) > 1 + resumed:
        yield f"it was resumed {resumed} times, and {len(ids)} ends were told: {sorted(ids)}"


def until(condition: Callable[[], bool], timeout_s: float = _QUIET_S) -> bool:
    """Wait for a condition; whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def quiet(cluster: Cluster) -> Iterator[str]:
    """Check that the broker has no message left, not even an unacknowledged one of a killed worker."""

    def drained() -> bool:
        cluster.revive()
        lengths = [cluster.broker.llen(queue) for queue in JOB_QUEUES]
        tags = cluster.broker.hkeys("unacked")
        if tags and not any(lengths):
            restore(cluster, tags)  # as after the visibility timeout
            time.sleep(0.5)
        return not any(lengths) and not tags

    if not until(drained):
        lengths = {queue: cluster.broker.llen(queue) for queue in JOB_QUEUES}
        yield f"messages stay: {lengths}, {cluster.broker.hlen('unacked')} not acknowledged"
    for key in cluster.broker.scan_iter(match="celery-taskset-meta-*", count=10_000):
        if cluster.broker.ttl(key) == -1:
            yield f"{key} stays for ever"
