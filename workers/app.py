"""The Celery application of workers and Flower: `celery -A workers.app worker`."""

from __future__ import annotations

from lepton_celery import create_app

app = create_app()
