"""The Celery application, as in Celery's guide for Django: nothing of it knows of jobs."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_site.settings")
app = Celery("tests.django_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
