"""Tests of scikit-image that fail with functions computed in blocks, and why that is right."""

from __future__ import annotations

from fnmatch import fnmatchcase

_REASONS: tuple[tuple[str, str], ...] = ()
"""Pattern of tests, reason."""


def reason_of(test: str) -> str | None:
    """Why a test fails with functions computed in blocks; None if nobody has explained it."""
    return next((reason for pattern, reason in _REASONS if fnmatchcase(test, pattern)), None)
