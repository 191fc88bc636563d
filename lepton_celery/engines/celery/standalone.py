"""The Celery application of a local stack that is started outside a project folder."""

from __future__ import annotations

from lepton_celery.engines.celery.app import create_app

app = create_app()
