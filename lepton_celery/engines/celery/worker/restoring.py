"""Lets a worker restore the messages of lost workers past an entry that is no message.

kombu keeps the messages that workers hold in a hash of Redis, and puts those of lost workers back into their queues. It
takes several in one go, and an entry that cannot be read ends that with an error, again and again: no message behind it
would ever come back. Nobody but a stranger writes such an entry, so it is removed.
"""

from __future__ import annotations

from typing import Any

from lepton_celery.text import logger, shown

log = logger(__name__)


def guard_restoring(transport: Any) -> None:
    """Guard all channels of a connection to Redis, also those that are opened later."""
    create = transport.create_channel

    def create_guarded(connection: Any) -> Any:
        channel = create(connection)
        _guard(channel.qos)
        return channel

    transport.create_channel = create_guarded
    for channel in transport.channels:
        _guard(channel.qos)


def _guard(qos: Any) -> None:
    restore, passing = qos.restore_by_tag, qos.channel.connection_errors

    def restore_or_remove(tag: Any, *arguments: Any, **options: Any) -> None:
        try:
            restore(tag, *arguments, **options)
        except passing:
            raise
        except Exception as error:  # what is parsed may be anything
            log.warning(
                "the entry %s of %s is no message of Celery (%s), and is removed",
                shown(tag),
                qos.unacked_key,
                shown(error),
            )
            with qos.pipe_or_acquire() as pipe:
                pipe.zrem(qos.unacked_index_key, tag).hdel(qos.unacked_key, tag).execute()

    qos.restore_by_tag = restore_or_remove
