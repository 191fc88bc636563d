"""dask.distributed on processes, between which pixels travel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from benchmarks.cases import Task
from benchmarks.systems import dask_graph
from benchmarks.systems.base import WORKERS


class DaskProcesses:
    """A scheduler and two workers of one thread each."""

    def start(self, work: Path) -> None:
        self._cluster: Any = LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(work / "dask"),
        )
        self._client: Any = Client(self._cluster)

    def run(self, task: Task) -> None:
        dask_graph.compute(task)

    def stop(self) -> None:
        self._client.close()
        self._cluster.close()
