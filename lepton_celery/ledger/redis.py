"""A ledger on a Redis or Valkey server, for workers on any number of machines.

Each move is one Lua script in `lua/`, so it happens whole or not at all, by the server's clock. The keys of a job share
the hash tag `{job}` and stay on one node of a cluster:

    lepton:{job}:job        hash     state, stage, counters, the merge and its fence, times, error
    lepton:{job}:receipts   bitmap   a bit per block of the current stage: 125 kB for a million
    lepton:{job}:leases     hash     block -> until, call, since, owner; only for blocks in flight
    lepton:{job}:holdings   hash     owner -> the blocks it claimed
    lepton:{job}:attempts   hash     block -> attempts lost; dropped with its receipt
    lepton:{job}:reopened   set      blocks that had a receipt before
    lepton:{job}:stats      hash     "stage name" -> sum
    lepton:{job}:manifest   text     JSON
    lepton:{job}:result     text     JSON
    lepton:{job}:holes      hash     "stage block" -> attempts and reason of a block that was given up
    lepton:{job}:reasons    hash     block -> why it was last released with an attempt lost
    lepton:{job}:doubled    set      blocks of the current stage that were handed out twice for taking long
    lepton:{job}:ahead      bitmap   blocks of the next stage that are done already
    lepton:{job}:ended      channel  something is published when the job ends

    lepton:costs:{profile}  text     JSON, the cost model of workers of a profile; of no job

    lepton:jobs             zset     job -> when created; these three are indexes, for finding jobs only
    lepton:active           zset     the same for jobs that may be running
    lepton:ended            zset     job -> when it was seen to have ended

    lepton:costs:{profile}  text     JSON: the cost model of workers of a profile, of no job

The indexes lie outside the tag, so no script can change them together with a job. They are written before a job is
created and cleaned after it ends, and whoever reads them believes the job's own key. A process that dies in between
leaves an entry too many, never one too few, as long as the id of a forgotten job is not used again.

A connection that breaks is tried again, and the server may then see one call twice. Calls that would mind (create,
claim, commit_merge, fail, cancel) carry an id of their own by which the script knows them; of the rest, a second take
skips blocks that `unreceipted` finds again, and a second commit answers 0.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.commands.core import Script
from redis.retry import Retry

from lepton_celery.errors import BrokerUnreachable, JobError, JobNotFound
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.address import masked, redis_py_url
from lepton_celery.ledger.base import VERSION
from lepton_celery.ledger.checks import (
    block_beyond,
    check_at_least,
    check_lease,
    check_new_job,
    check_next_stage,
    distinct,
    finite,
    no_next_stage,
)
from lepton_celery.ledger.documents import from_json, to_json
from lepton_celery.ledger.info import INACTIVE, Claim, FilledBlock, JobInfo, JobState, StageTimes
from lepton_celery.ledger.remedies import remedy

CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 10.0
"""No script comes near it; a server that loads its data or is swapped out may."""
RETRIES = 3
INDEX_GRACE_S = 3600.0
"""How long an index entry without a job is left alone: its creator may be between the two."""

_JOB_KEYS = (
    "job",
    "receipts",
    "leases",
    "holdings",
    "attempts",
    "reopened",
    "stats",
    "manifest",
    "result",
    "holes",
    "reasons",
    "doubled",
    "ahead",
)
_SCRIPTS = (
    "create",
    "take",
    "claim",
    "renew",
    "commit",
    "commit_ahead",
    "receipts",
    "release",
    "unreceipted",
    "reclaim",
    "straggling",
    "begin_merge",
    "renew_merge",
    "begin_publish",
    "commit_merge",
    "release_merge",
    "reopen",
    "finish",
    "pause",
    "resume",
    "give_up",
)


class RedisLedger:
    """Jobs on the server at `url`, under keys that start with `prefix`. Connects when first used; safe to use from
    several threads and after a fork. Raises `InputError` for a URL it does not understand."""

    def __init__(self, url: str, *, prefix: str = "lepton:") -> None:
        self._shown_url = masked(url)
        self._prefix = prefix
        # redis-py's pool notices a fork by the process id and starts anew in the child, so one object serves both.
        self._redis = redis.Redis.from_url(
            redis_py_url(url),
            decode_responses=True,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=REPLY_TIMEOUT_S,
            health_check_interval=30,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), RETRIES),
        )
        self._scripts = _load_scripts(self._redis)

    def create(
        self,
        job_id: str,
        manifest: Mapping[str, Any],
        *,
        lane: str,
        title: str,
        stages: int,
        blocks: int,
        stage: int = 0,
        paused: bool = False,
    ) -> None:
        check_new_job(job_id, stages, blocks)
        text = to_json(job_id, "manifest", manifest)
        self._index(job_id, anew=False)
        state = JobState.PAUSED if paused else JobState.RUNNING
        call = _call_id()
        if not self._run("create", job_id, call, lane, title, stages, blocks, text, stage, VERSION, state.value):
            raise JobError(f"job {job_id!r} exists already; choose another id or forget it first", job_id)
        # Once more, in case the first entry was an old one, left by a create that died, and was pruned in between.
        self._index(job_id, anew=True)

    def manifest(self, job_id: str) -> dict[str, Any]:
        return from_json(job_id, "manifest", self._document(job_id, "manifest"))

    def info(self, job_id: str) -> JobInfo:
        found = self._read([job_id])
        if not found:
            raise _not_found(job_id)
        return found[0]

    @contextmanager
    def end_signal(self, job_id: str) -> Iterator[Callable[[float], None]]:
        server: Any = self._redis  # redis-py does not type this part
        with server.pubsub() as listening:
            broken = False

            def wait(seconds: float) -> None:
                nonlocal broken
                if not broken:
                    try:
                        listening.get_message(timeout=seconds)
                        return
                    except redis.exceptions.RedisError:  # not allowed, or the server is gone: `info` will tell
                        broken = True
                time.sleep(seconds)

            try:
                listening.subscribe(self._key(job_id, "ended"))
            except redis.exceptions.RedisError:
                broken = True
            yield wait

    def jobs(self, *, limit: int = 100) -> list[JobInfo]:
        check_at_least("limit", limit, 0)
        found: dict[str, JobInfo] = {}  # by id: a job created meanwhile moves the pages, and one comes twice
        start = 0
        while len(found) < limit:
            with self._server() as server:
                page = server.zrange(self._prefix + "jobs", start, start + limit - 1, desc=True, withscores=True)
            if not page:
                break
            start += limit
            infos = {info.job_id: info for info in self._read([job_id for job_id, _ in page])}
            found.update(infos)
            self._prune(dict(page), keep=infos.keys())
        return sorted(found.values(), key=lambda info: info.created_at, reverse=True)[:limit]

    def active(self) -> list[str]:
        with self._server() as server:
            entries = server.zrange(self._prefix + "active", 0, -1, withscores=True)
            pipeline = server.pipeline(transaction=False)
            for job_id, _ in entries:
                pipeline.hget(self._key(job_id, "job"), "state")
            states = {job_id: state for (job_id, _), state in zip(entries, pipeline.execute(), strict=True)}
            ended = [
                job_id for job_id, state in states.items() if state not in (None, JobState.RUNNING, JobState.PAUSED)
            ]
        for job_id in ended:
            self._leave_active(job_id)
        self._prune(dict(entries), keep={job_id for job_id, state in states.items() if state is not None})
        return [job_id for job_id, state in states.items() if state == JobState.RUNNING]

    def dispatch(self, job_id: str, stage: int, *, count: int, window: int) -> tuple[int, int]:
        check_at_least("count", count, 0)
        check_at_least("window", window, 0)
        start, stop = self._run("take", job_id, stage, count, window)
        return start, stop

    def claim(
        self, job_id: str, stage: int, blocks: Sequence[int], *, owner: str, lease_s: float, max_attempts: int
    ) -> Claim:
        check_lease(lease_s)
        check_at_least("max_attempts", max_attempts, 1)
        asked = _joined(distinct(blocks))
        active, *lists = self._run("claim", job_id, stage, asked, owner, lease_s, max_attempts, _call_id())
        if active == -1:
            raise block_beyond(job_id, stage, *map(int, lists))
        if not active:
            return INACTIVE
        granted, leased, done, exhausted, lost = map(_split, lists)
        return Claim(granted, leased, done, exhausted, active=True, lost=dict(zip(lost[::2], lost[1::2], strict=True)))

    def renew(self, job_id: str, stage: int, *, owner: str, lease_s: float) -> bool:
        check_lease(lease_s)
        return bool(self._run("renew", job_id, stage, owner, lease_s))

    def commit(self, job_id: str, stage: int, blocks: Sequence[int], *, owner: str, stats: Mapping[str, float]) -> int:
        received = _joined(distinct(blocks))
        sums = [text for name, value in finite(stats).items() for text in (name, repr(value))]
        fresh, *beyond = self._run("commit", job_id, stage, received, owner, *sums)
        if fresh == -1:
            raise block_beyond(job_id, stage, *map(int, beyond))
        return int(fresh)

    def receipts(self, job_id: str, stage: int, blocks: Sequence[int]) -> list[Place]:
        return _split(self._run("receipts", job_id, stage, _joined(distinct(blocks))))

    def commit_ahead(self, job_id: str, stage: int, blocks: Sequence[int], *, stats: Mapping[str, float]) -> int:
        sums = [text for name, value in finite(stats).items() for text in (name, repr(value))]
        return int(self._run("commit_ahead", job_id, stage, _joined(distinct(blocks)), *sums))

    def release(
        self, job_id: str, stage: int, blocks: Sequence[int], *, owner: str, count_attempt: bool, reason: str = ""
    ) -> None:
        self._run("release", job_id, stage, _joined(distinct(blocks)), owner, int(count_attempt), reason)

    def reason(self, job_id: str, block: int) -> str:
        with self._server() as server:
            return str(server.hget(self._key(job_id, "reasons"), str(block)) or "")

    def give_up(self, job_id: str, stage: int, block: int, *, reason: str) -> bool:
        (wanted,) = distinct([block])
        done, *beyond = self._run("give_up", job_id, stage, wanted, reason)
        if done == -1:
            raise block_beyond(job_id, stage, *map(int, beyond))
        return bool(done)

    def filled_blocks(self, job_id: str) -> list[FilledBlock]:
        with self._server() as server:
            found: dict[str, str] = server.hgetall(self._key(job_id, "holes"))
        return sorted(_hole(key, text) for key, text in found.items())

    def pause(self, job_id: str) -> bool:
        return bool(self._run("pause", job_id))

    def resume(self, job_id: str) -> bool:
        resumed = bool(self._run("resume", job_id, _call_id()))
        if resumed:
            with self._server() as server:
                server.zadd(self._prefix + "active", {job_id: _seconds(server.time())}, nx=True)
                server.zrem(self._prefix + "ended", job_id)
        return resumed

    def ended(self, *, before_s: float) -> list[str]:
        with self._server() as server:
            latest = _seconds(server.time()) - before_s
            found: list[str] = server.zrangebyscore(self._prefix + "ended", "-inf", latest)
        return found

    def unreceipted(self, job_id: str, stage: int, *, limit: int) -> list[Place]:
        check_at_least("limit", limit, 0)
        return _split(self._run("unreceipted", job_id, stage, limit))

    def reclaim(self, job_id: str, stage: int, *, limit: int) -> list[Place]:
        check_at_least("limit", limit, 0)
        return _split(self._run("reclaim", job_id, stage, limit))

    def duplicate_slow(self, job_id: str, stage: int, *, older_s: float, limit: int) -> list[Place]:
        check_at_least("limit", limit, 0)
        return _split(self._run("straggling", job_id, stage, older_s, limit))

    def begin_merge(self, job_id: str, stage: int, *, owner: str, lease_s: float) -> int | None:
        check_lease(lease_s)
        fence: int | None = self._run("begin_merge", job_id, stage, owner, lease_s)
        return fence

    def renew_merge(self, job_id: str, stage: int, *, fence: int, lease_s: float) -> bool:
        check_lease(lease_s)
        return bool(self._run("renew_merge", job_id, stage, fence, lease_s))

    def commit_merge(
        self,
        job_id: str,
        stage: int,
        *,
        fence: int,
        next_blocks: int | None,
        next_stage: int | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> bool:
        check_next_stage(job_id, next_blocks, has_result=result is not None)
        text = "" if result is None else to_json(job_id, "result", result)
        blocks = "" if next_blocks is None else next_blocks
        answer = self._run(
            "commit_merge", job_id, stage, fence, _call_id(), blocks, text, "" if next_stage is None else next_stage
        )
        if answer == -1:
            raise no_next_stage(job_id, stage, self.info(job_id).stages)
        if answer and next_blocks is None:
            self._leave_active(job_id)
        return bool(answer)

    def begin_publish(self, job_id: str, stage: int, *, fence: int) -> bool:
        return bool(self._run("begin_publish", job_id, stage, fence))

    def release_merge(self, job_id: str, stage: int, *, fence: int) -> None:
        self._run("release_merge", job_id, stage, fence)

    def reopen(self, job_id: str, stage: int, blocks: Sequence[int], *, fence: int) -> bool:
        answer = self._run("reopen", job_id, stage, fence, _joined(distinct(blocks)))
        if isinstance(answer, list):
            raise block_beyond(job_id, stage, *map(int, answer[1:]))
        return bool(answer)

    def result(self, job_id: str) -> dict[str, Any] | None:
        text = self._document(job_id, "result")
        return None if text is None else from_json(job_id, "result", text)

    def fail(self, job_id: str, reason: str, *, stage: int = -1, block: int = -1) -> bool:
        return self._finish(job_id, JobState.FAILED, reason, stage, block)

    def cancel(self, job_id: str) -> bool:
        return self._finish(job_id, JobState.CANCELLED, "", -1, -1)

    def forget(self, job_id: str) -> None:
        with self._server() as server:
            server.unlink(*self._keys(job_id))
            server.zrem(self._prefix + "active", job_id)
            server.zrem(self._prefix + "jobs", job_id)
            server.zrem(self._prefix + "ended", job_id)

    def costs(self, profile: str) -> dict[str, Any] | None:
        with self._server() as server:
            text = server.get(self._costs_key(profile))
        return None if text is None else from_json(profile, "cost model", str(text))

    def keep_costs(self, profile: str, document: Mapping[str, Any] | None) -> None:
        with self._server() as server:
            if document is None:
                server.delete(self._costs_key(profile))
            else:
                server.set(self._costs_key(profile), to_json(profile, "cost model", document))

    def _costs_key(self, profile: str) -> str:
        return f"{self._prefix}costs:{profile}"

    def clock(self) -> float:
        with self._server() as server:
            return _seconds(server.time())

    def ping(self) -> None:
        with self._server() as server:
            server.ping()

    def _key(self, job_id: str, name: str) -> str:
        return f"{self._prefix}{{{job_id}}}:{name}"

    def _keys(self, job_id: str) -> list[str]:
        return [self._key(job_id, name) for name in _JOB_KEYS]

    def _run(self, script: str, job_id: str, *arguments: str | float) -> Any:
        with self._server():
            return self._scripts[script](keys=self._keys(job_id), args=arguments)

    def _document(self, job_id: str, name: str) -> str | None:
        """The job's text of that name. Raises `JobNotFound`."""
        with self._server() as server:
            pipeline = server.pipeline(transaction=True)
            pipeline.exists(self._key(job_id, "job"))
            pipeline.get(self._key(job_id, name))
            exists, text = pipeline.execute()
        if not exists:
            raise _not_found(job_id)
        return None if text is None else str(text)

    def _read(self, job_ids: Sequence[str]) -> list[JobInfo]:
        """Those of the jobs that exist, each as of one moment, in one round trip."""
        with self._server() as server:
            pipeline = server.pipeline(transaction=len(job_ids) == 1)
            for job_id in job_ids:
                pipeline.hgetall(self._key(job_id, "job"))
                pipeline.hgetall(self._key(job_id, "stats"))
            replies = pipeline.execute()
        pairs = zip(job_ids, replies[::2], replies[1::2], strict=True)
        return [_info(job_id, fields, stats) for job_id, fields, stats in pairs if fields]

    def _finish(self, job_id: str, state: JobState, reason: str, stage: int, block: int) -> bool:
        ended = bool(self._run("finish", job_id, _call_id(), state.value, reason, stage, block))
        if ended:
            self._leave_active(job_id)
        return ended

    def _index(self, job_id: str, *, anew: bool) -> None:
        with self._server() as server:
            now = _seconds(server.time())
            pipeline = server.pipeline(transaction=False)
            pipeline.zadd(self._prefix + "jobs", {job_id: now}, nx=not anew)
            pipeline.zadd(self._prefix + "active", {job_id: now}, nx=not anew)
            pipeline.execute()

    def _leave_active(self, job_id: str) -> None:
        with self._server() as server:
            server.zadd(self._prefix + "ended", {job_id: _seconds(server.time())}, nx=True)
            server.zrem(self._prefix + "active", job_id)

    def _prune(self, entries: Mapping[str, float], *, keep: Collection[str]) -> None:
        """Removes the index entries without a job that are old enough to have been left behind."""
        missing = entries.keys() - set(keep)
        if not missing:
            return
        with self._server() as server:
            oldest_kept = _seconds(server.time()) - INDEX_GRACE_S
            stale = [job_id for job_id in missing if entries[job_id] < oldest_kept]
            if stale:
                server.zrem(self._prefix + "active", *stale)
                server.zrem(self._prefix + "jobs", *stale)

    @contextmanager
    def _server(self) -> Iterator[Any]:
        """The client, with the failures of the server named for what they are."""
        try:
            yield self._redis
        except redis.exceptions.RedisError as error:
            what = remedy(error)
            if what is None:
                raise
            raise BrokerUnreachable(f"the ledger at {self._shown_url} does not answer: {error}; {what}") from error


def _load_scripts(client: redis.Redis) -> dict[str, Script]:
    """The scripts by name. Each is sent once per server, then called by its digest."""
    folder = resources.files("lepton_celery.ledger") / "lua"
    prelude = (folder / "prelude.lua").read_text(encoding="utf-8")
    return {
        name: client.register_script(prelude + (folder / f"{name}.lua").read_text(encoding="utf-8"))
        for name in _SCRIPTS
    }


def _call_id() -> str:
    return secrets.token_hex(6)


def _joined(blocks: Sequence[int]) -> str:
    return " ".join(map(str, blocks))


def _split(text: str) -> list[Place]:
    return [Place(int(place)) for place in text.split()]


def _seconds(stamp: tuple[int, int]) -> float:
    return stamp[0] + stamp[1] / 1e6


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"the ledger knows no job {job_id!r}; it was never created or is forgotten", job_id)


def _hole(key: str, text: str) -> FilledBlock:
    stage, _, block = key.partition(" ")
    attempts, _, reason = text.partition(" ")
    return FilledBlock(StageNumber(int(stage)), Place(int(block)), int(attempts), reason)


def _info(job_id: str, fields: Mapping[str, str], stats: Mapping[str, str]) -> JobInfo:
    """The job of a hash. Raises `JobError` for one that this release cannot read."""
    if fields.get("version") != str(VERSION):
        raise JobError(
            f"the ledger's entry of job {job_id!r} has version {fields.get('version', 'none')}, this release reads "
            f"{VERSION}; run one release on all machines, or forget the job and submit it again",
            job_id,
        )
    try:
        return _read_info(job_id, fields, stats)
    except (KeyError, ValueError) as error:
        raise JobError(
            f"the ledger's entry of job {job_id!r} is damaged ({error!r}); resume the job from its manifest, or forget it",
            job_id,
        ) from error


def _read_info(job_id: str, fields: Mapping[str, str], stats: Mapping[str, str]) -> JobInfo:
    totals: dict[str, float] = {}
    by_stage: dict[StageNumber, dict[str, float]] = {}
    times: dict[StageNumber, dict[str, float]] = {}
    for key, text in stats.items():
        stage, _, name = key.partition(" ")
        if name.startswith("@"):
            times.setdefault(StageNumber(int(stage)), {})[name[1:]] = float(text)
            continue
        by_stage.setdefault(StageNumber(int(stage)), {})[name] = float(text)
        totals[name] = totals.get(name, 0.0) + float(text)
    done, total = int(fields["done"]), int(fields["total"])
    state = JobState(fields["state"])
    return JobInfo(
        job_id=job_id,
        state=state,
        lane=fields["lane"],
        title=fields["title"],
        stage=StageNumber(int(fields["stage"])),
        stages=int(fields["stages"]),
        blocks_done=done,
        blocks_total=total,
        dispatched=int(fields["dispatched"]),
        merging=state is JobState.RUNNING and done == total,
        created_at=float(fields["created"]),
        updated_at=float(fields["updated"]),
        finished_at=float(fields["finished"]) if "finished" in fields else None,
        error=fields.get("error", ""),
        error_stage=StageNumber(int(fields.get("error_stage", -1))),
        error_place=Place(int(fields.get("error_block", -1))),
        merge_attempts=int(fields.get("merge_attempts", 0)),
        filled=int(fields["holes"]),
        stats=totals,
        stage_stats=dict(sorted(by_stage.items())),
        stage_times={stage: StageTimes(**found) for stage, found in sorted(times.items())},
    )
