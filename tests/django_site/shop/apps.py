"""The app."""

from __future__ import annotations

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Listens to the signals of jobs."""

    name = "tests.django_site.shop"

    def ready(self) -> None:
        """Listen."""
        from lepton_celery.contrib.django.signals import job_failed, job_finished
        from tests.django_site.shop.told import note_end

        job_finished.connect(note_end)
        job_failed.connect(note_end)
