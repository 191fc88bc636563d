"""Traces of jobs on real workers that write their spans to files, and with OpenTelemetry's own instrumentation of Celery."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from celery import Celery
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import lepton_celery as lepton
from lepton_celery.errors import JobFailed
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters
from tests.faults.traced import FOLDER, INSTRUMENTED
from tests.stacks import short_lived
from tests.waiting import eventually
from tests.worker.conftest import app_of
from tests.worker.dark_images import mapped, submit

pytestmark = pytest.mark.worker

BLOCKS = 16


class Span(NamedTuple):
    """A span that a process exported."""

    name: str
    id: str
    parent: str
    trace: str
    began: str
    ended: str
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    status: dict[str, Any]
    links: list[str]
    process: str


class Traces:
    """The spans of workers, in files, and of this process, which submits."""

    def __init__(self, folder: Path, here: InMemorySpanExporter) -> None:
        self._folder, self._here = folder, here

    def of(self, job: lepton.Job) -> list[Span]:
        """The spans of the trace of a job, once the job's own and all parents are there: several processes export them."""
        found: list[Span] = []

        def is_whole() -> bool:
            spans = self.spans()
            ids = {span.trace for span in spans if self._is_of(span, job)}
            assert len(ids) <= 1
            found[:] = [span for span in spans if span.trace in ids]
            return bool(found) and {span.parent for span in found if span.parent} <= {span.id for span in found}

        eventually(is_whole, "the span of the job, and the parents of its others", 60)
        return found

    def _is_of(self, span: Span, job: lepton.Job) -> bool:
        return span.name == "lepton.job" and span.attributes["lepton.job.id"] == job.id

    def runs(self, job: lepton.Job) -> int:
        """How often the job was exported."""
        return sum(self._is_of(span, job) for span in self.spans())

    def spans(self) -> list[Span]:
        here = [("here", json.loads(span.to_json())) for span in self._here.get_finished_spans()]
        files = [
            (path.name, json.loads(line))
            for path in self._folder.glob("*.jsonl")
            for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]
        return [
            Span(
                found["name"],
                found["context"]["span_id"],
                found["parent_id"] or "",
                found["context"]["trace_id"],
                found["start_time"],
                found["end_time"],
                found["attributes"],
                found["events"],
                found["status"],
                [link["context"]["span_id"] for link in found["links"]],
                process,
            )
            for process, found in [*here, *files]
        ]


def tree(spans: list[Span]) -> Counter[str]:
    """How often each path of names from the root occurs. Every parent was exported, and no id twice."""
    by_id = {span.id: span for span in spans}
    assert len(by_id) == len(spans)

    def path(span: Span) -> str:
        return f"{path(by_id[span.parent])} > {span.name}" if span.parent else span.name

    return Counter(map(path, spans))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traces")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[LocalStack]:
    """Two workers that trace."""
    project = Project("tests.faults.traced", "test", {FOLDER: str(folder)})
    directory = tmp_path_factory.mktemp("stack")
    with short_lived(LocalStack(directory, workers=2, flower=False, project=project)) as started:
        yield started


@pytest.fixture(scope="module")
def app(stack: LocalStack) -> Celery:
    return app_of(stack)


@pytest.fixture
def here() -> Iterator[InMemorySpanExporter]:
    """Trace this process during a test."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_TRACER_PROVIDER", provider)
        yield exporter


@pytest.fixture
def traces(folder: Path, here: InMemorySpanExporter) -> Traces:
    return Traces(folder, here)


@pytest.mark.usefixtures("dark")
def test_a_web_request_continues_in_the_stages_and_batches_of_its_job(
    app: Celery, traces: Traces, tmp_path: Path
) -> None:
    image = lepton.open(tmp_path / "input.npy")
    smooth = filters.gaussian(image, sigma=2)
    with trace.get_tracer("web").start_as_current_span("POST /slides"):
        job = submit(tmp_path, app, smooth > filters.threshold_otsu(smooth), title="secret title\n")
    job.wait(180)
    spans = traces.of(job)
    found = tree(spans)
    stages = job.info().stages
    above = "POST /slides > lepton.submit > lepton.job > lepton.stage"
    batches = [span for span in spans if span.name == "lepton.batch"]
    assert stages >= 2 and len(batches) >= stages
    assert found == {
        "POST /slides": 1,
        "POST /slides > lepton.submit": 1,
        "POST /slides > lepton.submit > lepton.job": 1,
        above: stages,
        f"{above} > lepton.batch": len(batches),
        f"{above} > lepton.merge": stages,
        f"{above} > lepton.merge > lepton.publish": 1,
    }
    by_id = {span.id: span for span in spans}
    for span in batches:
        stage = by_id[span.parent]
        assert stage.began[:19] <= span.began[:19] <= span.ended[:19] <= stage.ended[:19]
        assert {
            "lepton.stage": stage.attributes["lepton.stage"],
            "lepton.lane": "default",
        }.items() <= span.attributes.items()
    [whole] = [span for span in spans if span.name == "lepton.job"]
    assert (
        whole.attributes["lepton.blocks"]
        == sum(span.attributes["lepton.blocks"] for span in batches)
        == stages * BLOCKS
    )
    assert whole.attributes["lepton.job.state"] == "done" and whole.status["status_code"] == "UNSET"
    written = sum(span.attributes["lepton.written_bytes"] for span in batches)
    assert whole.attributes["lepton.written_bytes"] == written > 0
    assert any("gaussian" in " ".join(span.attributes["lepton.functions"]) for span in batches)
    assert not any("secret" in json.dumps(span.attributes) for span in spans)


@pytest.mark.usefixtures("dark")
def test_a_job_of_an_untraced_program_begins_a_trace(app: Celery, folder: Path, tmp_path: Path) -> None:
    job = submit(tmp_path, app, mapped(tmp_path, "inverted"))
    job.wait(180)
    spans = Traces(folder, InMemorySpanExporter()).of(job)
    batches = sum(span.name == "lepton.batch" for span in spans)
    above = "lepton.job > lepton.stage"
    assert tree(spans) == {
        "lepton.job": 1,
        above: 1,
        f"{above} > lepton.batch": batches,
        f"{above} > lepton.merge": 1,
        f"{above} > lepton.merge > lepton.publish": 1,
    }


@pytest.mark.usefixtures("dark")
def test_a_trace_that_is_not_sampled_has_no_spans(
    app: Celery, here: InMemorySpanExporter, traces: Traces, tmp_path: Path
) -> None:
    off = trace.SpanContext(7, 7, is_remote=True, trace_flags=trace.TraceFlags(0))
    with trace.use_span(trace.NonRecordingSpan(off)):
        job = submit(tmp_path, app, mapped(tmp_path, "inverted"))
    job.wait(180)
    assert job.info().trace.startswith(f"00-{7:032x}-") and job.info().trace.endswith("-00")
    assert not [span for span in traces.spans() if span.attributes.get("lepton.job.id") == job.id]


@pytest.mark.usefixtures("dark")
def test_a_killed_process_leaves_one_tree_that_tells_of_the_lost_attempt(
    app: Celery, stack: LocalStack, traces: Traces, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    job = submit(tmp_path, app, mapped(tmp_path, "dies_twice", log=str(log)))
    job.wait(180)
    spans = traces.of(job)
    found = tree(spans)
    above = "lepton.submit > lepton.job > lepton.stage"
    assert found["lepton.submit > lepton.job"] == found[above] == found[f"{above} > lepton.merge"] == 1
    lost = [event for span in spans for event in span.events if event["name"] == "lepton.lost_attempts"]
    assert lost and all(event["attributes"]["lepton.attempts"] >= 1 for event in lost)
    [whole] = [span for span in spans if span.name == "lepton.job"]
    assert whole.attributes["lepton.lost_attempts"] >= 2


@pytest.mark.usefixtures("dark")
def test_a_failed_job_has_its_error_and_its_resumption_spans_of_its_own(
    app: Celery, traces: Traces, tmp_path: Path
) -> None:
    cured = tmp_path / "cured"
    job = submit(tmp_path, app, mapped(tmp_path, "raises", cured=str(cured)))
    with pytest.raises(JobFailed):
        job.wait(180)
    spans = traces.of(job)
    tree(spans)
    failed = {span.name: span for span in spans if span.status["status_code"] == "ERROR"}
    assert failed.keys() == {"lepton.job", "lepton.stage", "lepton.batch"}
    assert "a bright pixel" in failed["lepton.job"].events[0]["attributes"]["exception.message"]
    raised = [event["attributes"] for event in failed["lepton.batch"].events if event["name"] == "exception"]
    assert {"exception.type": "builtins.ValueError", "exception.message": "ValueError: a bright pixel"} in raised
    cured.touch()
    lepton.resume(job.id, app=app).wait(180)
    eventually(lambda: traces.runs(job) == 2)
    spans = traces.of(job)
    tree(spans)
    [again] = [span for span in spans if span.name == "lepton.job" and span.status["status_code"] != "ERROR"]
    assert again.links == [failed["lepton.job"].id]
    assert again.began >= failed["lepton.job"].ended


@pytest.mark.usefixtures("dark")
def test_who_cancels_a_job_exports_its_spans(app: Celery, stack: LocalStack, traces: Traces, tmp_path: Path) -> None:
    log, until = tmp_path / "log", tmp_path / "until"
    job = submit(tmp_path, app, mapped(tmp_path, "held", until=str(until), log=str(log)))
    eventually(log.exists)
    assert job.cancel()
    until.touch()
    [whole] = [span for span in traces.of(job) if span.name == "lepton.job"]
    assert whole.process == "here" and whole.attributes["lepton.job.state"] == "cancelled"


@pytest.mark.usefixtures("dark")
def test_a_killed_worker_leaves_one_tree(app: Celery, stack: LocalStack, traces: Traces, tmp_path: Path) -> None:
    """The last test of `stack`, which has one worker less then."""
    log, until = tmp_path / "log", tmp_path / "until"
    job = submit(tmp_path, app, mapped(tmp_path, "held", until=str(until), log=str(log)))
    eventually(lambda: log.exists() and len(log.read_text().split()) >= 2)  # both work
    stack.processes[-1].kill()
    until.touch()
    job.wait(180)
    spans = traces.of(job)
    found = tree(spans)
    assert found["lepton.submit > lepton.job"] == found["lepton.submit > lepton.job > lepton.stage"] == 1
    assert sum(span.attributes["lepton.blocks"] for span in spans if span.name == "lepton.batch") == BLOCKS
    [whole] = [span for span in spans if span.name == "lepton.job"]
    assert whole.attributes["lepton.lost_attempts"] >= 1
    assert any(event["name"] == "lepton.lost_attempts" for span in spans for event in span.events)


@pytest.mark.usefixtures("dark")
def test_the_spans_of_celerys_messages_are_in_the_trace_of_their_job(
    tmp_path: Path, here: InMemorySpanExporter
) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    project = Project("tests.faults.traced", "test", {FOLDER: str(folder), INSTRUMENTED: "1"})
    with short_lived(LocalStack(tmp_path / "stack", workers=1, flower=False, project=project)) as stack:
        image = lepton.open(tmp_path / "input.npy")
        mask = image > filters.threshold_otsu(image)
        job = submit(tmp_path, app_of(stack), mask)
        job.wait(180)
        traces = Traces(folder, here)
        spans = traces.of(job)
        eventually(lambda: any(span.name == "run/lepton.process" for span in traces.spans()))
        spans = traces.of(job)
    found = tree(spans)
    stage = "lepton.submit > lepton.job > lepton.stage"
    assert found[f"{stage} > run/lepton.process > lepton.batch"] >= 1
    # the first batch of the second stage comes without a message
    assert found[f"{stage} > lepton.batch"] + found[f"{stage} > run/lepton.process > lepton.batch"] >= 2
    assert {span.trace for span in traces.spans()} == {spans[0].trace}
    assert Counter(span.name for span in spans)["lepton.job"] == 1
