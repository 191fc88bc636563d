"""What the users of a site watch: read once for all of them, in a thread of its own, for any kind of web server.

Django and Flask answer in threads, or in an event loop of their own. So the readers, which belong to one event loop, run in
another one, which each process of the server starts when somebody watches first.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from lepton_celery.api.answers import Answer, Request
from lepton_celery.api.changes import Change, Changes
from lepton_celery.api.events import HELLO
from lepton_celery.api.shared import SharedAnswers
from lepton_celery.errors import QueueFull
from lepton_celery.views.scope import Scope
from lepton_celery.web.site import Site

_THREADS = 4
"""Threads of a process that read the ledger for those who watch."""


@dataclass(frozen=True, slots=True)
class _Running:
    pid: int
    loop: asyncio.AbstractEventLoop
    answers: SharedAnswers
    changes: Changes
    held: Counter[str] = field(default_factory=Counter)
    """The number of streams of each owner that were given out and are not closed, whether anybody reads them yet or not."""


class _Listening:
    """A stream of changes, which counts for its owner until it is closed."""

    def __init__(self, running: _Running, owner: str, lock: threading.RLock) -> None:
        self._running, self._owner, self._lock = running, owner, lock
        self._stream = running.changes.messages(Scope(owner=owner))
        self._is_open = True

    def next(self) -> Future[Change | None]:
        return asyncio.run_coroutine_threadsafe(_next(self._stream), self._running.loop)

    def close(self) -> None:
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self._running.held.subtract([self._owner])
            if not self._running.held[self._owner]:
                del self._running.held[self._owner]
        asyncio.run_coroutine_threadsafe(_close(self._stream), self._running.loop)


class _Events:
    """The events of a stream, for a thread that sends them. Web servers call `close`, also if they have read nothing."""

    def __init__(self, listening: _Listening, site: Site, owner: str) -> None:
        self._listening, self._site, self._owner = listening, site, owner
        self._is_begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._is_begun:
            self._is_begun = True
            return HELLO
        return self._site.event(self._listening.next().result(), self._owner)

    def close(self) -> None:
        self._listening.close()

    __del__ = close


class Live:
    """Answers and events of a site, each found once for all users who may see the same. Several threads may use it."""

    def __init__(self, site: Site, *, most_listeners: int = 1000, most_of_owner: int = 12) -> None:
        """Serve a site.

        Args:
            site: answers requests.
            most_listeners: largest number of streams of events of a process.
            most_of_owner: largest number of them of one user, who may hold a thread of the server with each.
        """
        self._site, self._most, self._most_of_owner = site, most_listeners, most_of_owner
        self._lock = threading.RLock()  # a stream that nobody closed is closed by whichever thread collects it
        self._started: _Running | None = None

    def answer(self, request: Request) -> Answer:
        """The answer to a request; equal ones that only read are answered once a second."""
        return self._later(request).result() if _is_shared(request) else self._own(request)

    async def aanswer(self, request: Request) -> Answer:
        """The answer to a request; equal ones that only read are answered once a second."""
        if _is_shared(request):
            return await asyncio.wrap_future(self._later(request))
        return await asyncio.to_thread(self._own, request)

    def _own(self, request: Request) -> Answer:
        """The answer to a request that nobody else has; a user who has changed something is shown it at once."""
        try:
            return self._site.answer(request)
        finally:
            if request.method not in ("GET", "HEAD"):
                self.forget()

    def forget(self) -> None:
        """Answer all requests to come anew, since something has changed."""
        started = self._started
        if started is not None and started.pid == os.getpid():
            started.loop.call_soon_threadsafe(started.answers.forget)

    def events(self, owner: str) -> Iterator[bytes]:
        """The events of a user's jobs, for an answer that a thread sends: see `lepton_celery.api.events`.

        Raises:
            QueueFull: too many listen; ask again and again instead.
        """
        return _Events(self._listening(owner), self._site, owner)

    async def aevents(self, owner: str) -> AsyncGenerator[bytes, None]:
        """The events of a user's jobs, for an answer that an event loop sends.

        Raises:
            QueueFull: too many listen; ask again and again instead.
        """
        listening = self._listening(owner)
        try:
            yield HELLO
            while True:
                yield self._site.event(await asyncio.wrap_future(listening.next()), owner)
        finally:
            listening.close()

    @property
    def listeners(self) -> int:
        """Number of streams of events of this process."""
        return 0 if self._started is None else self._started.changes.listeners

    def _listening(self, owner: str) -> _Listening:
        running = self._running()
        with self._lock:  # of many who come at once no more than allowed get a stream
            if running.held.total() >= self._most:
                raise QueueFull(
                    f"{self._most:,} pages are open, and no more are told of changes; ask again and again instead"
                )
            if running.held[owner] >= self._most_of_owner:
                raise QueueFull(
                    f"{self._most_of_owner} pages of yours are open, and no more are told of changes; close some, or ask "
                    "again and again instead"
                )
            running.held[owner] += 1
        return _Listening(running, owner, self._lock)

    def _later(self, request: Request) -> Future[Answer]:
        running = self._running()
        return asyncio.run_coroutine_threadsafe(running.answers.answer(request), running.loop)

    def _running(self) -> _Running:
        """The readers of this process: a server may have been forked from the one that started some."""
        with self._lock:
            if self._started is None or self._started.pid != os.getpid():
                self._started = self._start()
            return self._started

    def _start(self) -> _Running:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="lepton-live", daemon=True).start()
        executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="lepton-live")
        answers = SharedAnswers(self._site.answer, executor)
        return _Running(os.getpid(), loop, answers, Changes(self._site.api.rows, executor, answers.forget))


def _is_shared(request: Request) -> bool:
    """Whether several users may be given the same answer: one in pieces is used up by the first."""
    return request.method == "GET" and "/results/" not in request.path


async def _next(stream: AsyncGenerator[Change | None, None]) -> Change | None:
    return await anext(stream)


async def _close(stream: AsyncGenerator[Change | None, None]) -> None:
    with suppress(RuntimeError):  # the reader that waits is being cancelled, which closes it too
        await stream.aclose()
