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
    from lepton_celery.calibration.calibrate import calibrate as calibrate
    from lepton_celery.config import Settings as Settings
    from lepton_celery.engines.celery.app import configure as configure
    from lepton_celery.engines.celery.app import create_app as create_app
    from lepton_celery.errors import LeptonError as LeptonError
    from lepton_celery.graph import from_json as from_json
    from lepton_celery.graph import open as open
    from lepton_celery.graph import to_json as to_json
    from lepton_celery.graph.own import map_blocks as map_blocks
    from lepton_celery.graph.own import map_overlap as map_overlap
    from lepton_celery.graph.points import points_to_mask as points_to_mask
    from lepton_celery.jobs.compute import compute as compute
    from lepton_celery.jobs.find import get_job as get_job
    from lepton_celery.jobs.find import list_jobs as list_jobs
    from lepton_celery.jobs.job import Job as Job
    from lepton_celery.jobs.notebook import summary_html as summary_html
    from lepton_celery.jobs.processor import ImageProcessor as ImageProcessor
    from lepton_celery.jobs.resume import resume as resume
    from lepton_celery.jobs.retry import retry as retry
    from lepton_celery.jobs.run import run as run
    from lepton_celery.jobs.submit import submit as submit
    from lepton_celery.jobs.two_steps import PreparedJob as PreparedJob
    from lepton_celery.jobs.two_steps import prepare as prepare
    from lepton_celery.planning.explain import explain as explain
    from lepton_celery.planning.options import Limits as Limits
    from lepton_celery.proving.prove import prove as prove
    from lepton_celery.views.notebook import job_html as job_html

__version__ = "0.1.0"

_HOMES = {
    # Images
    "open": "graph",
    "compute": "jobs.compute",
    "summary_html": "jobs.notebook",
    "explain": "planning.explain",
    "map_blocks": "graph.own",
    "map_overlap": "graph.own",
    "points_to_mask": "graph.points",
    "ImageProcessor": "jobs.processor",
    "prove": "proving.prove",
    "calibrate": "calibration.calibrate",
    # Jobs
    "submit": "jobs.submit",
    "prepare": "jobs.two_steps",
    "PreparedJob": "jobs.two_steps",
    "run": "jobs.run",
    "resume": "jobs.resume",
    "retry": "jobs.retry",
    "Job": "jobs.job",
    "get_job": "jobs.find",
    "list_jobs": "jobs.find",
    "job_html": "views.notebook",
    # Graphs as JSON
    "to_json": "graph",
    "from_json": "graph",
    # Applications
    "create_app": "engines.celery.app",
    "configure": "engines.celery.app",
    "Settings": "config",
    "Limits": "planning.options",
    # Errors
    "LeptonError": "errors",
}
"""The module of each public name. It is imported when the name is first used, so that importing this package loads neither
NumPy nor Celery."""

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
