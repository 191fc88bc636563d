"""Settings of servers, for the compose files and the Procfile."""

from __future__ import annotations

from typing import Any

from settings.base import VALUES as BASE

VALUES: dict[str, Any] = {
    **BASE,
    "broker_url": "redis://redis:6379/0",
    # LEPTON_SECRET_KEY in the environment: submitters sign jobs with it, and workers refuse others. Without it, whoever can
    # write to the broker or the ledger can have workers read and write the folders below (docs/security.md)
    # images and results have the same path on every worker
    "allowed_roots": ("/data",),
}
