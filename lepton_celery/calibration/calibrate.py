"""`lepton.calibrate`: measures the cost of work on this machine, and saves the figures for later plans."""

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

from lepton_celery import graph
from lepton_celery.calibration.measure import SPEED_RANGE, measure, measure_contention, measure_speed
from lepton_celery.calibration.workloads import photograph
from lepton_celery.catalogue import load_kernels
from lepton_celery.config import Settings, load_settings
from lepton_celery.engines.celery.app import create_app
from lepton_celery.errors import LeptonError
from lepton_celery.grid import StageNumber
from lepton_celery.jobs.find import find_settings
from lepton_celery.jobs.submit import submit
from lepton_celery.ledger import open_ledger
from lepton_celery.planning.cost.keep import model_of_folder, model_of_workers, save_for_workers, save_to_folder
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.cost.refine import refine

_SIDE, _BLOCK = 1024, 32
_JOBS = 4
"""Number of small jobs that measure tasks and stages; the first is a warm-up."""
_REFINEMENTS = 2
"""Number of times that each job refines the model, because a refinement corrects only part of the difference."""
_ANSWER_S = 1.0
"""Seconds in which a worker must answer a ping."""
_PATIENCE_S = 20.0
"""Longest wait for a small job, in seconds."""


@dataclass(frozen=True)
class Calibrated:
    """The result of a calibration."""

    model: CostModel
    kept: tuple[str, ...]
    """Descriptions of the file and the ledger in which the model was saved."""
    on_workers: bool
    """Whether workers did the jobs that measure tasks and stages."""
    took_s: float


def calibrate(folder: str | Path | None = None, *, seconds: float = 8, settings: Settings | None = None) -> Calibrated:
    """Measure functions, stores, blocks and, if workers answer, tasks on this machine; takes seconds.

    The figures are saved in the state folder (`.lepton`), for work in this process, and in the ledger if a broker is
    configured, for jobs. `submit`, `run`, `compute` and `explain` then use them for their plans, and jobs refine them.
    Calibrate on a machine like the workers', while nothing else runs.

    Args:
        folder: a folder for temporary files, on the file system of the outputs; None for the current folder.
        seconds: time after which the remaining functions are not measured and keep the catalogue's figures.
        settings: settings with the broker; None to find them as `submit` does.

    Raises:
        BrokerUnreachable: a broker is configured and does not answer.
    """
    began = time.monotonic()
    settings = settings or find_settings()
    ledger = None if settings is None else open_ledger(settings.ledger)
    if ledger is not None:
        ledger.ping()
    if (settings or load_settings()).kernels:  # workers use kernels, so the figures are measured with them
        load_kernels()
    on_workers = False
    with tempfile.TemporaryDirectory(prefix=".lepton-calibration-", dir=folder or Path.cwd()) as work:
        with _busy_processors():
            model = measure(Path(work), seconds=seconds)
        if settings is not None and ledger is not None:
            save_for_workers(ledger, settings.cost_profile, model)
            measured = _measure_tasks(model, Path(work), settings)
            on_workers = measured is not None
            model = measured or model
            save_for_workers(ledger, settings.cost_profile, model)
    kept = [f"the file {save_to_folder(model)}"]
    if settings is not None:
        kept.append(f"the ledger, for the profile {settings.cost_profile!r}")
    return Calibrated(model, tuple(kept), on_workers, time.monotonic() - began)


_BUSY_PROGRAM = """
import os, sys, numpy
from scipy.ndimage import gaussian_filter
image = numpy.ones((1024, 1024), "float32")
print(flush=True)
while os.getppid() == int(sys.argv[1]):
    gaussian_filter(image, 2)
"""


@contextmanager
def _busy_processors() -> Iterator[None]:
    """Keep the other processors busy, as they are while a job runs.

    Processors share memory bandwidth, caches and cores, so a process that runs alone is 25 to 50 % faster.
    """
    command = [sys.executable, "-c", _BUSY_PROGRAM, str(os.getpid())]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range((os.cpu_count() or 1) - 1)]
    try:
        for other in others:  # the program prints a line after its imports
            assert other.stdout is not None
            other.stdout.readline()
        yield
    finally:
        for other in others:
            other.kill()
            other.communicate()


def current(settings: Settings | None = None) -> CostModel:
    """The cost model that plans use: the ledger's if a broker is configured, else this folder's."""
    settings = settings or find_settings()
    if settings is None:
        return model_of_folder()
    return model_of_workers(open_ledger(settings.ledger), settings.cost_profile)


def estimate(settings: Settings | None = None) -> None:
    """Scale the shipped figures to this machine, for workers that run here and have no figures yet.

    On a busy machine, work takes longer for the workers too, so it counts how much. Takes less than a second. A calibration
    is more accurate, and jobs refine the figures.
    """
    settings = settings or find_settings()
    if settings is None:
        return
    ledger = open_ledger(settings.ledger)
    if ledger.costs(settings.cost_profile) is None and model_of_folder() == CostModel():
        speed = min(SPEED_RANGE[1], measure_speed() * measure_contention())
        save_for_workers(ledger, settings.cost_profile, CostModel(speed=speed))


def reset(settings: Settings | None = None) -> None:
    """Remove the measured figures; plans then use the shipped ones."""
    settings = settings or find_settings()
    save_to_folder(None)
    if settings is not None:
        save_for_workers(open_ledger(settings.ledger), settings.cost_profile, None)


def _measure_tasks(model: CostModel, folder: Path, settings: Settings) -> CostModel | None:
    """The model with the cost of tasks, stages and jobs, measured by small jobs; None if no worker does them in time."""
    app = create_app(settings)
    if not app.control.ping(timeout=_ANSWER_S):
        return None
    np.save(folder / "source.npy", photograph((_SIDE, _SIDE), "float32"))
    source = graph.open(folder / "source.npy")
    image = graph.apply("numpy.subtract", source, graph.apply("numpy.max", source))
    around_s = []
    for number in range(_JOBS):
        began = time.monotonic()
        job = submit({str(folder / f"{number}.npy"): image}, app=app, block_shape=(_BLOCK, _BLOCK))
        try:
            info = job.wait(_PATIENCE_S)
        except LeptonError:
            with suppress(LeptonError):
                job.cancel()
            return None
        took_s = time.monotonic() - began
        if number:
            began_at = info.stage_times[StageNumber(0)].began
            assert began_at is not None and info.finished_at is not None
            around_s.append(took_s - (info.finished_at - began_at))
            for _ in range(_REFINEMENTS):
                model = replace(model, overheads=refine(model, job.manifest().plan, info).overheads)
        with suppress(LeptonError):
            job.forget()
    return replace(model, overheads=replace(model.overheads, job_s=max(0.005, min(around_s))))
