"""The last decisions of autoscalers, which tell operators why there are as many workers as there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # redis-py takes 0.1 s to import
    from lepton_celery.ledger.connection import Connection

KEPT = 500
"""Number of decisions that are kept."""
_MAX_CHARS = 20_000
"""Longest decision that is read, in characters."""


class Decisions:
    """The list `decisions`, the latest first, as JSON documents; and the hash `scalers` of what each autoscaler does now."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._list, self._hash = f"{connection.prefix}decisions", f"{connection.prefix}scalers"

    def note(self, document: Mapping[str, Any]) -> None:
        """Keep a decision, and forget the oldest beyond `KEPT`."""
        with self._connection.client() as client:
            pipeline = client.pipeline(transaction=True)
            pipeline.lpush(self._list, json.dumps(document, separators=(",", ":")))
            pipeline.ltrim(self._list, 0, KEPT - 1)
            pipeline.execute()

    def last(self, count: int) -> list[dict[str, Any]]:
        """The last decisions, the latest first; what is no decision is left out."""
        with self._connection.client() as client:
            texts = client.lrange(self._list, 0, max(0, min(count, KEPT) - 1))
        return [document for text in texts if (document := _parsed(text)) is not None]

    def say(self, name: str, document: Mapping[str, Any] | None) -> None:
        """Replace what an autoscaler says of itself; None removes it, as the autoscaler stops."""
        with self._connection.client() as client:
            if document is None:
                client.hdel(self._hash, name)
            else:
                client.hset(self._hash, name, json.dumps(document, separators=(",", ":")))

    def forget(self, before: float) -> None:
        """Remove what autoscalers said that was valid until a moment before this one, by the ledger's clock."""
        found = self.said()
        ended = [name for name, each in found.items() if not _is_later(each.get("until"), before)]
        if ended:
            with self._connection.client() as client:
                client.hdel(self._hash, *ended)

    def said(self) -> dict[str, dict[str, Any]]:
        """What each autoscaler last said of itself, by its name."""
        with self._connection.client() as client:
            texts = client.hgetall(self._hash)
        return {name: document for name, text in texts.items() if (document := _parsed(text)) is not None}


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text) if len(text) <= _MAX_CHARS else None
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _is_later(value: Any, moment: float) -> bool:
    return isinstance(value, int | float) and value >= moment
