"""The Celery application of workers that record spans; the workers import it."""

from __future__ import annotations

from benchmarks import stopwatch
from lepton_celery import create_app
from lepton_celery.config import load_settings

stopwatch.install()
app = create_app(load_settings())
