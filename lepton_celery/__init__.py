"""Split, process and merge large images on Celery workers: the same pixels scikit-image gives on the whole image.

import lepton_celery as lepton
from lepton_celery.skimage import filters, measure

smooth = filters.gaussian(lepton.open("slide.tif"), sigma=2)
cells = measure.label(smooth > filters.threshold_otsu(smooth))
labels = lepton.compute(cells)                        # here, on threads
job = lepton.submit({"cells.zarr": cells})            # on Celery workers
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lepton_celery.calibration.calibrate import calibrate
    from lepton_celery.config import Settings
    from lepton_celery.engines.celery.app import configure, create_app
    from lepton_celery.errors import LeptonError
    from lepton_celery.graph import from_json, open, to_json
    from lepton_celery.graph.own import map_blocks, map_overlap
    from lepton_celery.jobs.compute import compute
    from lepton_celery.jobs.find import get_job, list_jobs
    from lepton_celery.jobs.job import Job
    from lepton_celery.jobs.processor import ImageProcessor
    from lepton_celery.jobs.resume import resume
    from lepton_celery.jobs.run import run
    from lepton_celery.jobs.submit import submit
    from lepton_celery.planning.explain import explain
    from lepton_celery.planning.options import Limits
    from lepton_celery.proving.prove import prove

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - by what a user does, not by letter
    # Images
    "open",
    "compute",
    "explain",
    "map_blocks",
    "map_overlap",
    "ImageProcessor",
    "prove",
    "calibrate",
    # Jobs
    "submit",
    "run",
    "resume",
    "Job",
    "get_job",
    "list_jobs",
    # Graphs as JSON
    "to_json",
    "from_json",
    # Applications
    "create_app",
    "configure",
    "Settings",
    "Limits",
    # Errors
    "LeptonError",
]

# Loaded when first used: a worker's entry point needs no image library to be imported, a notebook no Celery.
_HOMES = {
    "open": "graph",
    "to_json": "graph",
    "from_json": "graph",
    "compute": "jobs.compute",
    "map_blocks": "graph.own",
    "map_overlap": "graph.own",
    "explain": "planning.explain",
    "ImageProcessor": "jobs.processor",
    "prove": "proving.prove",
    "calibrate": "calibration.calibrate",
    "submit": "jobs.submit",
    "run": "jobs.run",
    "resume": "jobs.resume",
    "Job": "jobs.job",
    "get_job": "jobs.find",
    "list_jobs": "jobs.find",
    "create_app": "engines.celery.app",
    "configure": "engines.celery.app",
    "Settings": "config",
    "Limits": "planning.options",
    "LeptonError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
