"""Faults from outside: of users, of operators, of the network, of other releases, and of whoever can write to the server."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import lepton_celery as lepton
from lepton_celery.engines.celery.sending.queues import JOB_QUEUES
from lepton_celery.errors import LeptonError
from lepton_celery.ledger.info import Description, JobState
from tests.chaos.faults import Fault, Scene
from tests.faults.damage import DAMAGES, damage
from tests.hostile import messages

_HOSTILE_MESSAGES = 5
_PREFIX = "damaged"
"""The beginning of the ids of damaged jobs."""


class CancelJob:
    """A user cancels a job."""

    name, weight = "cancel job", 1

    def strike(self, scene: Scene) -> str:
        jobs = [job for job in scene.running if job.id not in scene.disturbed - scene.restored]
        if len(jobs) < 2:  # leave some work
            return ""
        job = scene.random.choice(jobs)
        if not job.cancel():
            return ""
        scene.cancelled.add(job.id)
        return f"job {job.id}"


class DamageJob:
    """An entry beside the honest ones that cannot be understood."""

    name, weight = "damaged job", 2

    def strike(self, scene: Scene) -> str:
        kind = scene.random.choice(DAMAGES)
        job_id = f"{_PREFIX}{len(scene.damaged)}"
        ledger = scene.cluster.ledger
        about = Description("damaged")
        ledger.create(job_id, {"version": 4}, lane="default", description=about, stages=[1.0, 1.0], blocks=4)
        scene.damaged.append(job_id)
        damage(scene.cluster.broker, job_id, kind)
        return f"{job_id}, {kind}"


class HostileMessages:
    """Messages that no sender of this package writes."""

    name, weight = "hostile messages", 2

    def strike(self, scene: Scene) -> str:
        hostile = scene.random.sample(list(messages.hostile(scene.random.randrange(1000))), _HOSTILE_MESSAGES)
        for _, item in hostile:
            scene.cluster.broker.lpush(scene.random.choice(JOB_QUEUES), item)
        return ", ".join(name for name, _ in hostile)


class Twin:
    """The same job is submitted once more while it runs: both write to the same names, and one publishes."""

    name, weight = "twin", 1

    def strike(self, scene: Scene) -> str:
        return scene.submit_twin()


# ------------------------------------------------------------------------------------------------ folders


class MoveFolder:
    """The folder of a running job has another name for a while."""

    name, weight = "move folder", 1

    def strike(self, scene: Scene) -> str:
        return _disturb(scene, _move_away)


class ReadOnlyFolder:
    """The folder of a running job cannot be written to for a while."""

    name, weight = "read-only folder", 1

    def strike(self, scene: Scene) -> str:
        return _disturb(scene, _protect)


def _disturb(scene: Scene, action: Callable[[Path], Callable[[], object]]) -> str:
    """Do something to the folder of a running job, and undo it later."""
    jobs = [job for job in scene.running if job.id not in scene.disturbed]
    if scene.disk is None or not jobs:  # only root can mount, and nothing else stops it from writing
        return ""
    job = scene.random.choice(jobs)
    folder = Path(job.manifest().output_paths()[0]).parent
    if not folder.exists() or folder.is_mount():  # that of a twin
        return ""
    undo = action(folder)
    scene.disturbed.add(job.id)
    seconds = scene.random.uniform(0.3, 2)

    def restore() -> None:
        undo()
        scene.restored.add(job.id)

    scene.later(seconds, restore)
    return f"{folder.name} of job {job.id} for {seconds:.1f} s"


def _move_away(folder: Path) -> Callable[[], object]:
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)

    def move_back() -> None:
        if folder.exists():
            raise AssertionError(f"{folder} was made anew while it was moved away: {list(folder.iterdir())}")
        aside.rename(folder)

    return move_back


def _protect(folder: Path) -> Callable[[], object]:
    side = folder.with_name(
        f"{folder.name}-protected"
    )  # a mount of which nobody has open files, so it can be protected
    side.mkdir()
    for command in (
        ("mount", "--bind", folder, side),
        ("mount", "-o", "remount,ro,bind", side),
        ("mount", "--bind", side, folder),
        ("umount", side),
    ):
        subprocess.run(command, check=True, capture_output=True)
    side.rmdir()
    return partial(subprocess.run, ["umount", "--lazy", str(folder)], check=True)


# ------------------------------------------------------------------------------------------------ the network


class SlowConnections:
    """Everything that workers and the server say to each other is late."""

    name, weight = "slow connections", 2

    def strike(self, scene: Scene) -> str:
        proxy = scene.cluster.proxy
        if proxy is None:
            return ""
        seconds = scene.random.uniform(0.5, 3)
        proxy.delay_s = scene.random.uniform(0.01, 0.1)
        scene.later(seconds, partial(setattr, proxy, "delay_s", 0.0))
        return f"by {1000 * proxy.delay_s:.0f} ms for {seconds:.1f} s"


class SilentConnections:
    """The network loses everything for a while, without a word."""

    name, weight = "silent connections", 1

    def strike(self, scene: Scene) -> str:
        proxy = scene.cluster.proxy
        if proxy is None or proxy.is_silent:
            return ""
        seconds = scene.random.uniform(0.5, 6)
        proxy.is_silent = True
        scene.later(seconds, partial(setattr, proxy, "is_silent", False))
        return f"for {seconds:.1f} s"


class CutNetwork:
    name, weight = "cut network", 1

    def strike(self, scene: Scene) -> str:
        proxy = scene.cluster.proxy
        return f"{proxy.cut()} sockets" if proxy is not None else ""


# ------------------------------------------------------------------------------------------------ other releases


class OtherRelease:
    """A worker of another release joins the others for some seconds."""

    name, weight = "other release", 1

    def strike(self, scene: Scene) -> str:
        if scene.cluster.foreign is not None:
            return ""
        scene.cluster.start_foreign()
        seconds = scene.random.uniform(6, 12)
        scene.later(seconds, scene.cluster.end_foreign)
        return f"for {seconds:.1f} s"


FAULTS: tuple[Fault, ...] = (
    CancelJob(),
    DamageJob(),
    HostileMessages(),
    Twin(),
    MoveFolder(),
    ReadOnlyFolder(),
    SlowConnections(),
    SilentConnections(),
    CutNetwork(),
    OtherRelease(),
)


def remove_damaged(scene: Scene) -> list[str]:
    """Remove the damaged jobs as an operator would; what is left of them, in words."""
    left = []
    for job_id in scene.damaged:
        with suppress(LeptonError):
            state = scene.cluster.ledger.info(job_id).state
            if state is JobState.DONE:
                left.append(f"{job_id} is done")
        with suppress(LeptonError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has no files that could be removed
            lepton.Job(job_id, scene.cluster.ledger).cancel()
        scene.cluster.ledger.forget(job_id)
        left += [f"{key} stays" for key in scene.cluster.broker.scan_iter(match=f"*{{{job_id}}}*", count=10_000)]
    return left
