"""Why some functions are slower in blocks than on the whole image, for docs/benchmarks-catalogue.md."""

from __future__ import annotations

REASONS: dict[str, str] = {}
"""The reason by function."""
