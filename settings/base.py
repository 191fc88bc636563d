"""Settings that all environments share."""

from __future__ import annotations

from typing import Any

VALUES: dict[str, Any] = {
    # https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html#visibility-timeout
    # only a backstop: lost blocks are sent again when their leases expire
    "visibility_timeout_s": 3600,
    # a block that has killed four workers would kill the fifth
    "max_attempts": 4,
}
