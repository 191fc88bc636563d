"""Messages that are held back until a script of the ledger publishes them, together with what it notes.

Publishing and noting are two steps otherwise, and a process that dies between them has others publish again. It takes a
broker that is the ledger's own database of Redis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from lepton_celery.ledger.address import database_of
from lepton_celery.ledger.notices import Command


@dataclass
class _Holding:
    database: tuple[object, ...]
    commands: list[Command] = field(default_factory=list)


_holding: ContextVar[_Holding | None] = ContextVar("lepton_holding", default=None)


@contextmanager
def held_for(database: tuple[object, ...]) -> Iterator[list[Command]]:
    """Hold the messages back that this thread publishes to a database of Redis; those for others are published.

    Gives the commands that publish them, which are known at the end.
    """
    holding = _Holding(database)
    token = _holding.set(holding)
    try:
        yield holding.commands
    finally:
        _holding.reset(token)


def holds(channel: Any) -> bool:
    """Whether the messages are held back that are published through a channel of kombu now."""
    holding = _holding.get()
    return holding is not None and database_of(_options(channel)) == holding.database


def _options(channel: Any) -> Mapping[str, Any]:
    options: Mapping[str, Any] = channel.pool.connection_kwargs
    return options


class HeldMessages:
    """A batch of kombu's producer, with the methods of `kombu.transport.redis.PublishBatch`, that executes nothing."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self._commands: list[Command] = []

    def publish(self, message: Any, **options: Any) -> Any:
        return self.channel.basic_publish(message, _publish_batch=self, **options)

    def add(self, name: str, key: str, *words: str | int) -> None:
        """Add a command; it is one that has a key, or a channel, first."""
        self._commands.append((name, f"{self.channel.global_keyprefix}{key}", *map(str, words)))

    def flush(self) -> None:
        """Hand the commands over to whoever holds them back."""
        holding = _holding.get()
        if holding is not None:
            holding.commands += self._commands
        self._commands = []

    def discard(self) -> None:
        self._commands = []

    def close(self) -> None:
        self._commands = []
