"""`{% load lepton %}`: shows jobs in templates."""

from __future__ import annotations

from typing import Any

from django import template
from django.middleware.csrf import get_token
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from lepton_celery.contrib.django.models import Job
from lepton_celery.web.job_element import job_element

register = template.Library()


def _folder(name: str) -> str:
    """The beginning of the addresses of a view that takes a path, without a slash at its end."""
    return reverse(f"lepton:{name}", args=["x"]).removesuffix("/x")


@register.simple_tag(takes_context=True)
def lepton_job(context: Any, job: Job) -> SafeString:
    """An element that shows a job as it goes on: state, progress, error, results, and buttons to cancel and to try again."""
    csrf = get_token(context["request"]) if "request" in context else ""
    element = job_element(job.pk, _folder("api"), _folder("script"), state=job.state.capitalize(), csrf=csrf)
    return mark_safe(element)


@register.simple_tag
def lepton_api() -> str:
    """The address of the API, without a slash at its end."""
    return _folder("api")


@register.simple_tag
def lepton_script(name: str) -> str:
    """The address of a script or a style sheet, such as `picture_viewer.js`."""
    return reverse("lepton:script", args=[name])
