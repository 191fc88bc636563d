"""The cost models that the ledger keeps for workers, one for each profile of machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lepton_celery.ledger import entries

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection


class CostModels:
    """The part of a `Ledger` with these methods."""

    _connection: Connection

    def costs(self, profile: str) -> dict[str, Any] | None:
        """The cost model of the workers of a profile; None if there is none.

        Raises:
            JobError: the cost model cannot be read.
        """
        with self._connection.client() as client:
            text = client.get(self._costs_key(profile))
        return None if text is None else entries.from_json(f"cost model of profile {profile!r}", str(text))

    def keep_costs(self, profile: str, document: Mapping[str, Any] | None) -> None:
        """Replace the cost model of a profile by JSON values, or remove it with None."""
        with self._connection.client() as client:
            if document is None:
                client.delete(self._costs_key(profile))
            else:
                client.set(self._costs_key(profile), entries.to_json(document))

    def _costs_key(self, profile: str) -> str:
        return f"{self._connection.prefix}costs:{profile}"
