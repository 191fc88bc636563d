"""Whose a job is: its tenant, who shares a lane with others on some terms, and its owner, who asked for the job."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from lepton_celery.errors import InputError
from lepton_celery.limits import MAX_OWNER_CHARS, MAX_TENANT_CHARS
from lepton_celery.text import quoted

OTHERS = "*"
"""Stands for all tenants that have no terms of their own."""

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@-]{{0,{MAX_TENANT_CHARS - 1}}}")


class Terms(NamedTuple):
    """What a tenant is entitled to."""

    weight: float = 1.0
    """Its share of a lane, relative to other tenants."""
    slots: int = 0
    """Largest number of slots that its jobs occupy in a lane; 0: no limit."""


def check_tenant(name: str) -> str:
    """The name of a tenant; the empty name is that of all jobs without one.

    Raises:
        InputError: it is not a name.
    """
    if name and not _NAME.fullmatch(name):
        raise InputError(
            f"tenant {quoted(name)}; give up to {MAX_TENANT_CHARS} letters, digits, . _ @ and -, beginning with a letter or "
            "a digit"
        )
    return name


def check_owner(name: object) -> str:
    """The name of an owner; the empty name is that of all jobs without one.

    Raises:
        InputError: it is not a name.
    """
    if not isinstance(name, str) or len(name) > MAX_OWNER_CHARS or not name.isprintable():
        raise InputError(
            f"owner {quoted(name)}; give a text of up to {MAX_OWNER_CHARS} characters, all of them printable, such as a "
            "user's name or email address"
        )
    return name


def terms_of(entries: Iterable[str]) -> dict[str, Terms]:
    """The terms of tenants by name, from `name:weight` or `name:weight:slots` of each; `*` is all others.

    Raises:
        InputError: an entry has another form, or a weight that is not positive.
    """
    found: dict[str, Terms] = {}
    for entry in entries:
        name, *figures = entry.split(":")
        try:
            weight = float(figures[0]) if figures and figures[0] else 1.0
            slots = int(figures[1]) if len(figures) > 1 else 0
        except ValueError:
            weight, slots = -1.0, 0
        if not 1e-3 <= weight <= 1e3 or slots < 0 or len(figures) > 2 or not figures:
            raise InputError(
                f"tenants has the entry {quoted(entry)}; give name:weight or name:weight:slots, such as lab:3 or lab:3:8, "
                "with a weight from 0.001 to 1000, and * as name for all other tenants"
            )
        found[name if name == OTHERS else check_tenant(name)] = Terms(weight, slots)
    return found
