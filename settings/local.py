"""Settings for one machine; `lepton up` overrides the broker with the one that it starts."""

from __future__ import annotations

from typing import Any

from settings.base import VALUES as BASE

VALUES: dict[str, Any] = {
    **BASE,
    "broker_url": "redis://127.0.0.1:6379/0",
}
