"""A page, and four URLs of a job: start it, show its status, cancel it, fetch its files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST
from kombu.exceptions import OperationalError

from cells import jobs
from cells.tasks import notify
from lepton_celery.errors import BrokerUnreachable, InputError, JobNotFound, StoreError

log = logging.getLogger(__name__)

View = Callable[..., HttpResponseBase]


def errors_as_json(view: View) -> View:
    """Turn errors into a status code and a message that a client can act on."""

    @wraps(view)
    def answer(*args: object, **kwargs: object) -> HttpResponseBase:
        try:
            return view(*args, **kwargs)
        except (JobNotFound, FileNotFoundError) as error:
            log.info("%s", error)
            return failure(404, "there is no such job or file; jobs are kept for some days")
        except (InputError, StoreError) as error:
            return failure(400, str(error))
        except (BrokerUnreachable, OperationalError) as error:
            log.error("%s", error)
            return failure(503, "the job queue does not answer; try again in a minute")

    return answer


def failure(status: int, message: str) -> JsonResponse:
    return JsonResponse({"error": message}, status=status)


def csrf_failure(request: HttpRequest, reason: str = "") -> JsonResponse:
    return failure(403, f"{reason} Open the page first, and send its token as X-CSRFToken.")


@require_GET
@ensure_csrf_cookie
def index(request: HttpRequest) -> HttpResponse:
    context = {"samples": list(jobs.SAMPLES), "limit_mb": settings.CELLS_MAX_UPLOAD_BYTES >> 20}
    return render(request, "cells/index.html", context)


@require_POST
@errors_as_json
def create(request: HttpRequest) -> HttpResponseBase:
    with jobs.new_directory() as directory:
        try:
            job = jobs.submit(_picture(request, directory), directory)
        except (InputError, StoreError) as error:
            raise InputError(jobs.without_paths(str(error), directory)) from error
        notify.delay(job.id)
    url = reverse("job", args=[job.id])
    return JsonResponse({"job": job.id, "status": url}, status=202, headers={"Location": url})


def _picture(request: HttpRequest, directory: Path) -> Path:
    """The image to work on: a sample, or the upload, which is saved under a name of the server."""
    upload = request.FILES.get("image")
    if upload is None:
        return jobs.sample(request.POST.get("sample", ""))
    path = directory / f"input{jobs.suffix_of(upload.name or '')}"
    with path.open("xb") as file:
        for chunk in upload.chunks():
            file.write(chunk)
    return path


@require_GET
@errors_as_json
def status(request: HttpRequest, job_id: str) -> HttpResponseBase:
    job, directory = jobs.find(job_id)
    answer = jobs.describe(job, directory)
    if answer["results"]:
        files = answer["results"]["files"]
        answer["results"]["files"] = {name: reverse("file", args=[job_id, name]) for name in files}
    return JsonResponse(answer)


@require_POST
@errors_as_json
def cancel(request: HttpRequest, job_id: str) -> HttpResponseBase:
    job, directory = jobs.find(job_id)
    if not job.cancel():
        return failure(409, f"the job has ended already: it is {job.info().state}")
    return JsonResponse(jobs.describe(job, directory))


@require_GET
@errors_as_json
def file(request: HttpRequest, job_id: str, name: str) -> HttpResponseBase:
    _, directory = jobs.find(job_id)
    if name not in jobs.FILES:
        return failure(404, f"there is no file {name!r}; a job leaves {', '.join(jobs.FILES)}")
    return FileResponse((directory / name).open("rb"), content_type=jobs.FILES[name])
