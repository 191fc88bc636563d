"""Has a worker that serves a lane use the autoscaler of this package, unless its application has one of its own."""

from __future__ import annotations

from typing import Any

from celery import bootsteps

from lepton_celery.engines.celery.sending.queues import served_lanes

AUTOSCALER = "lepton_celery.fleet.pool:PoolScaler"
"""Named as Celery's setting `worker_autoscaler` names a class; it is loaded by workers with `--autoscale` only."""

_CELERYS = "celery.worker.autoscale:Autoscaler"


class AutoscalingStep(bootsteps.Step):
    """Chooses the autoscaler, before Celery creates it; ends a worker with `--autoscale` whose pool cannot grow."""

    def __init__(self, parent: Any, autoscale: Any = None, **options: Any) -> None:
        super().__init__(parent, **options)
        if not autoscale or parent.autoscaler_cls != _CELERYS or not served_lanes(parent.app):
            return
        kind = parent.pool_cls.__module__.rpartition(".")[2]
        if kind != "prefork":
            raise SystemExit(
                f"this worker has --pool={kind} and --autoscale, but only a pool of processes can grow; leave out --pool, "
                "or give --concurrency=N instead of --autoscale"
            )
        parent.autoscaler_cls = AUTOSCALER
