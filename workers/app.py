"""The Celery application that workers and Flower are started with: `celery -A workers.app worker`."""

from __future__ import annotations

from lepton_celery import create_app
from lepton_celery.config import load_settings

app = create_app(load_settings())
