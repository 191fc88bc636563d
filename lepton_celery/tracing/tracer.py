"""The tracer of this process, if the program has configured OpenTelemetry."""

from __future__ import annotations

import copy
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lepton_celery import __version__
from lepton_celery.config import Settings

if TYPE_CHECKING:  # an extra
    from opentelemetry.trace import Tracer

_API = "opentelemetry.trace"
_FLUSH_MS = 2000
"""Longest time, in milliseconds, for which a process that ends waits for its last spans."""
_WITHOUT_SPANS = ("ProxyTracerProvider", "NoOpTracerProvider")
"""Providers of the API alone, which record nothing."""


def is_loaded() -> bool:
    """Whether the program uses OpenTelemetry at all. If not, nothing of it is imported."""
    return _API in sys.modules


def tracer_of(settings: Settings) -> Tracer | None:
    """The tracer of this process; None if the program configured none, or the setting `tracing` is off."""
    if not (settings.tracing and is_loaded()):
        return None
    from opentelemetry.trace import get_tracer_provider

    provider = get_tracer_provider()
    return None if type(provider).__name__ in _WITHOUT_SPANS else _tracer(provider)


@lru_cache(maxsize=1)
def _tracer(provider: Any) -> Tracer:
    tracer: Tracer = provider.get_tracer("lepton_celery", __version__)
    return tracer


def flush(settings: Settings) -> None:
    """Export the spans that wait for it, before this process ends without running exit handlers."""
    if tracer_of(settings) is not None:
        from opentelemetry.trace import get_tracer_provider

        force = getattr(get_tracer_provider(), "force_flush", None)  # of the SDK's provider
        if force is not None:
            force(timeout_millis=_FLUSH_MS)


def with_ids(tracer: Tracer, trace_id: int, span_id: int) -> Tracer | None:
    """A tracer whose next span has these ids; None if it is not one of OpenTelemetry's SDK, which asks a generator for ids.

    The API has no way to choose them. The trace id counts for a span without a parent only.
    """
    ids = getattr(tracer, "id_generator", None)
    if ids is None:
        return None
    ids, chosen = copy.copy(ids), copy.copy(tracer)
    ids.generate_trace_id = lambda: trace_id
    ids.generate_span_id = lambda: span_id
    chosen.id_generator = ids  # type: ignore[attr-defined]  # of the SDK's tracers
    return chosen
