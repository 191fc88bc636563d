"""Settings that are the same wherever the project runs."""

from __future__ import annotations

from typing import Any

VALUES: dict[str, Any] = {
    # https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/redis.html#visibility-timeout
    # a backstop only: lost blocks come back when their lease ends
    "visibility_timeout_s": 3600,
    # a block that has taken four workers down would take the fifth
    "max_attempts": 4,
}
