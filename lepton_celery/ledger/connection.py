"""The connection of a ledger to its Redis server: keys, Lua scripts and errors.

Each move is one Lua script in `lua/`, so it is atomic and uses the server's clock. The keys of a job share the hash tag
`{job}`, so they are on the same node of a cluster:

    lepton:{job}:job         hash     state, stage, counters, the merge and its fence, times, error
    lepton:{job}:receipts    bitmap   a bit for each place of the current stage: 125 kB for a million
    lepton:{job}:leases      hash     place -> expiry, call, time granted, owner; only of leased blocks
    lepton:{job}:holdings    hash     owner -> the places it claimed
    lepton:{job}:attempts    hash     place -> number of lost attempts; removed when the block is received
    lepton:{job}:reopened    set      places whose receipts a merge took back
    lepton:{job}:stats       hash     "stage name" -> sum of a statistic; "stage @name" -> time of an event
    lepton:{job}:manifest    text     JSON
    lepton:{job}:result      text     JSON
    lepton:{job}:filled      hash     "stage place" -> attempts and reason of a block that was filled
    lepton:{job}:reasons     hash     place -> why it was last released with an attempt lost
    lepton:{job}:duplicated  set      places of the current stage that were opened to a second worker
    lepton:{job}:killers     set      places of the current stage whose process died while it worked on nothing else
    lepton:{job}:released    zset     place -> time at which its owner released it to send it again, since the last check
    lepton:{job}:history     list     what each slot did when: an entry for each batch, or for several (`note_work`)
    lepton:{job}:slots       hash     slot -> index of its last entry in the history
    lepton:{job}:tracebacks  hash     "stage place" -> where the block's last error was raised; of a few blocks
    lepton:{job}:ended       channel  receives a message when the job ends

    lepton:{lane L}:jobs     hash     job -> whether it has blocks to send, blocks in the broker, seconds of a block, seconds
                                      of service, rank, tenant; of the open jobs of the lane L (`turns.py`)
    lepton:{lane L}:tenants  hash     tenant -> seconds of service
    lepton:{lane L}:order    zset     the jobs by tenant, state, rank and service, sorted as text
    lepton:{lane L}:sent     set      the jobs that have blocks in the broker

    lepton:{open}:jobs       hash     job -> JSON: the holders that it counts for; of the open jobs (`quotas.py`)
    lepton:{open}:counts     hash     holder, which is a tenant in a lane or an owner -> number of its open jobs

    lepton:costs:{profile}   text     JSON: the cost model of the workers of a profile

    lepton:jobs              zset     job -> time of creation; this key and the next three are the indexes (`index.py`)
    lepton:active            zset     job -> time of creation or resumption, of jobs that may be running
    lepton:ended             zset     job -> time at which its end was noticed
    lepton:notices           zset     job -> time from which sweepers send the notice of its end
    lepton:lanes             zset     "lane slots worker" -> time until which the worker's note that it serves it is valid
    lepton:worker:NAME       text     JSON: processes and memory of a worker; expires with its note
    lepton:decisions         list     JSON: the last decisions of autoscalers, the latest first
    lepton:scalers           hash     autoscaler -> JSON: what it says of itself

redis-py retries a call when its connection breaks, so the server may run a call twice. Where that would do harm (create,
claim, commit_merge, finish, resume), the call carries an id by which its script recognizes the retry. Of the others, a
repeated dispatch skips blocks, which `unreceipted` finds later, and a repeated commit returns 0.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

import redis
from redis.commands.core import Script

from lepton_celery.errors import BrokerUnreachable
from lepton_celery.ledger.address import database_of, redis_py_url
from lepton_celery.ledger.damage import damaged
from lepton_celery.ledger.remedies import remedy
from lepton_celery.ledger.retries import TellingRetry
from lepton_celery.text import masked

CONNECT_TIMEOUT_S = 3.0
"""Seconds that connecting may take."""
REPLY_TIMEOUT_S = 4.0
"""Longest wait for a reply, in seconds, before the call is tried again. Scripts take milliseconds, but a server may be
swapped out; a server that never answers is given up after four tries, 17 s."""

_CLOCK_S = 1.0
"""Seconds after which the server's clock is read again, which may have been set."""

JOB_KEYS = (
    "job",
    "receipts",
    "leases",
    "holdings",
    "attempts",
    "reopened",
    "stats",
    "manifest",
    "result",
    "filled",
    "reasons",
    "duplicated",
    "killers",
    "released",
    "history",
    "slots",
    "tracebacks",
)
"""Last parts of a job's keys, in the order in which every script gets them."""


class Connection:
    """The server at `url`, and the keys there that start with `prefix`.

    Raises:
        InputError: the URL is not understood.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self.prefix = prefix
        self._shown_url = masked(url)
        # threads and forked children may share it: redis-py's pool compares process ids and reconnects after a fork
        self._client = redis.Redis.from_url(
            redis_py_url(url),
            decode_responses=True,
            encoding_errors="backslashreplace",  # bytes that are no text, and texts that have no UTF-8 form, remain legible
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=REPLY_TIMEOUT_S,
            health_check_interval=30,
            retry=TellingRetry(self._shown_url),
        )
        self._scripts = _load_scripts(self._client)
        self._read, self._read_at = 0.0, -math.inf
        """What the server's clock said when it was read last, and `time.monotonic` then."""
        self._latest = 0.0
        """What `nearly_now` said last."""

    @property
    def database(self) -> tuple[object, ...]:
        """What tells the database of Redis from others; see `database_of`."""
        return database_of(self._client.connection_pool.connection_kwargs)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """The client; errors of the server are raised as `BrokerUnreachable`.

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
        """Run a script of `lua/` on the keys of a job, and return its reply.

        Raises:
            JobError: a key of the job has another type, or a number in it is none.
        """
        try:
            return self.run_on(script, self.keys(job_id), *arguments)
        except redis.exceptions.ResponseError as error:
            raise damaged(job_id, str(error)) from error

    def run_on(self, script: str, keys: list[str], *arguments: str | float) -> Any:
        """Run a script of `lua/` on other keys, and return its reply."""
        with self.client():
            return self._scripts[script](keys=keys, args=arguments)

    def run_for_each(
        self, script: str, job_ids: Sequence[str], also: Sequence[tuple[str, Sequence[str]]] = ()
    ) -> list[Any]:
        """Run a script of `lua/` on the keys of each job, all in one round trip; the reply of a job may be an error.

        `also` are hashes and their fields, which are read in the same round trip; their values follow.
        """
        with self.client() as client:
            pipeline = client.pipeline(transaction=False)
            for job_id in job_ids:
                self._scripts[script](keys=self.keys(job_id), client=pipeline)
            for key, names in also:
                pipeline.hmget(key, names)
            replies: list[Any] = pipeline.execute(raise_on_error=False)
        return replies

    def key(self, job_id: str, name: str) -> str:
        return f"{self.prefix}{{{job_id}}}:{name}"

    def keys(self, job_id: str) -> list[str]:
        return [self.key(job_id, name) for name in JOB_KEYS]

    def now(self) -> float:
        """Seconds since the epoch by the server's clock."""
        with self.client() as client:
            seconds, microseconds = client.time()
        return float(seconds + microseconds / 1e6)

    def nearly_now(self) -> float:
        """The same, a few milliseconds late at most, without a round trip most of the time; later with each call."""
        if time.monotonic() - self._read_at > _CLOCK_S:
            self._read = self.now()
            self._read_at = time.monotonic()
        at = self._read + time.monotonic() - self._read_at
        if 0 <= self._latest - at < _CLOCK_S:  # the reply took longer than the one before
            at = self._latest + 1e-6
        self._latest = at
        return at

    @contextmanager
    def end_signal(self, job_id: str) -> Iterator[Callable[[float], None]]:
        """See `Ledger.end_signal`."""
        server: Any = self._client  # redis-py does not type this part
        with server.pubsub() as channel:

            def wait(seconds: float) -> None:
                try:
                    if not channel.subscribed:  # its confirmation ends the first wait at once
                        channel.subscribe(self.key(job_id, "ended"))
                    channel.get_message(timeout=seconds)
                except redis.exceptions.RedisError:  # the ACL forbids the channel; or the server is gone: see `info`
                    time.sleep(seconds)

            yield wait


def _load_scripts(client: redis.Redis) -> dict[str, Script]:
    """The scripts by name. redis-py sends each to a server once, and then calls it by its digest."""
    folder = resources.files("lepton_celery.ledger") / "lua"
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".lua")}
    of_jobs, of_lanes = texts.pop("prelude.lua"), texts.pop("lane_prelude.lua")  # go before every script
    return {
        name.removesuffix(".lua"): client.register_script((of_lanes if name.startswith("lane_") else of_jobs) + text)
        for name, text in texts.items()
    }
