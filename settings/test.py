"""The test suite: short waits, so that repairs are seen within a test."""

from __future__ import annotations

from typing import Any

from settings.base import VALUES as BASE

VALUES: dict[str, Any] = {
    **BASE,
    "lease_s": 3.0,
    "sweep_s": 0.5,
    "straggler": 24.0,  # 12 s: leases are put to the test with blocks that take less
    "visibility_timeout_s": 60,
    "allowed_functions": ("scipy.ndimage:*", "tests.faults.blocks:*"),
}
