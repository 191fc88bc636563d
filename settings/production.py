"""Settings of servers, for the compose files and the Procfile."""

from __future__ import annotations

from typing import Any

from settings.base import VALUES as BASE

VALUES: dict[str, Any] = {
    **BASE,
    "broker_url": "redis://redis:6379/0",
    # images and results have the same path on every worker
    "allowed_roots": ("/data",),
}
