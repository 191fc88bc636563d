"""The trace of a job: its id, what it continues, and the ids of the spans of the job and its stages.

No process lives as long as a job or a stage. Whoever works on a batch names the stage as its parent before anybody has
exported the span of the stage, so the ids of these spans follow from the job's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from lepton_celery.config import Settings
from lepton_celery.grid import StageNumber
from lepton_celery.ledger.info import JobInfo
from lepton_celery.tracing.tracer import is_loaded

if TYPE_CHECKING:  # an extra
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext, Tracer

JOB_SPAN, STAGE_SPAN = "lepton.job", "lepton.stage"
_SEPARATOR = " "
"""Between the traceparent and the tracestate of W3C, in the ledger."""


def current_trace(settings: Settings) -> str:
    """The current span as the ledger keeps it: W3C's traceparent, and the tracestate if there is one. Empty for no span."""
    if not (settings.tracing and is_loaded()):
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return _SEPARATOR.join(filter(None, (carrier.get("traceparent"), carrier.get("tracestate"))))


@dataclass(frozen=True, slots=True)
class JobTrace:
    """The trace of a job, from when it was submitted or resumed after a failure."""

    job_id: str
    run: int
    """How often the job had been resumed after a failure: each of these runs has spans of its own."""
    trace_id: int
    parent: SpanContext | None
    """The span in which the job was submitted; None if there was none."""
    is_sampled: bool

    def job_span_id(self, *, run: int | None = None) -> int:
        """The id of the job's span, of this run unless another one is given."""
        return _id_of(f"{self.job_id} {self.run if run is None else run}", 8)

    def stage_span_id(self, number: StageNumber) -> int:
        """The id of a stage's span."""
        return _id_of(f"{self.job_id} {self.run} {number}", 8)

    def within_parent(self) -> Context:
        """The context of the job's span."""
        return _within(self.parent)

    def within_job(self) -> Context:
        """The context of a span of a stage."""
        return _within(self._span(self.job_span_id()))

    def within_stage(self, number: StageNumber) -> Context:
        """The context of what is done in a stage."""
        return _within(self._span(self.stage_span_id(number)))

    def before(self) -> SpanContext | None:
        """The span of the run that failed before this one; None for the first run."""
        return self._span(self.job_span_id(run=self.run - 1)) if self.run else None

    def _span(self, span_id: int) -> SpanContext:
        from opentelemetry.trace import SpanContext, TraceFlags

        flags = TraceFlags(TraceFlags.SAMPLED if self.is_sampled else TraceFlags.DEFAULT)
        state = self.parent.trace_state if self.parent is not None else None
        return SpanContext(self.trace_id, span_id, is_remote=True, trace_flags=flags, trace_state=state)


def trace_of(tracer: Tracer, info: JobInfo) -> JobTrace:
    """The trace of a job. One that was submitted without a span begins a trace, whose id follows from the job's."""
    parent = _parse(info.trace) if info.trace else None
    if parent is not None:
        is_sampled = bool(parent.trace_flags.sampled)
        return JobTrace(info.job_id, info.resumed, parent.trace_id, parent, is_sampled)
    trace_id = _id_of(info.job_id, 16)
    return JobTrace(info.job_id, info.resumed, trace_id, None, _is_sampled(tracer, trace_id))


@lru_cache(maxsize=256)
def _is_sampled(tracer: Any, trace_id: int) -> bool:
    """The decision of the sampler for a trace that begins with a job.

    Each process asks its own, and samplers that go by the trace id, as OpenTelemetry's do, decide alike.
    """
    sampler = getattr(tracer, "sampler", None)  # of the SDK's tracers
    return sampler is None or bool(sampler.should_sample(None, trace_id, JOB_SPAN).decision.is_sampled())


def _parse(text: str) -> SpanContext | None:
    """The span that the ledger names; None if the text is damaged."""
    from opentelemetry.context import Context
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    traceparent, _, tracestate = text.partition(_SEPARATOR)
    carrier = {"traceparent": traceparent, "tracestate": tracestate}
    found = get_current_span(TraceContextTextMapPropagator().extract(carrier, Context())).get_span_context()
    return found if found.is_valid else None


def _within(parent: SpanContext | None) -> Context:
    """The context with a parent, and with nothing else; without a parent, a new trace begins in it."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    return Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())


def _id_of(text: str, count: int) -> int:
    """An id of `count` bytes that is derived from a text. It is never 0, which OpenTelemetry takes for no id."""
    return int.from_bytes(blake2b(text.encode(), digest_size=count, person=b"lepton trace").digest()) or 1
