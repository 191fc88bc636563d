"""Jobs in Django's admin: their progress, their pictures, and buttons to cancel them and to try them again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from lepton_celery.api.answers import Request
from lepton_celery.contrib.django import mirror
from lepton_celery.contrib.django.connecting import live
from lepton_celery.contrib.django.models import Job
from lepton_celery.errors import LeptonError


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The list brings the rows of open jobs up to date when it is shown, with one reading of the ledger."""

    list_display = ("picture", "title", "owner", "state", "bar", "created_at", "finished_at")
    list_display_links = ("title",)
    list_filter = ("state", "created_at", ("owner", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("owner",)
    search_fields = ("id", "title", "error")
    date_hierarchy = "created_at"
    actions = ("cancel", "retry")
    fields = (
        *("id", "owner", "title", "state", "bar", "picture", "error"),
        *("outputs", "pipeline", "created_at", "finished_at"),
    )
    readonly_fields: ClassVar = tuple(name for name in fields if name != "title")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Jobs are submitted, not added."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """The addresses of the admin's pages, and of the pictures."""
        view = self.admin_site.admin_view(self.thumbnail)
        return [path("<path:job_id>/thumbnail.png", view, name="lepton_job_thumbnail"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """The list."""
        try:
            mirror.refresh_open()
        except LeptonError as error:
            self.message_user(request, _("The list may be old: %s") % error, messages.WARNING)
        return super().changelist_view(request, extra_context)

    @admin.display(description=_("progress"))
    def bar(self, job: Job) -> str:
        """The progress as a bar."""
        return format_html('<progress max="1" value="{}"></progress> {} %', job.progress, round(100 * job.progress))

    @admin.display(description="")
    def picture(self, job: Job) -> str:
        """A small picture of the first image among the results."""
        if job.state != "done":
            return ""
        address = reverse("admin:lepton_job_thumbnail", args=[job.pk], current_app=self.admin_site.name)
        return format_html('<img src="{}" alt="" height="48" loading="lazy">', address)

    def thumbnail(self, request: HttpRequest, job_id: str) -> HttpResponse:
        """The picture of a job."""
        job = self.get_object(request, job_id)
        if job is None or not self.has_view_permission(request, job):
            raise Http404
        asked = Request("GET", f"/jobs/{job.pk}/pictures/output-1", owner=str(job.owner_id))
        about = live().answer(asked)
        if about.status != 200:
            raise Http404(f"job {job.pk} has no picture")
        level = str(json.loads(about.body)["levels"] - 1)
        tile = live().answer(replace(asked, path=f"{asked.path}/tile", query={"level": [level]}))
        return HttpResponse(tile.body, status=tile.status, headers=tile.headers)

    @admin.action(description=_("Cancel the selected jobs"), permissions=["change"])
    def cancel(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        """Cancel jobs."""
        self._each(request, jobs, Job.cancel, _("%d jobs are cancelled."))

    @admin.action(description=_("Try the selected jobs again"), permissions=["change"])
    def retry(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        """Try jobs again."""
        self._each(request, jobs, Job.retry, _("%d jobs are tried again."))

    def _each(self, request: HttpRequest, jobs: QuerySet[Job], act: Callable[[Job], object], said: Any) -> None:
        count = 0
        for job in jobs:
            try:
                count += bool(act(job))
            except LeptonError as error:
                self.message_user(request, f"{job.pk}: {error}", messages.ERROR)
        self.message_user(request, said % count, messages.SUCCESS if count else messages.WARNING)
