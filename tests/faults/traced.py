"""An application whose worker processes write their spans to files, one JSON object a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.signals import worker_process_init
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from lepton_celery.app import app as app

FOLDER = "TRACES"
"""The environment variable that names the folder of the files."""
INSTRUMENTED = "TRACES_OF_MESSAGES"
"""The environment variable that has OpenTelemetry's instrumentation of Celery trace messages too."""


@worker_process_init.connect(weak=False)
def trace_this_process(**_: Any) -> None:
    """Configure OpenTelemetry as its pages say for Celery: in each process of the pool."""
    file = (Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8")
    exporter = ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
    provider = TracerProvider(resource=Resource.create({"service.name": "workers"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    if os.environ.get(INSTRUMENTED):
        CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]
