"""Records a trace from a ledger: when jobs came, and how much work they were. No title, path or name is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lepton_celery.errors import InputError, LeptonError
from lepton_celery.execution.manifest import Manifest
from lepton_celery.fleet.simulation.measured import Stage
from lepton_celery.fleet.simulation.trace import Arrival, Trace
from lepton_celery.ledger import JobInfo, Ledger
from lepton_celery.planning.plan import Stage as PlannedStage

_MOST_JOBS = 100_000
"""Number of the newest jobs that a trace may have."""


def record_trace(
    ledger: Ledger, targets: Mapping[str, float], *, keys: Sequence[str] = (), limit: int = _MOST_JOBS
) -> Trace:
    """The jobs that a ledger knows, as a trace that begins with the oldest; jobs whose entries are damaged are left out.

    Args:
        ledger: the ledger.
        targets: the target wait of each lane, the most urgent lane first.
        keys: secret keys, one of which signed the manifests.
        limit: the number of newest jobs that are recorded.

    Raises:
        InputError: the ledger has no job that can be recorded.
    """
    infos = sorted(ledger.jobs(limit=limit), key=lambda info: info.created_at)
    arrivals = list(_arrivals(ledger, infos, keys))
    if not arrivals:
        raise InputError(
            "the ledger has no job that can be recorded; run some, and record them before they are forgotten"
        )
    begin = arrivals[0].at
    tenants = {
        name: f"tenant {number}" for number, name in enumerate(dict.fromkeys(each.tenant for each in arrivals), 1)
    }
    return Trace(
        name="recorded",
        about=f"{len(arrivals):,} jobs of a ledger",
        until_s=round(arrivals[-1].at - begin + max(targets.values()), 1),
        targets=dict(targets),
        arrivals=tuple(
            Arrival(round(each.at - begin, 3), each.lane, each.stages, tenants[each.tenant] if each.tenant else "")
            for each in arrivals
            if each.lane in targets
        ),
    )


def _arrivals(ledger: Ledger, infos: Sequence[JobInfo], keys: Sequence[str]) -> Iterator[Arrival]:
    for info in infos:
        try:
            manifest = Manifest.from_json(ledger.manifest(info.job_id), keys, info.job_id)
        except LeptonError:  # damaged, forgotten meanwhile, or of another release
            continue
        rounds = [-(-(info.stage + 1 - index) // info.stages) for index in range(info.stages)]
        stages = tuple(
            _measured(stage)
            for stage, times in zip(manifest.plan.stages, rounds, strict=True)
            for _ in range(max(1, times))
        )
        yield Arrival(info.created_at, info.lane, stages, info.tenant)


def _measured(stage: PlannedStage) -> Stage:
    predicted, blocks = stage.predicted, len(stage.grid)
    block_s = max(1e-6, (predicted.work_s - predicted.merge_s) / max(1, predicted.blocks or blocks))
    return Stage(blocks, stage.batch_blocks, (float(f"{block_s:.3g}"),), float(f"{predicted.merge_s:.3g}"))
