"""The `lepton` command, which is also `celery -A APP lepton`."""

from __future__ import annotations

from lepton_celery.cli.commands import lepton, main

__all__ = ["lepton", "main"]
