"""The timeline of a job: what each slot did when."""

from __future__ import annotations

from dataclasses import dataclass

from lepton_celery.grid import StageOrdinal
from lepton_celery.jobs.job import Job
from lepton_celery.ledger import JobInfo
from lepton_celery.ledger.history import Stretch
from lepton_celery.planning.plan import Plan
from lepton_celery.views.blocks import slot_names
from lepton_celery.views.places import runs_of


@dataclass(frozen=True, slots=True)
class Span:
    """What a slot did without a pause: a batch, several batches, or a merge."""

    began: float
    """Seconds since the job began."""
    ended: float
    """Seconds since the job began."""
    stage: StageOrdinal
    round: int
    blocks: int
    """Number of blocks; 0 for a merge."""
    compute_s: float
    """Seconds of these for which the slot computed."""
    communication_s: float
    """Seconds for which it read and wrote."""


@dataclass(frozen=True, slots=True)
class SlotLine:
    """The line of a slot."""

    slot: str
    """Worker and process, `celery@host/1234`."""
    spans: tuple[Span, ...]
    """In the order in which they ended."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The lines of all slots that worked for a job."""

    length_s: float
    """Seconds from the job's creation to its end, or to the end of the last entry."""
    busy_s: float
    """Seconds of all spans together."""
    lines: tuple[SlotLine, ...]
    """In the order of the slots' first work."""


def timeline(job: Job) -> Timeline:
    """The timeline of a job.

    Raises:
        BrokerUnreachable: the ledger does not answer.
    """
    info, plan = job.info(), job.manifest().plan
    history = job.history()
    spans: dict[str, list[Span]] = {slot: [] for slot in slot_names(history)}
    for stretch in history:
        if stretch.slot in spans:
            spans[stretch.slot].append(_span(stretch, info, plan))
    ended = info.finished_at or max((stretch.ended for stretch in history), default=info.updated_at)
    busy_s = sum(max(0.0, stretch.ended - stretch.began) for stretch in history)
    lines = tuple(SlotLine(slot, tuple(one)) for slot, one in spans.items())
    return Timeline(max(0.0, ended - info.created_at), busy_s, lines)


def _span(stretch: Stretch, info: JobInfo, plan: Plan) -> Span:
    run = plan.stage_run(stretch.stage)
    return Span(
        stretch.began - info.created_at,
        stretch.ended - info.created_at,
        StageOrdinal(run.stage + 1),
        run.round,
        sum(map(len, runs_of(stretch.places))),
        stretch.compute_s,
        stretch.read_s + stretch.write_s,
    )
