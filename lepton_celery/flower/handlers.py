"""The pages for jobs and for the fleet in Flower, and what they ask for: all behind Flower's own login."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from flower.api import BaseApiHandler
from flower.views import BaseHandler, monitor
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, StaticFileHandler, authenticated, url

from lepton_celery.api.answers import Answer, Request, said
from lepton_celery.api.changes import Changes
from lepton_celery.api.events import HEADERS, HELLO, event
from lepton_celery.api.shared import SharedAnswers
from lepton_celery.flower.modules import STATIC, imported_by

_POLICY = "; ".join(
    [
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("script", "style", "connect", "font")),
        "img-src 'self' data:",  # Bootstrap's style sheet has its icons in it
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'self'"),
    ]
)
"""The Content-Security-Policy of the pages: nothing from elsewhere, and no code within a page."""


@dataclass(frozen=True, slots=True)
class _Sources:
    answers: SharedAnswers
    changes: Changes


_sources: WeakKeyDictionary[Any, _Sources] = WeakKeyDictionary()
"""Of each Flower of this process; there is one, but in tests."""


class _Closed(BaseHandler):  # type: ignore[misc]
    """Answers nobody, whatever the method, whom Flower did not let in."""

    @authenticated
    def prepare(self) -> None:
        super().prepare()

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Referrer-Policy", "same-origin")


class _Handler(_Closed):
    """Asks the API for jobs as a browser that Flower let in."""

    is_gone = False
    """Whether the caller waits no more."""

    def prepare(self) -> None:
        """Refuse requests in the Flower of an application without jobs."""
        super().prepare()
        if not self._finished and "lepton" not in self.capp.conf:
            raise HTTPError(
                404, "this Celery application was not prepared by lepton_celery.configure, so it has no jobs"
            )

    def on_connection_close(self) -> None:
        """Note that the caller waits no more: people zoom faster than tiles are made."""
        self.is_gone = True

    def compute_etag(self) -> None:
        """No entity tag but the answer's own, which is known without its body."""

    @property
    def sources(self) -> _Sources:
        """What this Flower reads of the ledger."""
        flower = self.application
        if flower not in _sources:
            from lepton_celery.api.service import Api  # every process of Celery's command imports this file

            api = Api(flower.capp)
            answers = SharedAnswers(api.answer, flower.executor)
            _sources[flower] = _Sources(answers, Changes(api.rows, flower.executor, answers.forget))
        return _sources[flower]

    @property
    def may_change(self) -> bool:
        """Whether the caller may change jobs: in a Flower that asks for a password, unless it is read-only."""
        options = self.application.options
        return bool(options.basic_auth or options.auth) and not options.read_only

    async def ask(self, path: str, query: Mapping[str, list[str]] | None = None, *, packed: bool = False) -> Answer:
        """The API's answer to a request with this one's method, `packed` or plain."""
        request = Request(
            self.request.method,
            path,
            query or {},
            self.request.body,
            {name.lower(): text for name, text in self.request.headers.items()},
            may_change=self.may_change,
        )
        if "/pictures/" not in path:
            return await self.sources.answers.answer(request, packed=packed)
        drawn = await self.sources.answers.in_turn(request, lambda: not self.is_gone)
        return drawn or said(499, "nobody waits for this any more")

    async def pass_on(self, path: str) -> None:
        """Answer this request as the API answers it."""
        try:
            query = {name: [text.decode() for text in given] for name, given in self.request.query_arguments.items()}
        except UnicodeDecodeError as error:
            raise HTTPError(400, "the query is not UTF-8") from error
        packed = "gzip" in self.request.headers.get("Accept-Encoding", "")
        answer = await self.ask(f"/{path}", query, packed=packed)
        self.set_status(answer.status)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.finish(answer.body)


class _Page(_Handler):
    def show(self, template: str, **given: Any) -> None:
        """Answer with a page."""
        self.render(template, may_change=self.may_change, **given)

    async def show_if_found(self, path: str, query: Mapping[str, list[str]], template: str, **given: Any) -> None:
        """Answer with a page if the API has what it shows; else say with the same status why not."""
        answer = await self.ask(path, query)
        if answer.status == 200:
            self.show(template, found=json.loads(answer.body), **given)
            return
        self.set_status(answer.status)
        self.show("lepton-refused.html", message=json.loads(answer.body)["error"]["message"], status=answer.status)


class JobsPage(_Page):
    """The list of jobs."""

    async def get(self) -> None:
        await self.show_if_found("/jobs", {"count": ["1"]}, "lepton-jobs.html")


class JobPage(_Page):
    """One job."""

    async def get(self, job: str) -> None:
        await self.show_if_found(f"/jobs/{job}", {}, "lepton-job.html", job=job, modules=imported_by("job.js"))


class FleetPage(_Page):
    """Lanes, workers, and what autoscalers decided."""

    async def get(self) -> None:
        await self.show_if_found("/fleet", {}, "lepton-fleet.html")


class PageData(_Handler):
    """What the pages ask for: users who may see them may ask, also where Flower's API is closed."""

    async def get(self, path: str) -> None:
        await self.pass_on(path)

    async def post(self, path: str) -> None:
        await self.pass_on(path)


class ApiHandler(_Handler, BaseApiHandler):  # type: ignore[misc]
    """The API for programs, which is open as Flower's own is."""

    async def get(self, path: str) -> None:
        await self.pass_on(path)

    async def post(self, path: str) -> None:
        await self.pass_on(path)


class ChangesStream(_Handler):
    """Server-sent events that say which jobs have changed."""

    _sending: asyncio.Future[None] | None = None

    async def get(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self._sending = asyncio.ensure_future(self._send())
        with suppress(StreamClosedError, asyncio.CancelledError):  # the page was closed
            await self._sending

    async def _send(self) -> None:
        self.write(HELLO)
        await self.flush()
        async with aclosing(self.sources.changes.messages()) as changes:
            async for change in changes:
                self.write(event(change))
                await self.flush()

    def on_connection_close(self) -> None:
        """Listen no longer for a page that was closed: without pages, nobody reads the ledger."""
        super().on_connection_close()
        if self._sending is not None:
            self._sending.cancel()


class Assets(_Closed, StaticFileHandler):
    """Scripts and style sheets of the pages. Browsers ask each time whether they have changed, as releases do."""

    def set_extra_headers(self, path: str) -> None:
        self.set_header("Cache-Control", "no-cache")


class Metrics(monitor.Metrics):  # type: ignore[misc]
    """Flower's own metrics, which name tasks and workers: for users who may see its pages, if it has those of jobs."""

    async def get(self) -> None:
        if "lepton" in self.capp.conf and not self.current_user:
            raise HTTPError(401)
        await super().get()


HANDLERS = [
    url(r"/jobs", JobsPage, name="jobs"),
    url(r"/job/([^/]+)", JobPage, name="job"),
    url(r"/fleet", FleetPage, name="fleet"),
    url(r"/lepton/v1/(.*)", PageData, name="lepton-data"),
    url(r"/lepton/changes", ChangesStream, name="lepton-changes"),
    url(r"/lepton/static/(.*)", Assets, {"path": str(STATIC)}, name="lepton-static"),
    url(r"/api/lepton/v1/(.*)", ApiHandler),
]
"""The pages and what they ask for."""

CLOSED = {"/metrics": Metrics}
"""Handlers of Flower that answer without a login, and those that take their places."""
