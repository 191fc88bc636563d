"""The stage of a job as the origin of messages, for whoever traces those of Celery, as OpenTelemetry's instrumentation does.

The spans of messages thus are part of the trace of their job, even if the process that sends them is busy with another job.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from lepton_celery.config import Settings
from lepton_celery.ledger.info import JobInfo
from lepton_celery.tracing.job_trace import trace_of
from lepton_celery.tracing.tracer import tracer_of

_is_sending: ContextVar[bool] = ContextVar("lepton_is_sending", default=False)


@contextmanager
def sent_by(settings: Settings, info: JobInfo) -> Iterator[None]:
    """Make the current stage of a job the origin of the messages that are sent in the `with` block."""
    tracer = tracer_of(settings)
    if tracer is None:
        yield
        return
    from opentelemetry.context import attach, detach

    token = attach(trace_of(tracer, info).within_stage(info.stage))
    sending = _is_sending.set(True)
    try:
        yield
    finally:
        _is_sending.reset(sending)
        detach(token)


def mark(headers: MutableMapping[str, Any]) -> None:
    """Name the stage in the headers of a message, as W3C does, unless somebody has named a span there."""
    if _is_sending.get() and "traceparent" not in headers:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(headers)
