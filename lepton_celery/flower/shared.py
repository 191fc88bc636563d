"""What Flower reads of the ledger once for all browsers: answers to requests, and which jobs have changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from lepton_celery.api.answers import Answer, Request
from lepton_celery.errors import LeptonError

_MOST_KEPT = 32
_MOST_NAMED = 200
"""Largest number of jobs that a message names; beyond, it says that any may have changed."""

logger = logging.getLogger(__name__)


class SharedAnswers:
    """Answers to requests. Equal ones that only read are answered once a second, however many browsers send them."""

    def __init__(self, answer: Callable[[Request], Answer], executor: Executor, fresh_s: float = 1) -> None:
        self._answer = answer
        self._executor = executor
        self._fresh_s = fresh_s
        self._kept: dict[Any, asyncio.Future[Answer]] = {}

    async def answer(self, request: Request, *, packed: bool = False) -> Answer:
        """The answer to a request, `packed` or plain. It is found in a thread, so that Flower goes on meanwhile."""
        if request.method != "GET":
            try:
                return await self._run(request)
            finally:
                self.forget()
        query = tuple((name, tuple(values)) for name, values in sorted(request.query.items()))
        key = (request.path, query, request.scope, packed)
        if key not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            asked = self._kept[key] = asyncio.ensure_future(self._run(request, packed=packed))
            # maps of large jobs take megabytes, which nobody needs when their pages are closed
            asyncio.get_running_loop().call_later(self._fresh_s, self._drop, key, asked)
        return await asyncio.shield(self._kept[key])

    def _drop(self, key: Any, asked: asyncio.Future[Answer]) -> None:
        if self._kept.get(key) is asked:
            del self._kept[key]

    def forget(self) -> None:
        """Answer all requests to come anew."""
        self._kept.clear()

    async def _run(self, request: Request, *, packed: bool = False) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._found, request, packed)

    def _found(self, request: Request, packed: bool) -> Answer:
        answer = self._answer(request)
        return answer.packed() if packed else answer


class Changes:
    """Tells pages which jobs have changed. It reads the ledger once a second while a page listens, for all of them."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, float]],
        executor: Executor,
        forget: Callable[[], None],
        every_s: float = 1,
    ) -> None:
        """Read changes.

        Args:
            read: reads when each job was changed last, by its id.
            executor: has the threads that read.
            forget: is called when something has changed, before pages hear of it.
            every_s: seconds from one reading to the next.
        """
        self._read = read
        self._executor = executor
        self._forget = forget
        self._every_s = every_s
        self._listeners: set[asyncio.Queue[dict[str, Any]]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """Number of pages that are told of changes."""
        return len(self._listeners)

    async def messages(self, silence_s: float = 15) -> AsyncGenerator[dict[str, Any] | None, None]:
        """The changes from now on, and None after each `silence_s` seconds without any."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._listeners.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._watch())
        try:
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), silence_s)
                except TimeoutError:
                    yield None
        finally:
            self._listeners.discard(queue)

    async def _watch(self) -> None:
        """Read the ledger for as long as anybody listens."""
        known: Mapping[str, float] | None = None
        trouble = ""
        while self._listeners:
            try:
                found = await asyncio.get_running_loop().run_in_executor(self._executor, self._read)
            except LeptonError as error:
                if str(error) != trouble:
                    self._tell({"trouble": str(error)})
                trouble, known = str(error), None
            except Exception:
                logger.exception("The changes of jobs cannot be read")
            else:
                if trouble:
                    self._tell({"jobs": None})
                elif known is not None and found != known:
                    changed = [job for job in found if found[job] != known.get(job)] + [
                        j for j in known if j not in found
                    ]
                    self._tell({"jobs": changed if len(changed) <= _MOST_NAMED else None})
                trouble, known = "", found
            await asyncio.sleep(self._every_s)

    def _tell(self, message: dict[str, Any]) -> None:
        self._forget()
        for queue in self._listeners:
            if queue.qsize() < _MOST_KEPT:  # a page that reads so slowly asks for all when it reads again
                queue.put_nowait(message)
