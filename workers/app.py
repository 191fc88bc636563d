"""The Celery application of workers and Flower: `celery -A workers.app worker`."""

from __future__ import annotations

from lepton_celery.app import app as app
