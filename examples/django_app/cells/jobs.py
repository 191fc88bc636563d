"""Jobs of this site: their graph, their directories under MEDIA_ROOT, and the files that workers write there."""

from __future__ import annotations

import math
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import skimage
from django.conf import settings

import lepton_celery
from lepton_celery.errors import InputError, JobNotFound

# imported by name, so that scikit-image is loaded now and not by the first request
from lepton_celery.skimage.color import rgb2gray
from lepton_celery.skimage.exposure import rescale_intensity
from lepton_celery.skimage.filters import gaussian, threshold_otsu
from lepton_celery.skimage.measure import label, regionprops_table
from lepton_celery.skimage.segmentation import mark_boundaries
from lepton_celery.skimage.transform import downscale_local_mean
from lepton_celery.skimage.util import img_as_ubyte

SAMPLES = {"hubble_deep_field": "hubble_deep_field.jpg", "coins": "coins.png", "moon": "moon.png"}
"""Images that scikit-image ships."""
SUFFIXES = (".png", ".tif", ".jpg", ".npy")
"""Formats of uploads."""
FILES = {"overlay.png": "image/png", "cells.csv": "text/csv", "labels.tif": "image/tiff"}
"""The files that a job writes, with their media types."""
OVERLAY_PX = 2000
"""Longest side of the overlay, approximately."""


def sample(name: str) -> Path:
    """Path of a sample image."""
    if name not in SAMPLES:
        raise InputError(f"there is no sample {name!r}; choose one of {', '.join(SAMPLES)}")
    return Path(skimage.__file__).parent / "data" / SAMPLES[name]


def suffix_of(filename: str) -> str:
    """The suffix of an upload; nothing else of the client's file name is used."""
    suffix = Path(filename).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"a file of type {suffix or 'none'} was sent; send one of {', '.join(SUFFIXES)}")
    return suffix


@contextmanager
def new_directory() -> Iterator[Path]:
    """A directory for one job; it is removed if the job cannot be submitted."""
    directory: Path = _root() / secrets.token_hex(8)
    directory.mkdir(parents=True)
    try:
        yield directory
    except BaseException:
        shutil.rmtree(directory)
        raise


def submit(picture: Path, directory: Path) -> lepton_celery.Job:
    """Submit a job that counts the objects of an image: gaussian → Otsu threshold → label → region table and overlay.

    Raises:
        InputError, StoreError: the image cannot be read or has a wrong shape.
        BrokerUnreachable: nothing was submitted.
    """
    image = lepton_celery.open(picture)
    is_gray = image.ndim == 2
    if not is_gray and (image.ndim != 3 or image.shape[2] not in (3, 4)):
        raise InputError(f"the image has shape {image.shape}; send a grey (y, x) or colour (y, x, 3 or 4) image")
    if not is_gray:
        image = image[..., :3]
    if image.dtype == bool:
        image = image.astype(float)
    gray = image if is_gray else rgb2gray(image)
    smooth = gaussian(gray, sigma=2)
    labels = label(smooth > threshold_otsu(smooth))
    table = regionprops_table(labels, gray, properties=("label", "area", "centroid", "intensity_mean"))

    small, shrink = rescale_intensity(image, out_range=(0.0, 1.0)), math.ceil(max(image.shape) / OVERLAY_PX)
    if shrink > 1:
        small = downscale_local_mean(small, (shrink, shrink) if is_gray else (shrink, shrink, 1))
    marked = mark_boundaries(small, labels[::shrink, ::shrink], color=(0.2, 1.0, 0.5), mode="thick")
    return lepton_celery.submit(
        {
            str(directory / "overlay.png"): img_as_ubyte(marked),
            str(directory / "cells.csv"): table,
            str(directory / "labels.tif"): labels,
        },
        priority="interactive",
        title=f"cells in {picture.name}",
        limits=lepton_celery.Limits(pixels=settings.CELLS_MAX_PIXELS),
    )


def find(job_id: str) -> tuple[lepton_celery.Job, Path]:
    """A job and its directory.

    Raises:
        JobNotFound: the ledger does not know the job, or it is not a job of this site.
    """
    job = lepton_celery.get_job(job_id)
    directory = Path(job.manifest().output_paths()[0]).parent
    if directory.parent != _root():  # other sites may use the same broker
        raise JobNotFound(f"job {job_id} is not one of this site", job_id)
    return job, directory


def count(directory: Path) -> int:
    """The number of objects that a finished job has found."""
    with (directory / "cells.csv").open() as table:
        return sum(1 for _ in table) - 1


def without_paths(message: str, directory: Path) -> str:
    """A message for the client, without the paths of this server."""
    return message.replace(f"{directory}/", "")


def describe(job: lepton_celery.Job, directory: Path) -> dict[str, Any]:
    """A job as plain JSON values; `results` has the number of objects and the names of the files of a finished job."""
    info = job.info()
    notice = directory / "notice.txt"
    return {
        "job": job.id,
        "state": info.state,
        "progress": round(job.progress(), 3),
        "stage": info.stage + 1,
        "stages": info.stages,
        "error": without_paths(info.error, directory),
        "results": {"objects": count(directory), "files": list(FILES)} if info.state == "done" else None,
        "notice": notice.read_text() if notice.exists() else "",
    }


def _root() -> Path:
    root: Path = settings.MEDIA_ROOT / "jobs"
    return root
