"""`lepton.calibrate`: measures what work costs on this machine, and keeps it for the plans to come."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lepton_celery.calibration import measure as calibration
from lepton_celery.catalogue import load_kernels
from lepton_celery.config import Settings, load_settings
from lepton_celery.engines.celery.app import create_app
from lepton_celery.errors import LeptonError, WaitTimeout
from lepton_celery.graph.nodes import apply
from lepton_celery.graph.nodes import open as open_image
from lepton_celery.grid import StageNumber
from lepton_celery.jobs.find import find_settings
from lepton_celery.jobs.submit import submit
from lepton_celery.ledger import open_ledger
from lepton_celery.ledger.base import Ledger
from lepton_celery.ledger.info import JobInfo
from lepton_celery.planning.cost.keep import model_of_folder, model_of_workers, save_for_workers, save_to_folder
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.cost.refine import refine

_SIDE, _BLOCK = 1024, 32
_JOBS = 4
"""Small jobs that show what tasks and stages cost; the first also wakes the workers up."""
_ANSWER_S = 1.0
"""Workers that take longer to answer are none."""
_PATIENCE_S = 20.0


@dataclass(frozen=True)
class Calibrated:
    """What was measured, and where it is kept."""

    model: CostModel
    kept: tuple[str, ...]
    """The places, in words."""
    on_workers: bool
    """Whether workers answered, so that what tasks and stages cost was measured too."""
    took_s: float


def calibrate(
    folder: str | Path | None = None, *, seconds: float = 8.0, settings: Settings | None = None
) -> Calibrated:
    """Measure functions, stores, blocks and, where workers answer, tasks on this machine; takes seconds.

    The figures are kept in the state folder (`.lepton`), for work in this process, and in the ledger where a broker is
    configured, for jobs; `submit`, `run`, `compute` and `explain` plan by them from then on, and jobs refine them. Run it
    on a machine like the workers', while nothing else runs.

    Args:
        folder: where files are written meanwhile; None: this folder. Give the file system that outputs go to.
        seconds: time after which functions that were not tried yet keep the catalogue's figures.
        settings: of the broker; None: found as `submit` finds it.

    Raises:
        BrokerUnreachable: a broker is configured and does not answer.
    """
    began = time.monotonic()
    settings = settings or find_settings()
    ledger = None if settings is None else open_ledger(settings.ledger)
    if ledger is not None:
        ledger.ping()
    if (settings or load_settings()).kernels:  # as workers, and programs that do much work, have them
        load_kernels()
    on_workers = False
    with tempfile.TemporaryDirectory(prefix=".lepton-calibration-", dir=folder or Path.cwd()) as work:
        with _all_at_work():
            model = calibration.measure(Path(work), seconds=seconds)
        if settings is not None and ledger is not None:
            save_for_workers(ledger, settings.cost_profile, model)
            found = _with_tasks(model, Path(work), settings, ledger)
            on_workers = found is not None
            model = found or model
            save_for_workers(ledger, settings.cost_profile, model)
    kept = [f"the file {save_to_folder(model)}"]
    if settings is not None:
        kept.append(f"the ledger, for the profile {settings.cost_profile!r}")
    return Calibrated(model, tuple(kept), on_workers, time.monotonic() - began)


_COMPANY = """
import os, sys, numpy
from scipy.ndimage import gaussian_filter
image = numpy.ones((1024, 1024), "float32")
print(flush=True)
while os.getppid() == int(sys.argv[1]):
    gaussian_filter(image, 2)
"""


@contextmanager
def _all_at_work() -> Iterator[None]:
    """The other processors at work as well, as they are while a job runs.

    They share memory, caches and cores with each other: a process alone would be measured a quarter to a half too quick.
    """
    command = [sys.executable, "-c", _COMPANY, str(os.getpid())]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range((os.cpu_count() or 1) - 1)]
    try:
        for other in others:  # a line says that its imports are done
            assert other.stdout is not None
            other.stdout.readline()
        yield
    finally:
        for other in others:
            other.kill()
        for other in others:
            other.communicate()


def current(settings: Settings | None = None) -> CostModel:
    """The cost model that jobs are planned by: the ledger's where a broker is configured, else this folder's."""
    settings = settings or find_settings()
    if settings is None:
        return model_of_folder()
    return model_of_workers(open_ledger(settings.ledger), settings.cost_profile)


def reset(settings: Settings | None = None) -> None:
    """Forget what was measured: plans go by the shipped figures again."""
    settings = settings or find_settings()
    save_to_folder(None)
    if settings is not None:
        save_for_workers(open_ledger(settings.ledger), settings.cost_profile, None)


def _with_tasks(model: CostModel, folder: Path, settings: Settings, ledger: Ledger) -> CostModel | None:
    """The model with what tasks, stages and jobs cost, from small jobs; None when no worker does them in time."""
    app = create_app(settings)
    if not app.control.ping(timeout=_ANSWER_S):
        return None
    image = calibration.photograph((_SIDE, _SIDE), "float32")
    np.save(folder / "source.npy", image)
    source = open_image(folder / "source.npy")
    graph = apply("numpy.subtract", source, apply("numpy.max", source))
    rests = []
    for number in range(_JOBS):
        began = time.monotonic()
        job = submit({str(folder / f"{number}.npy"): graph}, app=app, block_shape=(_BLOCK, _BLOCK))
        try:
            info = job.wait(_PATIENCE_S)
        except (WaitTimeout, LeptonError):
            with suppress(LeptonError):
                job.cancel()
            return None
        took = time.monotonic() - began
        if number:
            rests.append(took - _at_work_s(info))
            for _ in range(2):  # a figure moves by a share
                model = _with_overheads(model, refine(model, job.manifest().plan, info))
        with suppress(LeptonError):
            job.forget()
    overheads = replace(model.overheads, job_s=max(0.005, min(rests)))
    return replace(model, overheads=overheads)


def _at_work_s(info: JobInfo) -> float:
    """Seconds from a job's first stage's beginning to its end."""
    first = info.stage_times[StageNumber(0)].began
    assert first is not None and info.finished_at is not None
    return info.finished_at - first


def _with_overheads(model: CostModel, refined: CostModel) -> CostModel:
    """The fixed costs of the one and the figures of the other."""
    return replace(model, overheads=refined.overheads)
