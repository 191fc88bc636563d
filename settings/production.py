"""Servers: the compose files and the Procfile."""

from __future__ import annotations

from typing import Any

from settings.base import VALUES as BASE

VALUES: dict[str, Any] = {
    **BASE,
    "broker_url": "redis://redis:6379/0",
    # where images and results live, the same path on every worker
    "allowed_roots": ("/data",),
}
