"""The JSON documents that commands print with `--json`; `docs/command-line.md` lists their keys."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from lepton_celery.grid import StageIndex
from lepton_celery.planning.explain import work_of
from lepton_celery.planning.plan import Plan, Stage
from lepton_celery.views.fleet import FleetView
from lepton_celery.views.job import JobView
from lepton_celery.views.listing import JobRow


def job_entry(row: JobRow) -> dict[str, Any]:
    """A job as one entry of a list."""
    return {
        "job": row.job,
        "state": row.state,
        "title": row.title,
        "lane": row.lane,
        "rank": row.rank,
        "tenant": row.tenant or None,
        "owner": row.owner or None,
        "stage": row.stage,
        "round": row.round,
        "stages": row.stages,
        "blocks_done": row.blocks_done,
        "blocks": row.blocks,
        "filled_blocks": row.filled_blocks,
        "created": _time(row.created_at),
        "updated": _time(row.updated_at),
        "finished": None if row.finished_at is None else _time(row.finished_at),
        "took_s": round(row.took_s, 3),
        "error": row.error or None,
        "retry_of": row.retry_of or None,
        "retried_as": row.retried_as or None,
        "waits_for": row.waits_for or None,
    }


def job_document(view: JobView) -> dict[str, Any]:
    """A job with its outputs, its progress and its filled blocks."""
    return job_entry(view.summary) | {
        "progress": view.summary.progress,
        "predicted_s": view.predicted_s,
        "outputs": list(view.outputs),
        "filled": [
            {"stage": filled.stage, "block": filled.block, "attempts": filled.attempts, "reason": filled.reason}
            for filled in view.filled
        ],
        "failed_stage": view.failed_stage,
        "failed_block": view.failure.block if view.failure is not None else None,
        "seams": dict(view.seams),
        "warnings": list(view.warnings),
    }


def fleet_document(fleet: FleetView) -> dict[str, Any]:
    """What the autoscalers see, and what they decided; without what changes by itself within a second."""
    autoscalers = {one.name: msgspec.to_builtins(one) for one in fleet.autoscalers}
    return {
        "at": round(fleet.at),
        "autoscalers": autoscalers,
        "slots": {"ready": fleet.slots, "busy": fleet.busy_slots},
        "lanes": [
            msgspec.to_builtins(replace(lane, work_s=round(lane.work_s, 2), oldest_s=round(lane.oldest_s, 2)))
            for lane in fleet.lanes
        ],
        "other_releases": list(fleet.other_releases),
        "decisions": [msgspec.to_builtins(decision) for decision in fleet.decisions],
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
