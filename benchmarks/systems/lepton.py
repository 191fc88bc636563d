"""lepton_celery, on Celery workers and on threads."""

from __future__ import annotations

from pathlib import Path

import lepton_celery as lepton
from benchmarks.cases import Task
from benchmarks.systems.base import WORKERS
from benchmarks.workloads import workload_of
from lepton_celery.config import load_settings
from lepton_celery.local.stack import LocalStack


class LeptonCelery:
    """Jobs on workers as `lepton up` starts them."""

    def start(self, work: Path) -> None:
        self._stack = LocalStack(work / "lepton", workers=WORKERS, flower=False)
        self._stack.start()
        self._app = lepton.create_app(
            load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": self._stack.broker_url})
        )

    def run(self, task: Task) -> None:
        outputs = workload_of(task).graph(task)
        lepton.submit(outputs, app=self._app, block_shape=task.case.block, workers=WORKERS).wait(300)

    def stop(self) -> None:
        self._stack.stop()


class LeptonInline:
    """The inline engine: the same plan on threads, without a broker."""

    def start(self, work: Path) -> None:
        pass

    def run(self, task: Task) -> None:
        lepton.run(workload_of(task).graph(task), threads=WORKERS, block_shape=task.case.block)

    def stop(self) -> None:
        pass
