"""The connection of a ledger to its server: the keys, the scripts, and the server's failures by name.

Each move is one Lua script in `lua/`, so that it happens as a whole or not at all, by the server's clock. The keys of a job
share the hash tag `{job}` and stay on one node of a cluster:

    lepton:{job}:job         hash     state, stage, counters, the merge and its fence, times, error
    lepton:{job}:receipts    bitmap   a bit for each place of the current stage: 125 kB for a million
    lepton:{job}:leases      hash     place -> until, call, since, owner; only for blocks in flight
    lepton:{job}:holdings    hash     owner -> the places it claimed
    lepton:{job}:attempts    hash     place -> attempts lost; removed with the block's receipt
    lepton:{job}:reopened    set      places that had a receipt before
    lepton:{job}:stats       hash     "stage name" -> sum
    lepton:{job}:manifest    text     JSON
    lepton:{job}:result      text     JSON
    lepton:{job}:filled      hash     "stage place" -> attempts and reason of a block that was filled
    lepton:{job}:reasons     hash     place -> why it was last released with an attempt lost
    lepton:{job}:duplicated  set      places of the current stage that were handed to a second worker for being slow
    lepton:{job}:ended       channel  gets a message when the job ends

    lepton:costs:{profile}   text     JSON: the cost model of workers of a profile; belongs to no job

    lepton:jobs              zset     job -> when it was created; this one and the next two are indexes (`index.py`)
    lepton:active            zset     the same for jobs that may be running
    lepton:ended             zset     job -> when it was seen to have ended

A connection that breaks is tried again, and the server may then see one call twice. The calls that would do harm (create,
claim, commit_merge, fail, cancel, resume) carry an id by which the script recognizes them. Of the others, a second dispatch
skips blocks that `unreceipted` finds again, and a second commit answers 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.commands.core import Script
from redis.retry import Retry

from lepton_celery.errors import BrokerUnreachable
from lepton_celery.ledger.address import masked, redis_py_url
from lepton_celery.ledger.remedies import remedy

CONNECT_TIMEOUT_S = 3.0
"""Seconds that connecting may take."""
REPLY_TIMEOUT_S = 10.0
"""Seconds until a reply. No script needs as long; a server that loads its data or is swapped out may."""
RETRIES = 3
"""Number of times that a call is tried again when its connection breaks."""

JOB_KEYS = tuple(
    "job receipts leases holdings attempts reopened stats manifest result filled reasons duplicated".split()
)
"""Last parts of a job's keys, in the order in which every script gets them."""

_PRELUDE = "prelude.lua"
"""The file that is put before every script."""


class Connection:
    """The server at `url`, and the keys there that start with `prefix`.

    Connects when it is first used. It may be used by several threads and after a fork.

    Raises:
        InputError: the URL is not understood.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self.prefix = prefix
        self._shown_url = masked(url)
        # redis-py's pool notices a fork by the process id and starts anew in the child, so one object serves both
        self._client = redis.Redis.from_url(
            redis_py_url(url),
            decode_responses=True,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=REPLY_TIMEOUT_S,
            health_check_interval=30,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), RETRIES),
        )
        self._scripts = _load_scripts(self._client)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """The client, with the server's failures turned into `BrokerUnreachable`.

        It is `Any` because redis-py types every reply as either the reply or an awaitable.
        """
        try:
            yield self._client
        except redis.exceptions.RedisError as error:
            advice = remedy(error)
            if advice is None:
                raise
            raise BrokerUnreachable(f"the ledger at {self._shown_url} does not answer: {error}; {advice}") from error

    def run(self, script: str, job_id: str, *arguments: str | float) -> Any:
        """The answer of a script of `lua/` that makes a move of a job."""
        with self.client():
            return self._scripts[script](keys=self.keys(job_id), args=arguments)

    def key(self, job_id: str, name: str) -> str:
        """One key of a job."""
        return f"{self.prefix}{{{job_id}}}:{name}"

    def keys(self, job_id: str) -> list[str]:
        """All keys of a job."""
        return [self.key(job_id, name) for name in JOB_KEYS]

    def now(self) -> float:
        """Seconds since the epoch by the server's clock."""
        with self.client() as client:
            seconds, microseconds = client.time()
        return float(seconds + microseconds / 1e6)

    @contextmanager
    def end_signal(self, job_id: str) -> Iterator[Callable[[float], None]]:
        """A function that waits for at most the given seconds, and no longer than until the job ends."""
        server: Any = self._client  # redis-py does not type this part
        with server.pubsub() as channel:

            def wait(seconds: float) -> None:
                try:
                    if not channel.subscribed:  # the answer to this ends the first wait at once
                        channel.subscribe(self.key(job_id, "ended"))
                    channel.get_message(timeout=seconds)
                except redis.exceptions.RedisError:  # not allowed, or the server is gone: `info` will tell
                    time.sleep(seconds)

            yield wait


def _load_scripts(client: redis.Redis) -> dict[str, Script]:
    """The scripts by name. Each is sent once to a server and then called by its digest."""
    folder = resources.files("lepton_celery.ledger") / "lua"
    prelude = (folder / _PRELUDE).read_text(encoding="utf-8")
    return {
        file.name.removesuffix(".lua"): client.register_script(prelude + file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".lua") and file.name != _PRELUDE
    }
