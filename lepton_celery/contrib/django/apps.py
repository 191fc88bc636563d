"""The app as INSTALLED_APPS names it."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class LeptonConfig(AppConfig):
    """Prepares the project's own Celery application for jobs, when Django is set up."""

    name = "lepton_celery.contrib.django"
    label = "lepton"
    verbose_name = "Image jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Prepare the Celery application; what is wrong is told by the system checks."""
        from lepton_celery.contrib.django import connecting
        from lepton_celery.contrib.django.checks import check_deployment, check_settings

        checks.register(check_settings, "lepton")
        checks.register(check_deployment, "lepton", deploy=True)
        connecting.connect()
