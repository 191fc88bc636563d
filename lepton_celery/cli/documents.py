"""The JSON documents that commands print with `--json`; `docs/command-line.md` lists their keys."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from lepton_celery.grid import StageIndex
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.report import progress_of, took_s
from lepton_celery.ledger.info import JobInfo
from lepton_celery.planning.explain import work_of
from lepton_celery.planning.plan import Plan, Stage


def job_entry(info: JobInfo) -> dict[str, Any]:
    """A job as one entry of a list."""
    return {
        "job": info.job_id,
        "state": str(info.state),
        "title": info.title,
        "lane": info.lane,
        "rank": info.rank,
        "tenant": info.tenant or None,
        "stage": info.stage_index + 1,
        "round": info.stage // info.stages + 1,
        "stages": info.stages,
        "blocks_done": info.blocks_done,
        "blocks": info.blocks_total,
        "filled_blocks": info.filled,
        "created": _time(info.created_at),
        "updated": _time(info.updated_at),
        "finished": None if info.finished_at is None else _time(info.finished_at),
        "took_s": round(took_s(info), 3),
        "error": info.error or None,
        "waits_for": info.waits_for or None,
    }


def job_document(job: Job) -> dict[str, Any]:
    """A job with its outputs, its progress and its filled blocks."""
    info, manifest = job.info(), job.manifest()
    failure = job.failure()
    return job_entry(info) | {
        "progress": round(progress_of(info, manifest.plan), 4),
        "predicted_s": _number(manifest.plan.predicted_s),
        "outputs": manifest.output_paths(),
        "filled": [
            {"stage": filled.stage + 1, "block": filled.block, "attempts": filled.attempts, "reason": filled.reason}
            for filled in job.filled_blocks()
        ],
        "failed_stage": failure.stage + 1 if failure is not None and failure.stage >= 0 else None,
        "failed_block": failure.block if failure is not None and failure.block >= 0 else None,
        "seams": job.seams(),
        "warnings": job.warnings(),
    }


def plan_document(plan: Plan, others: Iterable[tuple[str, Plan]]) -> dict[str, Any]:
    """A plan and its alternatives, each of which has the text that says how it differs."""
    return {
        "predicted_s": _number(plan.predicted_s),
        "workers": plan.workers,
        "blocks": plan.blocks,
        "figures": plan.costs,
        "stages": [_stage(plan, StageIndex(index), stage) for index, stage in enumerate(plan.stages)],
        "alternatives": [
            {"difference": difference, "predicted_s": _number(other.predicted_s), "memory_bytes": _memory_bytes(other)}
            for difference, other in others
        ],
    }


def _stage(plan: Plan, index: StageIndex, stage: Stage) -> dict[str, Any]:
    predicted = stage.predicted
    return {
        "work": work_of(plan, index),
        "blocks": len(stage.grid),
        "block_shape": list(stage.block_shape),
        "halo": list(predicted.halo),
        "batches": -(-len(stage.grid) // stage.batch_blocks),
        "memory_bytes": predicted.memory_bytes,
        "read_bytes": predicted.read_bytes,
        "write_bytes": predicted.write_bytes,
        "predicted_s": _number(predicted.wall_s),
        "compute_s": _number(predicted.compute_s),
        "communication_s": _number(predicted.communication_s),
        "merge_s": _number(predicted.merge_s),
    }


def _memory_bytes(plan: Plan) -> float:
    return max(stage.predicted.memory_bytes for stage in plan.stages)


def _number(value: float) -> float | None:
    """A number that JSON has."""
    return round(value, 6) if math.isfinite(value) else None


def _time(seconds: float) -> str:
    """Seconds since the epoch as a time in UTC, such as 2026-11-26T22:58:49Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
