"""The list of jobs: filtered, sorted and in pages, of ten thousand jobs as of ten."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lepton_celery.errors import InputError
from lepton_celery.grid import StageOrdinal
from lepton_celery.jobs.report import progress_of, took_s
from lepton_celery.ledger import JobInfo, JobState, Ledger
from lepton_celery.views.scope import ALL, Scope

MOST_LISTED = 10_000
"""Number of the newest jobs that are listed."""
MOST_IN_PAGE = 500
"""Largest number of jobs of a page that somebody else is given."""
MOST_OWNERS = 200
"""Largest number of owners that are counted."""


_FINAL = (JobState.DONE, JobState.CANCELLED)
"""States that no job leaves."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a list."""

    job: str
    """The job's id."""
    title: str
    state: str
    lane: str
    rank: int
    tenant: str
    owner: str
    """Who asked for it; empty if nobody said so."""
    stage: StageOrdinal
    """The current stage."""
    round: int
    """How often the current stage was begun: 1, or more for a stage that is repeated."""
    stages: int
    blocks_done: int
    """Of the current stage."""
    blocks: int
    """Of the current stage."""
    filled_blocks: int
    lost_attempts: int
    """Attempts at blocks that were lost, as a worker died or a function failed."""
    progress: float
    """0 to 1; each stage counts by its predicted time."""
    blocks_per_s: float | None
    """Blocks of the current stage that are done in a second, on average since it began; None if none is done yet."""
    remaining_s: float | None
    """Seconds that are left, as the work so far suggests; None if that is not known."""
    created_at: float
    """Seconds since the epoch."""
    updated_at: float
    """When something of it changed last, in seconds since the epoch."""
    finished_at: float | None
    """Seconds since the epoch; None if the job has not ended."""
    took_s: float
    """Seconds that it took, or that it has run so far."""
    error: str
    retry_of: str
    """The job that this one does again; empty if it does none."""
    retried_as: str
    """The job that does this one again; empty if none does."""
    waits_for: str
    """Why workers could not take up blocks since the last one was done; empty if none said so."""

    @property
    def priority(self) -> str:
        """The lane, and the rank if that is not 0: `batch:5`."""
        return f"{self.lane}:{self.rank}" if self.rank else self.lane

    @property
    def is_open(self) -> bool:
        """Whether the job has not ended."""
        return self.state in (JobState.RUNNING, JobState.PAUSED)

    @property
    def stage_label(self) -> str:
        """The current stage as text: `2/5`, and its round if it is repeated."""
        return f"{self.stage}/{self.stages}" + (f" round {self.round}" if self.round > 1 else "")


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of the list."""

    jobs: tuple[JobRow, ...]
    count: int
    """Number of jobs that the filters let through, on all pages."""
    states: Mapping[str, int]
    """Number of jobs in each state, whatever the filters."""
    lanes: tuple[str, ...]
    """Lanes of the jobs, whatever the filters."""
    tenants: tuple[str, ...]
    """Tenants of the jobs, whatever the filters; the empty one stands for none."""
    owners: Mapping[str, int]
    """Number of jobs of each owner, of the 200 with the most, whatever the filters; the empty one stands for none."""


_SORTED_BY: dict[str, Callable[[JobRow], Any]] = {
    "created": lambda row: row.created_at,
    "title": lambda row: row.title.lower(),
    "state": lambda row: row.state,
    "lane": lambda row: (row.lane, row.rank),
    "tenant": lambda row: row.tenant,
    "owner": lambda row: row.owner.lower(),
    "progress": lambda row: row.progress,
    "remaining": lambda row: float("inf") if row.remaining_s is None else row.remaining_s,
    "took": lambda row: row.took_s,
}


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs are asked for."""

    states: Collection[str] = ()
    """Only jobs in these states; empty for all."""
    lane: str | None = None
    """Only jobs of this lane."""
    tenant: str | None = None
    """Only jobs of this tenant; the empty one is that of jobs without one."""
    owner: str | None = None
    """Only jobs of this owner; the empty one is that of jobs without one."""
    text: str = ""
    """Only jobs whose id, title or error contains this text, whatever its case."""
    sort: str = "created"
    """One of `created`, `title`, `state`, `lane`, `tenant`, `owner`, `progress`, `remaining` and `took`."""
    descending: bool = True
    start: int = 0
    """Number of jobs before the page."""
    count: int = 50
    """Largest number of jobs of the page."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.states) - set(JobState)):
            raise InputError(f"state {unknown[0]!r}; the states are {', '.join(JobState)}")
        if self.sort not in _SORTED_BY:
            raise InputError(f"sort {self.sort!r}; jobs are sorted by {', '.join(_SORTED_BY)}")
        if self.start < 0 or self.count < 1:
            raise InputError(f"start {self.start} and count {self.count}; start is at least 0, and count at least 1")


class Listing:
    """Reads pages of the list. It remembers the jobs that are done, so a page costs the ledger the others."""

    def __init__(self, ledger: Ledger, *, most: int = MOST_LISTED) -> None:
        """`most` is the number of the newest jobs that are read."""
        self._ledger, self._most = ledger, most
        self._ended: dict[str, JobRow] = {}

    def page(self, query: JobQuery, scope: Scope = ALL) -> JobPage:
        """The page of the list that a query asks for, of jobs that may be seen; others are not even counted.

        Raises:
            BrokerUnreachable: the ledger does not answer.
        """
        rows = self.rows() if scope == ALL else [row for row in self.rows() if scope.has(row)]
        wanted = [row for row in rows if _matches(row, query)]
        wanted.sort(key=_SORTED_BY[query.sort], reverse=query.descending)
        return JobPage(
            tuple(wanted[query.start : query.start + query.count]),
            len(wanted),
            dict(Counter(row.state for row in rows)),
            tuple(sorted({row.lane for row in rows})),
            tuple(sorted({row.tenant for row in rows})),
            dict(Counter(row.owner for row in rows).most_common(MOST_OWNERS)),
        )

    def rows(self) -> list[JobRow]:
        """The newest jobs. Those that were done or cancelled when they were read last are not read again.

        Raises:
            BrokerUnreachable: the ledger does not answer.
        """
        listed, ended = self._ledger.newest(self._most), self._ended  # another thread may replace it
        known = {job_id: ended[job_id] for job_id in listed if job_id in ended}
        infos = self._ledger.infos({job_id: at for job_id, at in listed.items() if job_id not in known})
        read = {job_id: row_of(info) for job_id, info in infos.items()}
        self._ended = known | {job_id: row for job_id, row in read.items() if row.state in _FINAL}
        return [*read.values(), *known.values()]


def row_of(info: JobInfo) -> JobRow:
    """A job as a row of the list."""
    rate, remaining_s = _pace(info)
    return JobRow(
        job=info.job_id,
        title=info.title,
        state=str(info.state),
        lane=info.lane,
        rank=info.rank,
        tenant=info.tenant,
        owner=info.owner,
        stage=StageOrdinal(info.stage_index + 1),
        round=info.stage // info.stages + 1,
        stages=info.stages,
        blocks_done=info.blocks_done,
        blocks=info.blocks_total,
        filled_blocks=info.filled,
        lost_attempts=info.lost_attempts,
        progress=round(progress_of(info), 4),
        blocks_per_s=rate,
        remaining_s=remaining_s,
        created_at=info.created_at,
        updated_at=info.updated_at,
        finished_at=info.finished_at,
        took_s=took_s(info),
        error=info.error,
        retry_of=info.retry_of,
        retried_as=info.retried_as,
        waits_for=info.waits_for,
    )


def lasting(row: JobRow) -> JobRow:
    """A row without what changes by itself as time passes: two of them differ if something happened to the job."""
    return replace(row, blocks_per_s=None, remaining_s=None, took_s=0.0)


def _pace(info: JobInfo) -> tuple[float | None, float | None]:
    """Blocks of the stage that are done in a second, and the seconds that are left; None for what is not known."""
    times = info.stage_times.get(info.stage)
    if info.state is not JobState.RUNNING or times is None or times.began is None or not info.blocks_done:
        return None, None
    elapsed = max(1e-3, time.time() - times.began)
    rate = info.blocks_done / elapsed
    left_s = (info.blocks_total - info.blocks_done) / rate
    if len(info.predicted_s) == info.stages and info.predicted_s[info.stage_index] > 0:
        # stages to come err as the current one does, as far as that can be told
        factor = (elapsed + left_s) / info.predicted_s[info.stage_index]
        left_s += factor * sum(info.predicted_s[info.stage_index + 1 :])
    elif info.stage_index + 1 < info.stages:
        return rate, None
    return rate, left_s


def _matches(row: JobRow, query: JobQuery) -> bool:
    text = query.text.lower()
    return (
        (not query.states or row.state in query.states)
        and query.lane in (None, row.lane)
        and query.tenant in (None, row.tenant)
        and query.owner in (None, row.owner)
        and (not text or any(text in one.lower() for one in (row.job, row.title, row.error)))
    )
