"""The pages: a form with the user's jobs, one job, and a new account."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import UserCreationForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from cells.forms import SAMPLES, JobForm
from lepton_celery.contrib.django.connecting import site
from lepton_celery.contrib.django.mirror import OPEN
from lepton_celery.contrib.django.models import Job
from lepton_celery.errors import LeptonError


@login_required
def index(request: HttpRequest) -> HttpResponse:
    form = JobForm(request.POST or None, request.FILES or None)
    status = 200
    if request.method == "POST":
        status = 400
        try:
            job = form.submit(request.user) if form.is_valid() else None
        except LeptonError as error:  # too many jobs, or no broker
            form.add_error(None, str(error))
            status, job = error.http_status, None
        if job is not None:
            return redirect("job", job.pk)
    jobs = Job.objects.of(request.user)
    used = sum(upload.length for upload in site().uploads.of_owner(str(request.user.pk)))
    context = {
        "form": form,
        "jobs": jobs[:30],
        "samples": list(SAMPLES),
        "pipelines": site().options.pipelines,
        "open": jobs.filter(state__in=OPEN).count(),
        "most_open": settings.LEPTON["MAX_OPEN_JOBS_OF_OWNER"],
        "used": used,
        "most_used": settings.LEPTON["OWNER_BYTES"],
    }
    return render(request, "cells/index.html", context, status=status)


@login_required
def job(request: HttpRequest, job_id: str) -> HttpResponse:
    return render(request, "cells/job.html", {"job": get_object_or_404(Job.objects.of(request.user), pk=job_id)})


def register(request: HttpRequest) -> HttpResponse:
    form = UserCreationForm(request.POST or None)
    if form.is_valid():
        login(request, form.save())  # with a new session
        return redirect("index")
    return render(request, "registration/login.html", {"form": form, "is_new": True})
