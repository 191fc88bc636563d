"""The application of a worker of another release, which reads manifests of another version."""

from __future__ import annotations

from lepton_celery.app import app
from lepton_celery.execution import manifest

manifest.MANIFEST_VERSION = 99

__all__ = ["app"]
