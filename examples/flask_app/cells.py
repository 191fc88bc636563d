"""Counts the objects in an image. A page, and four URLs of a job: start it, show its status, cancel it, fetch its files.

flask --app cells run
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import skimage
from celery import Celery, Task, shared_task
from flask import Flask, Response, abort, current_app, jsonify, render_template, request, send_from_directory, url_for
from flask.typing import ResponseReturnValue
from kombu.exceptions import OperationalError
from werkzeug.exceptions import HTTPException

import lepton_celery
from lepton_celery.errors import BrokerUnreachable, InputError, JobNotFound, StoreError

# imported by name, so that scikit-image is loaded now and not by the first request
from lepton_celery.skimage.color import rgb2gray
from lepton_celery.skimage.exposure import rescale_intensity
from lepton_celery.skimage.filters import gaussian, threshold_otsu
from lepton_celery.skimage.measure import label, regionprops_table
from lepton_celery.skimage.segmentation import mark_boundaries
from lepton_celery.skimage.transform import downscale_local_mean
from lepton_celery.skimage.util import img_as_ubyte

HERE = Path(__file__).resolve().parent
SAMPLES = {"hubble_deep_field": "hubble_deep_field.jpg", "coins": "coins.png", "moon": "moon.png"}
"""Images that scikit-image ships."""
SUFFIXES = (".png", ".tif", ".jpg", ".npy")
FILES = ("overlay.png", "cells.csv", "labels.tif")
MAX_UPLOAD_BYTES = 64 << 20
MAX_PIXELS = 100_000_000
OVERLAY_PX = 2000
"""Longest side of the overlay, approximately."""


def celery_init_app(app: Flask) -> Celery:
    """The pattern of Flask's documentation, with one line that prepares the application for image jobs.

    https://flask.palletsprojects.com/en/stable/patterns/celery/
    """

    class FlaskTask(Task):  # type: ignore[type-arg]
        def __call__(self, *args: object, **kwargs: object) -> object:
            with app.app_context():
                return self.run(*args, **kwargs)

    celery_app: Celery[Any] = Celery(app.name, task_cls=FlaskTask)
    celery_app.config_from_object(app.config["CELERY"])
    lepton_celery.configure(celery_app)
    celery_app.set_default()
    app.extensions["celery"] = celery_app
    return celery_app


def create_app() -> Flask:
    app = Flask(__name__)
    broker = os.environ.get("LEPTON_BROKER_URL", "redis://127.0.0.1:6379/0")
    app.config.update(
        CELERY={
            "broker_url": broker,
            "result_backend": broker,
            # a worker holds only the image blocks that it works on, and finishes them when it stops: see docs/projects.md
            "worker_prefetch_multiplier": 1,
            "worker_soft_shutdown_timeout": 5.0,
        },
        MEDIA_ROOT=Path(os.environ.get("FLASK_MEDIA_ROOT", HERE / ".lepton" / "media")),
        MAX_CONTENT_LENGTH=MAX_UPLOAD_BYTES + (1 << 16),
        TRUSTED_HOSTS=["127.0.0.1", "localhost"],
    )
    celery_init_app(app)
    app.add_url_rule("/", view_func=index)
    app.add_url_rule("/jobs/", view_func=create, methods=["POST"])
    app.add_url_rule("/jobs/<job_id>/", view_func=status)
    app.add_url_rule("/jobs/<job_id>/cancel/", view_func=cancel, methods=["POST"])
    app.add_url_rule("/jobs/<job_id>/<name>", view_func=file)
    app.before_request(refuse_other_sites)
    app.register_error_handler(Exception, failure)
    return app


def refuse_other_sites() -> None:
    """Refuse POST requests from pages of other sites. There is no CSRF token without a login, but browsers name the site.

    Old browsers send no Sec-Fetch-Site, but an Origin, which is `null` for a page without one.
    """
    origin = urlsplit(request.headers.get("Origin", request.host_url)).netloc
    is_foreign = request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none") or origin != request.host
    if request.method == "POST" and is_foreign:
        abort(403, "the request came from another site; open this site's page")


def failure(error: Exception) -> ResponseReturnValue:
    """Turn an error into a status code and a message that a client can act on."""
    match error:
        case HTTPException(code=413):
            return {"error": f"the upload is over {MAX_UPLOAD_BYTES >> 20} MB; send a smaller image"}, 413
        case HTTPException():
            return {"error": error.description}, error.code or 500
        case JobNotFound() | FileNotFoundError():
            return {"error": "there is no such job or file; jobs are kept for some days"}, 404
        case InputError() | StoreError():
            return {"error": str(error)}, 400
        case BrokerUnreachable() | OperationalError():
            current_app.logger.error("%s", error)
            return {"error": "the job queue does not answer; try again in a minute"}, 503
    raise error


# ------------------------------------------------------------------------------------------------ pages


def index() -> str:
    return render_template("index.html", samples=list(SAMPLES), limit_mb=MAX_UPLOAD_BYTES >> 20)


def create() -> ResponseReturnValue:
    directory = jobs_root() / secrets.token_hex(8)
    directory.mkdir(parents=True)
    try:
        job = submit(picture_of_request(directory), directory)
        notify.delay(job.id)
    except BaseException as error:
        shutil.rmtree(directory)
        if isinstance(error, InputError | StoreError):
            raise InputError(str(error).replace(f"{directory}/", "")) from error
        raise
    url = url_for("status", job_id=job.id)
    return {"job": job.id, "status": url}, 202, {"Location": url}


def picture_of_request(directory: Path) -> Path:
    """The image to work on: a sample, or the upload, which is saved under a name of the server."""
    upload = request.files.get("image")
    if upload and upload.filename:
        suffix = Path(upload.filename).suffix.lower()
        if suffix not in SUFFIXES:
            raise InputError(f"a file of type {suffix or 'none'} was sent; send one of {', '.join(SUFFIXES)}")
        upload.save(directory / f"input{suffix}")
        return directory / f"input{suffix}"
    name = request.form.get("sample", "")
    if name not in SAMPLES:
        raise InputError(f"there is no sample {name!r}; choose one of {', '.join(SAMPLES)}")
    return Path(skimage.__file__).parent / "data" / SAMPLES[name]


def status(job_id: str) -> Response:
    return jsonify(describe(*find(job_id)))


def cancel(job_id: str) -> ResponseReturnValue:
    job, directory = find(job_id)
    if not job.cancel():
        return {"error": f"the job has ended already: it is {job.info().state}"}, 409
    return jsonify(describe(job, directory))


def file(job_id: str, name: str) -> Response:
    _, directory = find(job_id)
    if name not in FILES:
        raise FileNotFoundError(name)
    return send_from_directory(directory, name)


# ------------------------------------------------------------------------------------------------ jobs


def submit(picture: Path, directory: Path) -> lepton_celery.Job:
    """Submit a job that counts the objects of an image: gaussian → Otsu threshold → label → region table and overlay."""
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
    nodes = {"overlay.png": img_as_ubyte(marked), "cells.csv": table, "labels.tif": labels}
    return lepton_celery.submit(
        {str(directory / name): node for name, node in nodes.items()},
        priority="interactive",
        title=f"cells in {picture.name}",
        limits=lepton_celery.Limits(pixels=MAX_PIXELS),
    )


def jobs_root() -> Path:
    root: Path = current_app.config["MEDIA_ROOT"] / "jobs"
    return root


def find(job_id: str) -> tuple[lepton_celery.Job, Path]:
    """A job of this site and its directory; JobNotFound for jobs of other sites on the same broker."""
    job = lepton_celery.get_job(job_id)
    directory = Path(job.manifest().output_paths()[0]).parent
    if directory.parent != jobs_root():
        raise JobNotFound(f"job {job_id} is not one of this site", job_id)
    return job, directory


def count(directory: Path) -> int:
    with (directory / "cells.csv").open() as table:
        return sum(1 for _ in table) - 1


def describe(job: lepton_celery.Job, directory: Path) -> dict[str, Any]:
    info = job.info()
    notice = directory / "notice.txt"
    files = {name: url_for("file", job_id=job.id, name=name) for name in FILES}
    return {
        "job": job.id,
        "state": info.state,
        "progress": round(job.progress(), 3),
        "stage": info.stage + 1,
        "stages": info.stages,
        "error": info.error.replace(f"{directory}/", ""),
        "results": {"objects": count(directory), "files": files} if info.state == "done" else None,
        "notice": notice.read_text() if notice.exists() else "",
    }


@shared_task(bind=True, name="cells.notify", max_retries=None)
def notify(self: Task[..., str], job_id: str) -> str:
    """Write how a job ended to a file, where others would send a mail; remove the upload and a failed job's files."""
    job, directory = find(job_id)
    info = job.info()
    if info.state == "running":
        raise self.retry(countdown=0.5)
    for upload in directory.glob("input.*"):
        upload.unlink()
    if info.state == "failed":  # nobody can resume it here
        job.discard()
    notice = f"{count(directory)} objects found" if info.state == "done" else f"the job was {info.state}"
    (directory / "notice.txt").write_text(notice)
    return notice
