"""Traces: off without OpenTelemetry or by the setting, ids that follow from the job's, records that are damaged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

import lepton_celery as lepton
from lepton_celery.config import Settings
from lepton_celery.grid import StageNumber
from lepton_celery.ledger.info import JobInfo, JobState
from lepton_celery.skimage import filters
from lepton_celery.tracing.ended import export_ended
from lepton_celery.tracing.job_trace import current_trace, trace_of
from lepton_celery.tracing.messages import mark, sent_by
from lepton_celery.tracing.tracer import tracer_of, with_ids
from lepton_celery.tracing.work import submission

ON, OFF = Settings(), Settings(tracing=False)
INFO = JobInfo(
    "4f2a",
    JobState.DONE,
    "default",
    "a title",
    StageNumber(0),
    1,
    4,
    4,
    4,
    created_at=10.0,
    updated_at=12.0,
    finished_at=12.0,
)


class OneJob:
    """A ledger with one job."""

    def __init__(self, info: JobInfo) -> None:
        self._info, self.taken = info, 0

    def info(self, job_id: str) -> JobInfo:
        return self._info

    def manifest(self, job_id: str) -> dict[str, Any]:
        return {}

    def take_trace(self, job_id: str) -> bool:
        self.taken += 1
        return self.taken == 1


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    found, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_TRACER_PROVIDER", provider)
        yield found


def tracer() -> trace.Tracer:
    found = tracer_of(ON)
    assert found is not None
    return found


def test_nothing_of_opentelemetry_is_imported_unless_the_program_does() -> None:
    code = """
import sys
from lepton_celery.config import Settings
from lepton_celery.tracing import ended, work, messages, job_trace, tracer
assert tracer.tracer_of(Settings()) is None
with work.submission(Settings()) as span:
    span.note(blocks=3)
print(job_trace.current_trace(Settings()), [name for name in sys.modules if name.startswith("opentelemetry")])
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


def test_without_a_provider_there_is_no_tracer() -> None:
    assert tracer_of(ON) is None


def test_the_setting_turns_traces_off(exporter: InMemorySpanExporter) -> None:
    with trace.get_tracer("web").start_as_current_span("request"):
        with submission(OFF) as span:
            span.note(blocks=1)
        assert current_trace(OFF) == "" and current_trace(ON).startswith("00-")
        headers: dict[str, Any] = {}
        with sent_by(OFF, INFO):
            mark(headers)
    export_ended(OFF, OneJob(INFO), INFO.job_id)  # type: ignore[arg-type]
    assert headers == {} and [span.name for span in exporter.get_finished_spans()] == ["request"]


@pytest.mark.parametrize(
    "text", ["", "x", "00-1-2-3", "ff-" + "0" * 32 + "-" + "0" * 16 + "-01", "\n" * 9, "a" * 10_000]
)
@pytest.mark.usefixtures("exporter")
def test_a_job_whose_trace_is_empty_or_damaged_begins_one(text: str) -> None:
    found, plain = trace_of(tracer(), replace(INFO, trace=text)), trace_of(tracer(), INFO)
    assert found == plain and found.trace_id and found.parent is None and found.is_sampled


@pytest.mark.usefixtures("exporter")
def test_ids_follow_from_the_job_its_run_and_the_stage() -> None:
    one, again = trace_of(tracer(), INFO), trace_of(tracer(), replace(INFO, resumed=1))
    ids = [
        one.job_span_id(),
        again.job_span_id(),
        *(run.stage_span_id(StageNumber(n)) for run in (one, again) for n in (0, 1)),
    ]
    assert len(set(ids)) == len(ids) and all(0 < found < 1 << 64 for found in ids)
    before = again.before()
    assert before is not None and before.span_id == one.job_span_id() and one.before() is None


def test_samplers_decide_by_the_trace_id_the_same_in_every_process() -> None:
    tracers = [
        TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.5))).get_tracer("lepton_celery") for _ in range(2)
    ]
    decided = [[trace_of(one, replace(INFO, job_id=f"{n:x}")).is_sampled for n in range(64)] for one in tracers]
    assert decided[0] == decided[1] and 8 < sum(decided[0]) < 56


def test_a_job_is_exported_once_from_its_record(exporter: InMemorySpanExporter) -> None:
    job = OneJob(INFO)
    for _ in range(3):
        export_ended(ON, job, INFO.job_id)  # type: ignore[arg-type]
    [span] = exporter.get_finished_spans()
    known = trace_of(tracer(), INFO)
    assert span.context is not None and span.parent is None
    assert (span.name, span.context.span_id, span.context.trace_id) == (
        "lepton.job",
        known.job_span_id(),
        known.trace_id,
    )
    assert (span.start_time, span.end_time) == (10_000_000_000, 12_000_000_000)


def test_an_open_job_is_not_exported(exporter: InMemorySpanExporter) -> None:
    job = OneJob(replace(INFO, state=JobState.RUNNING))
    export_ended(ON, job, INFO.job_id)  # type: ignore[arg-type]
    assert not job.taken and not exporter.get_finished_spans()


def test_a_tracer_without_a_generator_of_ids_is_left_alone() -> None:
    assert with_ids(trace.NoOpTracer(), 1, 2) is None


def test_messages_name_the_stage_that_sends_them(exporter: InMemorySpanExporter) -> None:
    known = trace_of(tracer(), INFO)
    headers: dict[str, Any] = {}
    with trace.get_tracer("web").start_as_current_span("another job"):
        with sent_by(ON, INFO):
            mark(headers)
        other: dict[str, Any] = {}
        mark(other)
    assert headers == {"traceparent": f"00-{known.trace_id:032x}-{known.stage_span_id(StageNumber(0)):016x}-01"}
    assert other == {}


def test_a_password_in_an_error_is_not_exported(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret"), submission(ON):
        raise ValueError("redis://user:secret@host/0 does not answer")
    [span] = exporter.get_finished_spans()
    assert "secret" not in span.to_json() and "does not answer" in span.to_json()


def test_a_job_in_this_process_is_traced_too(exporter: InMemorySpanExporter, tmp_path: Path) -> None:
    image = lepton.open(np.ones((20, 30), np.uint8))
    with trace.get_tracer("web").start_as_current_span("request"):
        job = lepton.run({str(tmp_path / "o.npy"): image > filters.threshold_otsu(image)}, threads=2)
    spans = {span.context.span_id: span for span in exporter.get_finished_spans() if span.context is not None}
    paths = sorted((span.name, spans[span.parent.span_id].name) for span in spans.values() if span.parent is not None)
    assert set(paths) == {("lepton.job", "request"), ("lepton.stage", "lepton.job"), ("lepton.publish", "lepton.job")}
    assert paths.count(("lepton.stage", "lepton.job")) == job.info().stages
