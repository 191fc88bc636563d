"""Tells listeners which jobs have changed, and how they stand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from lepton_celery.errors import LeptonError
from lepton_celery.views.listing import JobRow
from lepton_celery.views.scope import ALL, Scope

_MOST_WAITING = 32
"""Largest number of changes that wait for a listener. One that reads more slowly asks for all jobs when it reads again."""
_MOST_NAMED = 200
"""Largest number of jobs that a change names."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """Jobs that have changed."""

    jobs: Mapping[str, JobRow | None] | None = field(default_factory=dict)
    """Each of them as it stands, or None for one that was forgotten; None in place of all if any may have changed."""
    trouble: str = ""
    """Why nobody knows what has changed: the ledger does not answer."""


class Changes:
    """Reads the ledger once a second while anybody listens, for all who do."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, JobRow]],
        executor: Executor,
        forget: Callable[[], None],
        every_s: float = 1,
    ) -> None:
        """Read changes.

        Args:
            read: reads the jobs by their ids.
            executor: has the threads that read.
            forget: is called when something has changed, before anybody hears of it.
            every_s: seconds from one reading to the next.
        """
        self._read = read
        self._executor = executor
        self._forget = forget
        self._every_s = every_s
        self._listeners: dict[asyncio.Queue[Change], Scope] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """Number of listeners."""
        return len(self._listeners)

    async def messages(self, scope: Scope = ALL, silence_s: float = 15) -> AsyncGenerator[Change | None, None]:
        """The changes of jobs that may be seen, from now on, and None after each `silence_s` seconds without any."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._listeners[queue] = scope
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._watch())
        try:
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), silence_s)
                except TimeoutError:
                    yield None
        finally:
            del self._listeners[queue]

    async def _watch(self) -> None:
        """Read the ledger for as long as anybody listens."""
        known: Mapping[str, JobRow] | None = None
        trouble = ""
        while self._listeners:
            try:
                found = await asyncio.get_running_loop().run_in_executor(self._executor, self._read)
            except LeptonError as error:
                if str(error) != trouble:
                    self._tell(Change(trouble=str(error)), {})
                trouble, known = str(error), None
            except Exception:
                logger.exception("The changes of jobs cannot be read")
            else:
                if trouble:
                    self._tell(Change(None), {})
                elif known is not None and (changed := _changed(known, found)):
                    self._tell(Change(changed), known)
                trouble, known = "", found
            await asyncio.sleep(self._every_s)

    def _tell(self, change: Change, before: Mapping[str, JobRow]) -> None:
        self._forget()
        for queue, scope in self._listeners.items():
            told = _within(change, before, scope)
            if (told.jobs is None or told.jobs or told.trouble) and queue.qsize() < _MOST_WAITING:
                queue.put_nowait(told)


def _changed(before: Mapping[str, JobRow], now: Mapping[str, JobRow]) -> dict[str, JobRow | None]:
    """The jobs that are new, have changed, or are gone."""
    gone: dict[str, JobRow | None] = {job: None for job in before if job not in now}
    return {
        job: row for job, row in now.items() if job not in before or before[job].updated_at != row.updated_at
    } | gone


def _within(change: Change, before: Mapping[str, JobRow], scope: Scope) -> Change:
    """What somebody may see of a change."""
    if change.jobs is None:
        return change
    seen = {job: row for job, row in change.jobs.items() if scope == ALL or scope.has(row or before[job])}
    return Change(seen if len(seen) <= _MOST_NAMED else None, change.trouble)
