"""The entry point of workers: `celery -A make_celery worker -Q …`."""

from __future__ import annotations

from cells import create_app

flask_app = create_app()
celery_app = flask_app.extensions["celery"]
