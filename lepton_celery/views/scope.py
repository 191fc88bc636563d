"""Whose jobs somebody may see."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Owned(Protocol):
    """What belongs to a tenant and an owner."""

    @property
    def tenant(self) -> str: ...

    @property
    def owner(self) -> str: ...


class Scope(NamedTuple):
    """The jobs that somebody may see: those of a tenant, of an owner, or of both."""

    tenant: str | None = None
    """The only tenant whose jobs may be seen; None for all."""
    owner: str | None = None
    """The only owner whose jobs may be seen; None for all."""

    def has(self, one: Owned) -> bool:
        """Whether a job may be seen."""
        return self.tenant in (None, one.tenant) and self.owner in (None, one.owner)


ALL = Scope()
"""All jobs."""
