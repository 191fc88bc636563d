"""Values of documents that anybody may have written: what is none of the expected kind is left out."""

from __future__ import annotations

from typing import Any

from lepton_celery.limits import MAX_MOMENT


def moment(value: Any) -> float:
    """A number of seconds; 0 for what is none that a calendar has."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= MAX_MOMENT else 0.0


def count(value: Any) -> int | None:
    """A number of things; None for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def dictionary(value: Any) -> dict[str, Any]:
    """A document; an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def dictionaries(value: Any) -> list[dict[str, Any]]:
    """The documents in a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
