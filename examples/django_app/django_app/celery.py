"""The usual Celery application of a Django project; the last line prepares it for image jobs."""

from __future__ import annotations

import os

from celery import Celery

import lepton_celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_app.settings")

app = Celery("django_app")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
lepton_celery.configure(app)
