"""Checks the messages that workers hold: kombu keeps them in a hash of Redis, and what is none there stops their return."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lepton_celery.doctor.finding import OK, PROBLEM, Finding
from lepton_celery.doctor.server import GROUP
from lepton_celery.text import quoted, shown

_LOOKED_AT = 1000
"""Number of entries that are looked at, the oldest first."""
_NAMED = 3
"""Number of entries that a finding names."""


def check_held(channel: Any) -> list[Finding]:
    """The findings about the messages that workers hold; `channel` is one of kombu. RabbitMQ keeps them itself."""
    if not hasattr(channel, "unacked_key"):
        return []
    with channel.conn_or_acquire() as client:
        tags: Sequence[bytes] = client.zrange(channel.unacked_index_key, 0, _LOOKED_AT - 1)
        entries = client.hmget(channel.unacked_key, tags) if tags else []
    bad = [tag for tag, entry in zip(tags, entries, strict=True) if entry is not None and not _is_message(entry)]
    if not bad:
        return [Finding(GROUP, "held", OK, f"{len(tags)} messages are held by workers")]
    named = ", ".join(quoted(tag.decode(errors="replace")) for tag in bad[:_NAMED])
    more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    found = f"{channel.unacked_key} has entries that are no messages ({named}{more}), which somebody else wrote"
    first = shown(bad[0].decode(errors="replace"))
    advice = (
        "messages of lost workers do not come back, and remote control fails, until they are gone; workers that serve a "
        f"lane remove them within minutes, or: redis-cli zrem {channel.unacked_index_key} {first}, "
        f"redis-cli hdel {channel.unacked_key} {first}"
    )
    return [Finding(GROUP, "held", PROBLEM, found, advice)]


def _is_message(entry: bytes) -> bool:
    """Whether an entry is what kombu writes: a message, its exchange and its routing key."""
    try:
        match json.loads(entry):
            case [dict(), str(), str()]:
                return True
    except (ValueError, RecursionError):
        pass
    return False
