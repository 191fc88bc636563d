"""An open stage of a job in a worker process, and the limits for work on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

from celery import Celery

from lepton_celery.config import Settings
from lepton_celery.engines.celery.worker.limits import memory_limit, time_limit
from lepton_celery.execution.context import Context
from lepton_celery.execution.manifest import Manifest
from lepton_celery.execution.threads import one_thread
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.heartbeat import heartbeat
from lepton_celery.ledger.info import stage_label
from lepton_celery.planning.plan import Plan, Stage
from lepton_celery.tracing.work import WorkSpan, stage_work


@dataclass(frozen=True)
class OpenStage:
    """An open stage of a job, and the owner on whose behalf this process works on it."""

    app: Celery[Any]
    """The worker's application."""
    ledger: Ledger
    settings: Settings
    lane: str
    """The lane of the message."""
    owner: str
    """The owner of the leases, as `owner_of` names it."""
    manifest: Manifest
    context: Context
    """The open files of the job."""
    number: StageNumber
    slot: str
    """The worker and this process, for the job's history."""
    retries: int = 0
    """How often the message was retried after a temporary error."""
    is_asked_for: bool = True
    """Whether the message asks for this stage, and not for one before it."""

    @property
    def job_id(self) -> str:
        return self.manifest.job_id

    @property
    def plan(self) -> Plan:
        return self.manifest.plan

    @property
    def planned(self) -> Stage:
        """The stage in the plan."""
        return self.plan.stage_of(self.number)

    def describe(self, place: Place) -> str:
        """A block as users know it."""
        return describe(self.plan, self.number, place)


def describe(plan: Plan, number: StageNumber, place: Place) -> str:
    """A block as users know it: its index in the grid, its region, and its stage."""
    stage = plan.stage_of(number)
    block = stage.tiling.block(place)
    return f"block {block} {stage.grid.region(block)} of stage {stage_label(number, len(plan.stages))}"


def traced(stage: OpenStage, name: str) -> AbstractContextManager[WorkSpan]:
    """A span of OpenTelemetry for work on a stage."""
    return stage_work(
        stage.settings,
        stage.ledger,
        stage.job_id,
        stage.plan,
        stage.number,
        name,
        asked=stage.is_asked_for,
    )


@contextmanager
def guarded(stage: OpenStage) -> Iterator[tuple[Event, Callable[[], None]]]:
    """Renew leases, and limit threads, memory and time, while the `with` block runs.

    Yields an event that is set when the job has ended or left the stage, and a function to call when a block begins.
    """
    settings = stage.settings
    renew = partial(stage.ledger.renew, stage.job_id, stage.number, owner=stage.owner, lease_s=settings.lease_s)
    with (
        heartbeat(renew, settings.lease_s / 3) as lost,
        one_thread(),
        memory_limit(settings.memory_limit_bytes),
        time_limit(settings.block_limit_s) as begin_block,
    ):
        yield lost, begin_block
