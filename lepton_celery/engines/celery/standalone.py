"""A Celery application for workers outside a project; its settings come from the environment alone."""

from __future__ import annotations

from lepton_celery.config import load_settings
from lepton_celery.engines.celery.app import create_app

app = create_app(load_settings())
