"""Settings of the test suite: short times, so that lost work is sent again within a test."""

from __future__ import annotations

from typing import Any

from settings.base import VALUES as BASE

VALUES: dict[str, Any] = {
    **BASE,
    "lease_s": 3.0,
    "sweep_s": 0.5,
    "duplicate_after": 24.0,  # 12 s, longer than the blocks in the tests of leases
    "visibility_timeout_s": 600,  # longer than tests wait: leases must bring back what a dead worker held
    "kernels": False,  # Numba takes a second of each worker's start
    "allowed_functions": ("scipy.ndimage:*", "tests.faults.blocks:*"),
}
