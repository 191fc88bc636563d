"""The spans of a job and its stages, which are made from the ledger's record when the job has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lepton_celery.config import Settings
from lepton_celery.errors import LeptonError
from lepton_celery.execution.manifest import Manifest
from lepton_celery.grid import StageIndex, StageNumber
from lepton_celery.ledger import JobInfo, JobState, Ledger
from lepton_celery.ledger.info import StageTimes, stage_label
from lepton_celery.ledger.record import RunRecord
from lepton_celery.planning.explain import work_of
from lepton_celery.text import logger, shown
from lepton_celery.tracing.job_trace import JOB_SPAN, STAGE_SPAN, JobTrace, trace_of
from lepton_celery.tracing.tracer import tracer_of, with_ids

if TYPE_CHECKING:  # an extra
    from opentelemetry.trace import Span, Tracer

log = logger(__name__)


def export_ended(settings: Settings, ledger: Ledger | RunRecord, job_id: str) -> None:
    """Export the spans of a job that has ended, unless a process has done so. Any number of processes may try."""
    tracer = tracer_of(settings)
    if tracer is None:
        return
    try:
        info = ledger.info(job_id)
        if info.state.is_open:
            return
        trace = trace_of(tracer, info)
        if trace.is_sampled and ledger.take_trace(job_id):
            export, functions = _Export(tracer, trace, info), _functions(settings, ledger, info)
            export.export_job()
            for number, times in sorted(info.stage_times.items()):
                export.export_stage(number, times, functions[number % info.stages])
    except LeptonError as error:
        log.debug("job %s has no spans: %s", job_id, error)


def _functions(settings: Settings, ledger: Ledger | RunRecord, info: JobInfo) -> list[list[str]]:
    """The functions of each stage of a job's plan; none if its manifest cannot be read."""
    try:
        plan = Manifest.from_json(ledger.manifest(info.job_id), settings.secret_key, info.job_id).plan
    except LeptonError:
        return [[] for _ in range(info.stages)]
    return [work_of(plan, StageIndex(index)) for index in range(len(plan.stages))]


class _Export:
    """Exports the spans of one run of a job."""

    def __init__(self, tracer: Tracer, trace: JobTrace, info: JobInfo) -> None:
        self._tracer, self._trace, self._info = tracer, trace, info
        self._began = info.resumed_at or info.created_at
        self._ended = info.finished_at or info.updated_at
        self._has_failed = info.state is JobState.FAILED

    def export_job(self) -> None:
        """Export the span of the job."""
        from opentelemetry.trace import Link

        info, trace, before = self._info, self._trace, self._trace.before()
        about = _about(info.stats) | {
            "lepton.job.state": info.state.value,
            "lepton.stages": info.stages,
            "lepton.lost_attempts": info.lost_attempts,
            "lepton.filled_blocks": info.filled,
        }
        links = [Link(before)] if before is not None else []
        if (tracer := with_ids(self._tracer, trace.trace_id, trace.job_span_id())) is not None:
            span = tracer.start_span(JOB_SPAN, trace.within_parent(), links=links, start_time=_ns(self._began))
            self._end(span, about, self._ended, has_failed=self._has_failed)

    def export_stage(self, number: StageNumber, times: StageTimes, functions: list[str]) -> None:
        """Export the span of a stage, if it was open in this run."""
        if times.began is None or (times.ended is not None and times.ended < self._began):
            return
        info, trace = self._info, self._trace
        label = {"lepton.stage": stage_label(number, info.stages), "lepton.functions": functions}
        about = _about(info.stage_stats.get(number, {})) | label
        has_failed = self._has_failed and number == (info.stage if info.error_stage < 0 else info.error_stage)
        if (tracer := with_ids(self._tracer, trace.trace_id, trace.stage_span_id(number))) is not None:
            began = max(times.began, self._began)
            span = tracer.start_span(STAGE_SPAN, trace.within_job(), start_time=_ns(began))
            self._end(span, about, times.ended or self._ended, has_failed=has_failed)

    def _end(self, span: Span, about: Mapping[str, Any], ended: float, *, has_failed: bool) -> None:
        from opentelemetry.trace import StatusCode

        info = self._info
        span.set_attributes({"lepton.job.id": info.job_id, "lepton.lane": info.lane, **about})
        if has_failed:
            reason = shown(info.error)
            error = {"exception.type": "lepton_celery.errors.JobFailed", "exception.message": reason}
            span.add_event("exception", error, timestamp=_ns(ended))
            span.set_status(StatusCode.ERROR, reason)
        span.end(end_time=_ns(ended))


def _about(stats: Mapping[str, float]) -> dict[str, Any]:
    """What a job or a stage did, as attributes."""
    compute_s = stats.get("compute_s", 0.0)
    return {
        "lepton.blocks": int(stats.get("blocks", 0)),
        "lepton.read_bytes": int(stats.get("read_bytes", 0)),
        "lepton.written_bytes": int(stats.get("write_bytes", 0)),
        "lepton.computing_s": round(compute_s, 6),
        "lepton.other_work_s": round(max(0.0, stats.get("batch_s", compute_s) - compute_s), 6),
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
