"""Spans of work on a job: what this process does between two moments, as a batch, a merge or a submission."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lepton_celery.config import Settings
from lepton_celery.errors import LeptonError, reason_of
from lepton_celery.grid import StageIndex, StageNumber
from lepton_celery.ledger import JobInfo, Ledger
from lepton_celery.ledger.info import stage_label
from lepton_celery.planning.explain import work_of
from lepton_celery.planning.plan import Plan
from lepton_celery.text import shown
from lepton_celery.tracing.job_trace import JOB_SPAN, STAGE_SPAN, trace_of
from lepton_celery.tracing.tracer import tracer_of

if TYPE_CHECKING:  # an extra
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

SUBMIT, BATCH, MERGE, PUBLISH = "lepton.submit", "lepton.batch", "lepton.merge", "lepton.publish"


class WorkSpan:
    """A span of work, or nothing if the job is not traced."""

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    def note(self, **attributes: Any) -> None:
        """Set attributes of the span, in the namespace `lepton.`."""
        if self._span is not None:
            self._span.set_attributes({f"lepton.{name}": value for name, value in attributes.items()})

    def tell(self, event: str, **attributes: Any) -> None:
        """Add an event."""
        if self._span is not None:
            self._span.add_event(event, {f"lepton.{name}": value for name, value in attributes.items()})

    def fail(self, error: BaseException) -> None:
        """Record an error, without a password in it; the span counts as failed."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode

            reason = shown(reason_of(error))
            kind = f"{type(error).__module__}.{type(error).__qualname__}"
            self._span.add_event("exception", {"exception.type": kind, "exception.message": reason})
            self._span.set_status(StatusCode.ERROR, reason)


@contextmanager
def submission(settings: Settings) -> Iterator[WorkSpan]:
    """A span of the submission of a job, which the job's trace continues."""
    tracer = tracer_of(settings)
    if tracer is None:
        yield WorkSpan()
        return
    with _span(tracer, SUBMIT, None) as span:
        yield span


@contextmanager
def nested(settings: Settings, name: str) -> Iterator[None]:
    """A span of a part of the current work; none if that is not traced."""
    tracer = tracer_of(settings)
    if tracer is None or not _is_traced():
        yield
        return
    with _span(tracer, name, None):
        yield


@contextmanager
def job_here(settings: Settings, job_id: str) -> Iterator[None]:
    """A span of a job that this process does alone."""
    tracer = tracer_of(settings)
    if tracer is None:
        yield
        return
    with _span(tracer, JOB_SPAN, None) as span:
        span.note(**{"job.id": job_id})
        yield


@contextmanager
def stage_here(settings: Settings, plan: Plan, number: StageNumber) -> Iterator[None]:
    """A span of a stage of such a job."""
    tracer = tracer_of(settings)
    if tracer is None:
        yield
        return
    with _span(tracer, STAGE_SPAN, None) as span:
        stage = plan.stage_of(number)
        label = stage_label(number, len(plan.stages))
        steps = work_of(plan, StageIndex(number % len(plan.stages)))
        span.note(stage=label, functions=steps, blocks=len(stage.grid))
        yield


@contextmanager
def stage_work(
    settings: Settings, ledger: Ledger, job_id: str, plan: Plan, number: StageNumber, name: str, *, asked: bool
) -> Iterator[WorkSpan]:
    """A span of work in a stage.

    `asked` says whether the message that is being handled is of this stage. If so, the work is part of the span of the
    message, where other instrumentation made one.
    """
    tracer = tracer_of(settings)
    info = None if tracer is None else _info(ledger, job_id)
    if tracer is None or info is None or (parent := _parent(tracer, info, number, asked=asked)) is None:
        yield WorkSpan()
        return
    index = StageIndex(number % len(plan.stages))
    with _span(tracer, name, parent) as span:
        stage = stage_label(number, len(plan.stages))
        span.note(**{"job.id": job_id, "lane": info.lane, "stage": stage, "functions": work_of(plan, index)})
        yield span


def _info(ledger: Ledger, job_id: str) -> JobInfo | None:
    try:
        return ledger.info(job_id)
    except LeptonError:  # who does the work finds out and says so
        return None


def _parent(tracer: Tracer, info: JobInfo, number: StageNumber, *, asked: bool) -> Context | None:
    """The context of work in a stage; None if the job is not sampled."""
    from opentelemetry.context import get_current
    from opentelemetry.trace import get_current_span

    trace = trace_of(tracer, info)
    if not trace.is_sampled:
        return None
    current = get_current_span().get_span_context()
    return get_current() if asked and current.trace_id == trace.trace_id else trace.within_stage(number)


def _is_traced() -> bool:
    from opentelemetry.trace import get_current_span

    return get_current_span().is_recording()


@contextmanager
def _span(tracer: Tracer, name: str, parent: Context | None) -> Iterator[WorkSpan]:
    with tracer.start_as_current_span(name, parent, record_exception=False, set_status_on_exception=False) as found:
        span = WorkSpan(found)
        try:
            yield span
        except Exception as error:
            span.fail(error)
            raise
