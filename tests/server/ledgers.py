"""Shorthand for the moves of a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis

from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import Claim, FollowingStage, Ledger
from lepton_celery.ledger.info import Description

FIRST, SECOND = StageNumber(0), StageNumber(1)
MILLION = 10**6
INACTIVE = Claim([], [], [], [], active=False)


def places(*numbers: int) -> list[Place]:
    return list(map(Place, numbers))


def new_job(
    ledger: Ledger, job: str = "j", *, blocks: int = 4, stages: int = 2, dispatched: int | None = None, owner: str = ""
) -> str:
    about = Description("cells", owner)
    ledger.create(job, {"graph": [1, 2]}, lane="batch", description=about, stages=[1.0] * stages, blocks=blocks)
    ledger.dispatch(job, FIRST, count=blocks if dispatched is None else dispatched)
    return job


def copied(url: str, job: str, names: Sequence[str]) -> None:
    """Add jobs that are in the ledger what another one is, a second later each: ten thousand of them take seconds."""
    with Redis.from_url(url) as client:
        pipeline = client.pipeline(transaction=False)
        for key in client.scan_iter(f"*{job}*"):
            content = client.dump(key)
            for name in names:
                pipeline.restore(key.replace(job.encode(), name.encode()), 0, content)
        for later, name in enumerate(names, 1):
            pipeline.hincrbyfloat(f"lepton:{{{name}}}:job", "created", later)
        for key in client.scan_iter(_type="zset"):
            if (score := client.zscore(key, job)) is not None:
                pipeline.zadd(key, {name: score + later for later, name in enumerate(names, 1)})
        pipeline.execute()


def let_pass(client: Any, seconds: float, *, prefix: str = "lepton:", job: str = "j") -> None:
    """Let it seem that what was written of a job was written so much earlier; with fewer than none, later."""
    key = f"{prefix}{{{job}}}:"
    for place, lease in client.hgetall(f"{key}leases").items():
        expiry, call, since, owner = lease.split(" ", 3)
        client.hset(f"{key}leases", place, f"{float(expiry) - seconds:.6f} {call} {float(since) - seconds:.6f} {owner}")
    for place in client.zrange(f"{key}released", 0, -1):
        client.zincrby(f"{key}released", -seconds, place)
    for name in ("clock", "updated", "merge_until", "check_at", "check_since", "retry_at"):
        if at := float(client.hget(f"{key}job", name) or 0):
            client.hset(f"{key}job", name, f"{at - seconds:.6f}")


def let_notes_pass(client: Any, seconds: float, *, prefix: str = "lepton:") -> None:
    """Let it seem that all notes of workers were written so much earlier; with fewer than none, later."""
    for entry, at in client.zrange(f"{prefix}lanes", 0, -1, withscores=True):
        client.zadd(f"{prefix}lanes", {entry: at - seconds})


def claim(
    ledger: Ledger,
    job: str,
    numbers: list[int],
    owner: str = "a",
    *,
    number: StageNumber = FIRST,
    lease_s: float = 60,
    runs: int = 3,
) -> Claim:
    return ledger.claim(job, number, places(*numbers), owner=owner, lease_s=lease_s, max_attempts=runs)


def commit(
    ledger: Ledger, job: str, numbers: list[int], owner: str = "a", *, number: StageNumber = FIRST, **stats: float
) -> int:
    return ledger.commit(job, number, places(*numbers), owner=owner, stats=stats)


def merge(ledger: Ledger, job: str, *, number: StageNumber = FIRST, following: FollowingStage | None = None) -> bool:
    fence = ledger.begin_merge(job, number, owner="m", lease_s=60)
    assert fence is not None
    return ledger.commit_merge(job, number, fence=fence, following=following)


def ended_jobs(ledger: Ledger) -> list[str]:
    """A job in each final state."""
    for job in ("done", "failed", "cancelled"):
        new_job(ledger, job)
    commit(ledger, "done", [0, 1, 2, 3])
    assert merge(ledger, "done")
    assert ledger.fail("failed", "because")
    assert ledger.cancel("cancelled")
    return ["done", "failed", "cancelled"]


def assert_takes_no_work(ledger: Ledger, job: str, number: StageNumber) -> None:
    assert claim(ledger, job, [0], number=number) == INACTIVE
    assert commit(ledger, job, [0], number=number, seconds=1) == 0
    assert not ledger.renew(job, number, owner="a", lease_s=1)
    ledger.release(job, number, places(0), owner="a", count_attempt=True)
    assert ledger.unreceipted(job, number, limit=9) == []
    assert ledger.begin_merge(job, number, owner="m", lease_s=1) is None
    for fence in range(3):
        assert not ledger.commit_merge(job, number, fence=fence, following=None)
        assert not ledger.reopen(job, number, places(0), fence=fence)
        ledger.release_merge(job, number, fence=fence)
