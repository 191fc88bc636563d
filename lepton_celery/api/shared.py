"""Answers to requests that many browsers send, found once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from lepton_celery.api.answers import Answer, Request

_MOST_KEPT = 32
_MOST_AT_ONCE = 2
"""Number of costly requests that are answered at once; the threads are for other requests too."""


class SharedAnswers:
    """Answers to requests. Equal ones that only read are answered once a second, however many browsers send them."""

    def __init__(self, answer: Callable[[Request], Answer], executor: Executor, fresh_s: float = 1) -> None:
        self._answer = answer
        self._executor = executor
        self._fresh_s = fresh_s
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)
        self._kept: dict[Any, asyncio.Future[Answer]] = {}

    async def answer(self, request: Request, *, packed: bool = False) -> Answer:
        """The answer to a request, `packed` or plain. It is found in a thread, so that the event loop goes on meanwhile."""
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

    async def in_turn(self, request: Request, is_wanted: Callable[[], bool]) -> Answer | None:
        """The answer to a costly request when it is its turn; None if nobody wants it any more by then."""
        async with self._turns:
            return await self._run(request) if is_wanted() else None

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
