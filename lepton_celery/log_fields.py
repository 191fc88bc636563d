"""What a line of the log is about: the job, the stage and the blocks, as fields of its record."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

FIELDS = ("job", "stage", "blocks")
"""The id of the job, the stage as `2/5`, and the places of blocks as `0-3,7`. Each is empty if a line is not about one."""

_NOTHING: Mapping[str, str] = dict.fromkeys(FIELDS, "")
_current: ContextVar[Mapping[str, str]] = ContextVar("lepton_log_fields", default=_NOTHING)


@contextmanager
def about(*, job: str | None = None, stage_label: str | None = None, blocks: str | None = None) -> Iterator[None]:
    """Say what the lines of the `with` block are about.

    What is not given stays as it was, but with another job, the stage and the blocks of the former one are gone.
    """
    given = {"job": job, "stage": stage_label, "blocks": blocks}
    before = _NOTHING if job is not None else _current.get()
    token = _current.set({**before, **{name: value for name, value in given.items() if value is not None}})
    try:
        yield
    finally:
        _current.reset(token)


def begin(*, job: str = "", stage_label: str = "", blocks: str = "") -> None:
    """Say what the lines of this thread are about, until the next call; without arguments, about nothing."""
    _current.set({"job": job, "stage": stage_label, "blocks": blocks})


def add_fields(record: logging.LogRecord) -> bool:
    """A filter of loggers and handlers: it gives a record the fields that it lacks, and the ids of the current span."""
    for name, value in _current.get().items():
        if not getattr(record, name, ""):
            setattr(record, name, value)
    if "opentelemetry.trace" in sys.modules and not hasattr(record, "trace_id"):
        from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

        span = get_current_span().get_span_context()
        if span.is_valid:
            record.trace_id, record.span_id = format_trace_id(span.trace_id), format_span_id(span.span_id)
    return True
