"""The form with which a user submits a job: a file, a pipeline and a title."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.base_user import AbstractBaseUser
from django.utils.translation import gettext_lazy as _

from lepton_celery.contrib.django.connecting import site
from lepton_celery.contrib.django.fields import PipelineFormField
from lepton_celery.contrib.django.models import Job
from lepton_celery.errors import LeptonError, StoreError
from lepton_celery.web.refusals import FileRefused, QuotaExceeded
from lepton_celery.web.site import TITLE_CHARS
from lepton_celery.web.uploads import SUFFIXES


class SubmitForm(forms.Form):
    """A file, a pipeline and a title; what the job is refused for is an error of the field that it concerns."""

    image = forms.FileField(label=_("Image"), widget=forms.FileInput({"accept": ",".join(SUFFIXES)}))
    pipeline = PipelineFormField()
    title = forms.CharField(label=_("Title"), max_length=TITLE_CHARS, required=False)

    def submit(self, user: AbstractBaseUser, **options: Any) -> Job | None:
        """Submit the job; None if it is refused, and `errors` says why.

        Args:
            user: whose job it is.
            options: as for `Job.objects.submit`.

        Raises:
            LeptonError: jobs cannot be taken now, as no broker answers or the user has too many of them.
        """
        given = self.cleaned_data
        try:
            return Job.objects.submit(user, given["image"], given["pipeline"], title=given["title"], **options)
        except LeptonError as error:
            if error.http_status not in (400, 413, 502):
                raise
            is_file = isinstance(error, FileRefused | QuotaExceeded | StoreError)
            message = site().without_folder(str(error).encode(), str(user.pk)).decode()
            self.add_error("image" if is_file else "pipeline", message)
            return None
