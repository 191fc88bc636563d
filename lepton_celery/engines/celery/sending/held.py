"""Messages that are held back until a script of the ledger publishes them, together with what it notes.

Publishing and noting are two steps otherwise, and a process that dies between them has others publish again. It takes a
broker that is the ledger's own database of Redis.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from lepton_celery.ledger.address import database_of
from lepton_celery.ledger.notices import Command


class _Held(NamedTuple):
    database: tuple[object, ...]
    commands: list[Command]


_held: ContextVar[_Held | None] = ContextVar("lepton_held", default=None)


@contextmanager
def held_for(database: tuple[object, ...]) -> Iterator[list[Command]]:
    """Hold the messages back that this thread publishes to a database of Redis; those for others are published.

    Gives the commands that publish them, which are known at the end.
    """
    held = _Held(database, [])
    token = _held.set(held)
    try:
        yield held.commands
    finally:
        _held.reset(token)


def batch_held(channel: Any) -> HeldMessages | None:
    """A batch for the messages that are published through a channel of kombu now; None if they are not held back."""
    held = _held.get()
    if held is None or database_of(channel.pool.connection_kwargs) != held.database:
        return None
    return HeldMessages(channel, held.commands)


class HeldMessages:
    """A batch of kombu's producer, with the methods of `kombu.transport.redis.PublishBatch`, that executes nothing."""

    def __init__(self, channel: Any, held: list[Command]) -> None:
        self.channel, self._held = channel, held
        self._commands: list[Command] = []

    def publish(self, message: Any, **options: Any) -> Any:
        return self.channel.basic_publish(message, _publish_batch=self, **options)

    def add(self, name: str, key: str, *words: str | int) -> None:
        """Add a command; it is one that has a key, or a channel, first."""
        self._commands.append((name, f"{self.channel.global_keyprefix}{key}", *map(str, words)))

    def flush(self) -> None:
        """Hand the commands over to the `with` block that holds them back."""
        self._held += self._commands
        self._commands = []

    def discard(self) -> None:
        self._commands = []

    def close(self) -> None:
        self._commands = []
