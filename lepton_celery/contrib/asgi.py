"""A site as an ASGI application, to be mounted in FastAPI, Starlette or any other framework of this protocol.

    web.mount("/lepton", SiteApp(site, user_of=lambda scope: scope["session"].get("user")))

It needs none of these frameworks. Requests are answered in threads, and files pass in pieces in both directions.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs

from lepton_celery.api.answers import Answer, Request, refusal, said
from lepton_celery.api.events import HEADERS
from lepton_celery.errors import LeptonError
from lepton_celery.web.live import Live
from lepton_celery.web.origin import is_foreign
from lepton_celery.web.pipelines import MAX_BYTES
from lepton_celery.web.preload import preload
from lepton_celery.web.site import Site
from lepton_celery.web.tus import CONTENT

Connection = Mapping[str, Any]
"""What the protocol calls the scope of a request."""
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_READING = ("GET", "HEAD", "OPTIONS")
_UPLOADS = 32
"""Number of files that are received at a time."""
_SILENCE_S = 30.0
"""Seconds for which a client that sends a file may be silent; it goes on later from what has come."""


class SiteApp:
    """The uploads, jobs and results of a site, over HTTP, for its users.

    `/openapi.json` describes them; `/changes` tells a page of the changes of its user's jobs, as server-sent events.
    """

    def __init__(self, site: Site, user_of: Callable[[Connection], str | None]) -> None:
        """Serve a site.

        Args:
            site: answers requests.
            user_of: who asks, as the owner of his files and jobs: a text that stands for him, such as his primary key, or
                None for somebody who has not logged in. It is given the scope of the request, where the middleware of your
                framework leaves `session` and `user`, and runs in the event loop.
        """
        self._site, self._user_of, self._live = site, user_of, Live(site)
        self._receiving = ThreadPoolExecutor(_UPLOADS, "lepton-uploads")
        """Apart from other threads, because clients that send slowly hold them."""

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"{scope['type']} is not served here; mount this application for HTTP")
        preload(self._site.options.pipelines.values())
        try:
            found, more = await self._found(scope, receive)
        except LeptonError as error:
            found, more = refusal(error), None
        if scope["method"] == "HEAD":
            found, more = replace(found, body=b""), None
        await _send(found, receive, send, more)

    async def _found(self, scope: Connection, receive: Receive) -> tuple[Answer, AsyncGenerator[bytes, None] | None]:
        """The answer, and what comes after its body if that is longer than memory, or not known yet."""
        method, base = scope["method"], scope.get("root_path", "")
        path = scope["path"].removeprefix(base) or "/"
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        asked = Request(method, path, headers=headers, base=base, may_change=True, owner=self._user_of(scope))
        if asked.owner is None:
            return self._site.refused(asked, said(401, "log in to use this")), None
        if method not in _READING and is_foreign(headers, headers.get("host", "")):
            why = "the request came from a page of another site; open this site's page"
            return self._site.refused(asked, said(403, why)), None
        if method == "GET" and path == "/changes":
            events = self._live.aevents(asked.owner)
            return Answer(200, await anext(events), HEADERS), events
        try:
            query = parse_qs(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
        except ValueError:
            return self._site.refused(asked, said(400, "the query is not UTF-8, or too long")), None
        found = await self._answer(replace(asked, query=query), receive)
        return found, None if found.pieces is None else _in_threads(found.pieces)

    async def _answer(self, request: Request, receive: Receive) -> Answer:
        loop = asyncio.get_running_loop()
        if request.headers.get("content-type") == CONTENT:
            body = cast("BinaryIO", _Body(receive, loop))
            return await loop.run_in_executor(self._receiving, self._site.answer, replace(request, stream=body))
        if request.method not in _READING:
            request = replace(request, body=await _read(receive))
        return await self._live.aanswer(request)


async def _read(receive: Receive) -> bytes:
    """The body of a request, or so much of it that it is refused for its length."""
    body = b""
    while len(body) <= MAX_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


class _Body(io.RawIOBase):
    """The body of a request as a file, for a thread, which gets each piece when it comes.

    It ends early if the client is gone, or silent for long.
    """

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self._receive, self._loop = receive, loop
        self._piece, self._has_more = b"", True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._piece and self._has_more:
            self._piece, self._has_more = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        count = min(len(buffer), len(self._piece))
        buffer[:count], self._piece = self._piece[:count], self._piece[count:]
        return count

    async def _next(self) -> tuple[bytes, bool]:
        try:
            message = await asyncio.wait_for(self._receive(), _SILENCE_S)
        except TimeoutError:
            return b"", False
        return message.get("body", b""), message.get("more_body", False)


async def _send(found: Answer, receive: Receive, send: Send, more: AsyncGenerator[bytes, None] | None) -> None:
    """Send an answer, and what comes after its body for as long as the client is there."""
    length = {"Content-Length": str(len(found.body))} if more is None and found.body else {}
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (length | found.headers).items()
    ]
    await send({"type": "http.response.start", "status": found.status, "headers": headers})
    await send({"type": "http.response.body", "body": found.body, "more_body": more is not None})
    if more is None:
        return
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        while True:
            piece = asyncio.ensure_future(anext(more, None))
            await asyncio.wait({gone, piece}, return_when=asyncio.FIRST_COMPLETED)
            if not piece.done():
                piece.cancel()
                await asyncio.wait({piece})
                return
            if (content := piece.result()) is None:
                break
            await send({"type": "http.response.body", "body": content, "more_body": True})
        await send({"type": "http.response.body"})
    finally:
        gone.cancel()
        await more.aclose()


async def _in_threads(pieces: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Pieces that are read in threads, each when the client has taken the one before."""
    left = iter(pieces)
    while (piece := await asyncio.to_thread(next, left, None)) is not None:
        yield piece


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
