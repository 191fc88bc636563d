"""The jobs of a site's users, as rows: they stay in the database when the ledger has forgotten the jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from celery import group
from celery.canvas import Signature, _chain
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.signing import TimestampSigner
from django.db import models, transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from lepton_celery.contrib.django import mirror
from lepton_celery.contrib.django.connecting import conf, site
from lepton_celery.contrib.django.fields import PipelineField
from lepton_celery.contrib.django.tasks import job_ended
from lepton_celery.errors import InputError
from lepton_celery.jobs.retry import retry
from lepton_celery.ledger import JobState
from lepton_celery.text import shown
from lepton_celery.web.site import TITLE_CHARS
from lepton_celery.web.uploads import Upload

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

    from lepton_celery.web.user_job import UserJob

LINK_SALT = "lepton_celery.contrib.django.link"
"""Keeps signatures of downloads from being taken for others of the site."""


class JobManager(models.Manager["Job"]):
    """Submits jobs, and finds those that somebody may see."""

    def submit(
        self,
        user: AbstractBaseUser,
        image: UploadedFile[Any] | Upload | Path | str,
        pipeline: str | Mapping[str, Any],
        *,
        title: str = "",
        on_done: Signature | None = None,
    ) -> Job:
        """Submit a job of a user, and return its row.

        Within a transaction the job is sent when that has committed; if it is rolled back, nothing is left of the job. If
        the job cannot be sent then, its row says that it failed and why, and `job_failed` is sent.

        Args:
            user: whose job it is.
            image: a file of a form, one that he sent before, or the path of a file that the site chose; never let a user
                choose a path.
            pipeline: the name of one of LEPTON["PIPELINES"], or the document of one.
            title: by default those of the pipeline and the file.
            on_done: a Celery signature that is sent once when the job has ended, as for `lepton.submit`, which says when it
                may come twice. The row has the end at about the same time; `job.refresh()` makes sure of it.

        Raises:
            InputError, StoreError: the file, the pipeline or the job is refused; nothing is kept of it.
            QueueFull: the user has too many jobs that have not ended.
            BrokerUnreachable: no broker answers.
        """
        name, found, sent_here = str(user.pk), image, None
        if isinstance(found, UploadedFile):
            sent_here = found = site().uploads.add(name, found.name or "", found.size or 0, found)  # type: ignore[arg-type]
        elif isinstance(found, str):
            found = Path(found)
        try:
            prepared = site().prepare(name, found, pipeline, title=title, on_done=_told(on_done))
        except BaseException:
            if sent_here is not None:
                site().uploads.remove(name, sent_here.id)
            raise
        row = self.model(
            id=prepared.id,
            owner=user,
            title=shown(title or _title(pipeline, found), TITLE_CHARS),
            pipeline=pipeline if isinstance(pipeline, str) else dict(pipeline),
        )
        row.save(force_insert=True, using=self._db)
        _send_on_commit(row, prepared)
        return row

    def of(self, user: AbstractBaseUser) -> models.QuerySet[Job]:
        """The jobs that a user may see: his own, or all if LEPTON["STAFF_SEES_ALL"] says so and he is of the staff."""
        sees_all = conf().app.staff_sees_all and getattr(user, "is_staff", False)
        return self.all() if sees_all else self.filter(owner=user)


class Job(models.Model):
    """A job of a user. Its id is the one of the ledger."""

    id: models.CharField[str, str] = models.CharField(_("id"), max_length=128, primary_key=True, editable=False)
    owner: models.ForeignKey[Any, Any] = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="lepton_jobs", verbose_name=_("owner")
    )
    title: models.CharField[str, str] = models.CharField(_("title"), max_length=TITLE_CHARS)
    pipeline = PipelineField(_("pipeline"), editable=False)
    state: models.CharField[str, str] = models.CharField(
        _("state"), max_length=20, default=str(JobState.RUNNING), editable=False
    )
    progress: models.FloatField[float, float] = models.FloatField(_("progress"), default=0.0, editable=False)
    outputs = models.JSONField(_("outputs"), default=list, editable=False)
    error: models.TextField[str, str] = models.TextField(_("error"), blank=True, editable=False)
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(
        _("created"), default=timezone.now, editable=False
    )
    finished_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        _("finished"), null=True, blank=True, editable=False
    )

    owner_id: Any
    objects: ClassVar[JobManager] = JobManager()

    class Meta:
        """Options of the model."""

        app_label = "lepton"
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering = ("-created_at",)
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at"], name="lepton_job_owner"),
            models.Index(fields=["state", "-created_at"], name="lepton_job_state"),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.state})"

    @property
    def is_open(self) -> bool:
        """Whether it has not ended, as far as the row knows."""
        return self.state in mirror.OPEN

    def refresh(self) -> None:
        """Bring the row up to date with the ledger.

        Raises:
            BrokerUnreachable: the ledger does not answer.
        """
        mirror.refresh([self])

    def cancel(self) -> bool:
        """Stop the job and remove its files; False if it has ended.

        Raises:
            JobNotFound: the ledger does not know it.
            BrokerUnreachable: the ledger does not answer.
        """
        is_cancelled = site().job(str(self.owner_id), self.pk).cancel()
        self.refresh()
        return is_cancelled

    def retry(self) -> Job:
        """Try again what was given up of the job; return the row of the job that does it: this one, or a new one.

        Raises:
            JobError: nothing of it was given up.
            InputError, StoreError: its file is gone or has changed.
            BrokerUnreachable: no broker answers.
        """
        site().job(str(self.owner_id), self.pk)
        return self.followed_by(retry(self.pk, app=site().app).job.id)

    def followed_by(self, job_id: str) -> Job:
        """The row of the job that does this one again."""
        if job_id == self.pk:
            self.refresh()
            return self
        copied = {"owner_id": self.owner_id, "title": self.title, "pipeline": self.pipeline}
        row, _ = Job.objects.get_or_create(pk=job_id, defaults=copied)
        return row

    def get_absolute_url(self) -> str:
        """The address of what the API tells of the job."""
        return reverse("lepton:api", args=[f"jobs/{self.pk}"])

    def result_url(self, name: str) -> str:
        """The address of a result, for users who may see the job."""
        return reverse("lepton:api", args=[f"jobs/{self.pk}/results/{name}"])

    def link(self, name: str) -> str:
        """The address of a result for anybody who has it, as in a mail; it is valid for LEPTON["LINK_S"] seconds."""
        token = TimestampSigner(salt=LINK_SALT).sign_object([self.pk, str(self.owner_id), name])
        return reverse("lepton:link", args=[token, name])


def _title(pipeline: str | Mapping[str, Any], image: Upload | Path) -> str:
    offered = site().options.pipelines
    return f"{offered[pipeline].title if isinstance(pipeline, str) else 'own pipeline'}: {image.name}"


def _send_on_commit(row: Job, prepared: UserJob) -> None:
    connection = transaction.get_connection(row._state.db)  # noqa: SLF001 - as Django's documentation does
    if connection.in_atomic_block:
        # other apps wait for the same transaction, whose hooks an error would keep from being called
        transaction.on_commit(lambda: _send(row, prepared), using=row._state.db, robust=True)  # noqa: SLF001
        return
    try:
        prepared.send()
    except BaseException:
        row.delete()
        raise


def _send(row: Job, prepared: UserJob) -> None:
    try:
        prepared.send()
    except Exception as error:
        end = {"state": JobState.FAILED, "error": shown(error, 2000), "finished_at": timezone.now()}
        mirror.record_end(row, **end)
        raise


def _told(on_done: Signature | None) -> Signature:
    """What a job sends when it has ended: the task that brings its row up to date, and what the site asks for."""
    mirrored: Any = job_ended.s()
    if on_done is None:
        return mirrored  # type: ignore[no-any-return]
    if not isinstance(on_done, Signature):
        raise InputError(f"on_done is {on_done!r}; give a Celery signature, such as notify.s()")
    if isinstance(on_done, group):
        return group(mirrored, *on_done.tasks)
    return group(mirrored, _linked(on_done.tasks) if isinstance(on_done, _chain) else on_done)


def _linked(tasks: Any) -> Signature:
    """The first task of a chain, with the others as what follows it: a group takes no chain that is sent later."""
    first, *rest = (task.clone() for task in tasks)
    for before, after in zip(reversed([first, *rest[:-1]]), reversed(rest), strict=True):
        before.link(after)
    return first  # type: ignore[no-any-return]
