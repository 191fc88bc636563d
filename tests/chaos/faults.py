"""The faults: each does one thing to the cluster, and undoes it later if it is temporary."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import psutil
import redis
from kombu.exceptions import OperationalError

import lepton_celery as lepton
from lepton_celery.engines.celery.sending.queues import JOB_QUEUES
from lepton_celery.engines.celery.worker import lease_renewer
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.info import NO_PLACE, JobState
from tests.chaos.cluster import Cluster, Disk, Worker

_SIDE = "chaos:delayed"
"""The list that holds delayed messages."""

_WATCH_S = 6.0
"""Seconds to wait for a merge or a publication."""


@dataclass
class Loss:
    """Work that a worker held when it was killed."""

    job_id: str
    number: StageNumber
    place: Place
    """The block's place; `NO_PLACE` for a merge."""
    owner: str
    at: float


@dataclass
class Scene:
    """The targets of faults, and the actions that are due later."""

    cluster: Cluster
    random: random.Random
    disk: Disk | None
    running: list[lepton.Job] = field(default_factory=list)
    due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    kill_submitter: Callable[[float], str] = lambda after_s: ""
    """Submits a job, kills its submitter after some seconds, and says what became of the job."""
    submit_twin: Callable[[], str] = lambda: ""
    """Submits a running job once more, and says which."""
    cancelled: set[str] = field(default_factory=set)
    """Ids of the jobs that were cancelled."""
    damaged: list[str] = field(default_factory=list)
    """Ids of the jobs whose entries are damaged."""
    disturbed: set[str] = field(default_factory=set)
    """Ids of the jobs whose folder was moved or protected; `restored` has those of which it is as it was."""
    restored: set[str] = field(default_factory=set)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run an action in the storm's loop after `seconds`."""
        self.due.append((time.monotonic() + seconds, action))

    def worker(self) -> Worker | None:
        """A random worker that takes work."""
        ready = [worker for worker in self.cluster.workers if worker.is_ready and not worker.frozen]
        return self.random.choice(ready) if ready else None

    def child(self) -> int | None:
        """A random process of a pool."""
        worker = self.worker()
        children = worker.children() if worker else []
        return self.random.choice(children) if children else None


class Fault(Protocol):
    """One kind of fault."""

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> int:
        """Relative frequency of this kind."""
        ...

    def strike(self, scene: Scene) -> str:
        """Cause the fault, and say what was done; an empty string if there was no target."""
        ...


# ------------------------------------------------------------------------------------------------ processes


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


class KillChild:
    name, weight = "kill child", 6

    def strike(self, scene: Scene) -> str:
        child = scene.child()
        if child is None:
            return ""
        _send(child, signal.SIGKILL)
        return f"child {child}"


class KillWorker:
    name, weight = "kill worker", 2

    def strike(self, scene: Scene) -> str:
        worker = scene.worker()
        if worker is None:
            return ""
        with _still(set(worker.children())):  # no lease may change between here and the kill
            owners = set(_active(scene, [worker]))
            worker.signal(signal.SIGKILL)
        lost = list(_held_by(scene, owners))
        scene.losses += lost
        return f"{worker.name} with {len(lost)} leases"


class StopChild:
    """A process stops for longer than its lease, and then continues."""

    name, weight = "stop child", 3

    def strike(self, scene: Scene) -> str:
        child = scene.child()
        if child is None:
            return ""
        seconds = scene.random.uniform(1.1, 2) * scene.cluster.settings.lease_s
        _send(child, signal.SIGSTOP)
        scene.later(seconds, partial(_send, child, signal.SIGCONT))
        return f"child {child} for {seconds:.1f} s"


class StopWorker:
    """A worker and its pool stop for longer than a lease, and then continue."""

    name, weight = "stop worker", 2

    def strike(self, scene: Scene) -> str:
        worker = scene.worker()
        if worker is None:
            return ""
        seconds = scene.random.uniform(1.1, 2) * scene.cluster.settings.lease_s
        worker.frozen = True
        worker.signal(signal.SIGSTOP)

        def thaw() -> None:
            worker.signal(signal.SIGCONT)
            worker.frozen = False

        scene.later(seconds, thaw)
        return f"{worker.name} for {seconds:.1f} s"


class EndWorker:
    """A warm shutdown by SIGTERM, as in a deployment: children finish their work first."""

    name, weight = "end worker", 1

    def strike(self, scene: Scene) -> str:
        worker = scene.worker()
        if worker is None:
            return ""
        worker.process.terminate()
        return worker.name


# ------------------------------------------------------------------------------------------------ the server


class KillServer:
    name, weight = "kill server", 1

    def strike(self, scene: Scene) -> str:
        down_s = scene.random.uniform(0, 1.5)
        scene.cluster.kill_server(down_s)
        return f"down for {down_s:.1f} s"


class CutConnection:
    name, weight = "cut connection", 4

    def strike(self, scene: Scene) -> str:
        broker = scene.cluster.broker
        clients = [client["id"] for client in broker.client_list() if client["id"] != str(broker.client_id())]
        if not clients:
            return ""
        chosen = scene.random.choice(sorted(clients, key=int))
        with suppress(redis.ResponseError):  # the connection was closed meanwhile
            broker.execute_command("CLIENT", "KILL", "ID", chosen)
        return f"client {chosen}"


class CutAllConnections:
    name, weight = "cut all connections", 1

    def strike(self, scene: Scene) -> str:
        count = scene.cluster.broker.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return f"{count} clients"


class StepClock:
    """The server's clock jumps, forward or back."""

    name, weight = "step clock", 1

    def strike(self, scene: Scene) -> str:
        if scene.cluster.clock_offset is None:
            return ""
        offset = scene.random.randint(-8, 8)
        scene.cluster.clock_offset.write_text(f"{offset:+d}\n")
        scene.losses.clear()  # their recovery times would be wrong
        return f"{offset:+d} s"


# ------------------------------------------------------------------------------------------------ messages


def _pop(scene: Scene) -> tuple[str, str] | None:
    """Take a message from either end of a lane."""
    for queue in JOB_QUEUES:
        message = scene.cluster.broker.execute_command(scene.random.choice(["LPOP", "RPOP"]), queue)
        if message is not None:
            return queue, str(message)
    return None


def _named(message: str) -> str:
    return str(json.loads(message)["headers"]["id"])


class DropMessage:
    name, weight = "drop message", 6

    def strike(self, scene: Scene) -> str:
        popped = _pop(scene)
        return _named(popped[1]) if popped else ""


class RepeatMessage:
    name, weight = "repeat message", 6

    def strike(self, scene: Scene) -> str:
        for queue in JOB_QUEUES:
            message = scene.cluster.broker.lindex(queue, scene.random.choice([0, -1]))
            if message is not None:
                scene.cluster.broker.execute_command(scene.random.choice(["LPUSH", "RPUSH"]), queue, message)
                return _named(message)
        return ""


class DelayMessage:
    name, weight = "delay message", 4

    def strike(self, scene: Scene) -> str:
        popped = _pop(scene)
        if popped is None:
            return ""
        queue, message = popped
        broker = scene.cluster.broker
        broker.rpush(_SIDE, message)

        def give_back() -> None:
            with broker.pipeline() as both:
                both.lrem(_SIDE, 1, message)
                both.rpush(queue, message)
                both.execute()

        seconds = scene.random.uniform(0.5, 2 * scene.cluster.settings.lease_s)
        scene.later(seconds, give_back)
        return f"{_named(message)} for {seconds:.1f} s"


class RestoreMessage:
    """An unacknowledged message is delivered again, as after the visibility timeout."""

    name, weight = "restore message", 4

    def strike(self, scene: Scene) -> str:
        tags = sorted(scene.cluster.broker.hkeys("unacked"))
        if not tags:
            return ""
        tag = scene.random.choice(tags)
        restore(scene.cluster, [tag])
        return str(tag)


def restore(cluster: Cluster, tags: Iterable[str]) -> None:
    """Requeue messages as kombu does when they were not acknowledged in time."""
    with cluster.app.connection_for_write() as connection:
        channel: Any = connection.channel()
        for tag in tags:
            channel.qos.restore_by_tag(tag)


# ------------------------------------------------------------------------------------------------ moments


def _active(scene: Scene, workers: list[Worker]) -> dict[str, int]:
    """The lease owners of the tasks that workers execute, with the process of each."""
    names = [worker.name for worker in workers]
    inspect = scene.cluster.app.control.inspect(names, timeout=2.0, limit=len(names))
    try:
        answers = inspect.active() or {}
    except (OperationalError, redis.RedisError):
        return {}
    at_work = [task for tasks in answers.values() for task in tasks if task["worker_pid"]]
    return {lease_renewer.owner_of(task["id"], task["worker_pid"]): task["worker_pid"] for task in at_work}


def _held_by(scene: Scene, owners: set[str]) -> Iterable[Loss]:
    at = time.monotonic()
    for job in scene.running:
        stage, merge, fence = scene.cluster.broker.hmget(_key(job.id, "job"), "stage", "merge_owner", "merge_fence")
        if stage is None:
            continue
        for place, lease in scene.cluster.broker.hgetall(_key(job.id, "leases")).items():
            if owner_of(lease) in owners:
                yield Loss(job.id, StageNumber(int(stage)), Place(int(place)), owner_of(lease), at)
        if merge in owners and fence not in (None, "0"):
            yield Loss(job.id, StageNumber(int(stage)), NO_PLACE, merge, at)


def _key(job_id: str, name: str) -> str:
    return f"lepton:{{{job_id}}}:{name}"


def owner_of(lease: str) -> str:
    """The owner of a lease, which is stored as `until call since owner`."""
    return lease.split(" ", 3)[3]


def is_repaired(cluster: Cluster, loss: Loss) -> bool:
    """Whether another owner has taken the lost work, or it is done."""
    key = _key(loss.job_id, "job")
    state, stage, fence, merge = cluster.broker.hmget(key, "state", "stage", "merge_fence", "merge_owner")
    if state != JobState.RUNNING or int(stage) != loss.number:
        return True
    if loss.place == NO_PLACE:
        return bool(fence != "0" and merge != loss.owner)
    if cluster.broker.getbit(_key(loss.job_id, "receipts"), loss.place):
        return True
    lease = cluster.broker.hget(_key(loss.job_id, "leases"), str(loss.place))
    return lease is not None and owner_of(lease) != loss.owner


@contextmanager
def _still(children: set[int]) -> Iterator[None]:
    """Stop the children during the `with` block. Children removed from the set stay stopped."""
    for child in children:
        _send(child, signal.SIGSTOP)
    try:
        yield
    finally:
        for child in children:
            _send(child, signal.SIGCONT)


@dataclass(frozen=True)
class MergeFault:
    """Kills the child that is merging or publishing, or stops it for longer than its lease.

    All children are stopped while that child is looked up, so that it cannot finish meanwhile.
    """

    name: str
    is_publishing: bool
    is_stopped: bool
    weight: int = 2

    def strike(self, scene: Scene) -> str:
        workers = [worker for worker in scene.cluster.workers if worker.is_ready and not worker.frozen]
        children = {child for worker in workers for child in worker.children()}
        deadline = time.monotonic() + _WATCH_S
        while workers and time.monotonic() < deadline:
            for job in scene.running:
                if not self._is_there(scene, job):
                    continue
                with _still(children):
                    owner = self._is_there(scene, job)
                    child = _active(scene, workers).get(owner) if owner else None
                    if child in children:
                        children.remove(child)  # must not continue with the others
                if owner and child is not None:
                    return self._hit(scene, child) + f", {owner} of job {job.id}"
            time.sleep(0.0002)
        return ""

    def _is_there(self, scene: Scene, job: lepton.Job) -> str | None:
        """The owner of the job's merge, if it is at the point where the fault strikes."""
        state, fence, owner, publishing = scene.cluster.broker.hmget(
            _key(job.id, "job"), "state", "merge_fence", "merge_owner", "publishing"
        )
        is_there = state == JobState.RUNNING and fence not in (None, "0") and (publishing == "1") == self.is_publishing
        return str(owner) if is_there else None

    def _hit(self, scene: Scene, child: int) -> str:
        if not self.is_stopped:
            _send(child, signal.SIGKILL)
            return f"child {child}"
        seconds = scene.random.uniform(1.1, 2) * scene.cluster.settings.lease_s
        scene.later(seconds, partial(_send, child, signal.SIGCONT))
        return f"child {child} for {seconds:.1f} s"


class KillSubmitter:
    name, weight = "kill submitter", 2

    def strike(self, scene: Scene) -> str:
        return scene.kill_submitter(scene.random.uniform(0, 0.5))


# ------------------------------------------------------------------------------------------------ the disk


class FullDisk:
    """Writing fails for a while: on a full file system, or by a limit on file size where none can be mounted."""

    name, weight = "full disk", 1

    def strike(self, scene: Scene) -> str:
        seconds = scene.random.uniform(0.5, 3)
        if scene.disk is not None:
            scene.disk.fill()
            scene.later(seconds, scene.disk.make_room)
            return f"for {seconds:.1f} s"
        limited = [child for worker in scene.cluster.workers if worker.is_ready for child in worker.children()]
        for child in limited:
            _limit_files(child, 0)
            scene.later(seconds, partial(_limit_files, child, -1))
        return f"files of {len(limited)} children limited for {seconds:.1f} s" if limited else ""


def _limit_files(pid: int, size: int) -> None:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (size, -1))


FAULTS: tuple[Fault, ...] = (
    KillChild(),
    KillWorker(),
    StopChild(),
    StopWorker(),
    EndWorker(),
    KillServer(),
    CutConnection(),
    CutAllConnections(),
    StepClock(),
    DropMessage(),
    RepeatMessage(),
    DelayMessage(),
    RestoreMessage(),
    MergeFault("kill in merge", is_publishing=False, is_stopped=False),
    MergeFault("kill in publish", is_publishing=True, is_stopped=False),
    MergeFault("stop in merge", is_publishing=False, is_stopped=True, weight=1),
    MergeFault("stop in publish", is_publishing=True, is_stopped=True, weight=1),
    KillSubmitter(),
    FullDisk(),
)
