"""Answers requests to the HTTP API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery

from lepton_celery.api.answers import Answer, Request, answer, refusal, said
from lepton_celery.api.openapi import document
from lepton_celery.api.parameters import read_all
from lepton_celery.api.routes import ROUTES, Route, Sources
from lepton_celery.config import Settings
from lepton_celery.errors import LeptonError
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.resume import resume
from lepton_celery.jobs.retry import retry
from lepton_celery.ledger import open_ledger
from lepton_celery.views.listing import JobPage, JobQuery, JobRow, Listing
from lepton_celery.views.pictures import Pictures
from lepton_celery.views.scope import ALL, Scope

_READING = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""


class Api:
    """The HTTP API for the jobs of a Celery application. It may be used from several threads."""

    def __init__(self, app: Celery[Any], routes: Sequence[Route] = ROUTES) -> None:
        self._app, self._routes = app, tuple(routes)
        self._patterns = [(route, route.pattern) for route in routes]
        self._made: Sources | None = None

    @property
    def _sources(self) -> Sources:
        """The sources of the settings that the application has now: tests give it other ones."""
        settings: Settings = self._app.conf["lepton"]
        if self._made is None or self._made.settings is not settings:
            self._made = self._sources_of(settings)
        return self._made

    def _sources_of(self, settings: Settings) -> Sources:
        ledger = open_ledger(settings.ledger)
        return Sources(
            ledger,
            settings,
            Listing(ledger),
            Pictures(settings),
            resume=lambda job_id: resume(job_id, app=self._app),
            retry=lambda job_id: retry(job_id, app=self._app),
        )

    def rows(self) -> Mapping[str, JobRow]:
        """The jobs of the list, by their ids.

        Raises:
            BrokerUnreachable: the ledger does not answer.
        """
        return {row.job: row for row in self._sources.listing.rows()}

    def page(self, query: JobQuery, scope: Scope = ALL) -> JobPage:
        """A page of the jobs that the caller may see.

        Raises:
            BrokerUnreachable: the ledger does not answer.
        """
        return self._sources.listing.page(query, scope)

    def job(self, job_id: str, scope: Scope = ALL) -> Job:
        """A job, if the caller may see it.

        Raises:
            JobNotFound: there is none, or it may not be seen.
            BrokerUnreachable: the ledger does not answer.
        """
        return self._sources.job(job_id, Request("GET", "/", tenant=scope.tenant, owner=scope.owner))

    def answer(self, request: Request) -> Answer:
        """The answer to a request; errors of this package are answers too."""
        if request.path.rstrip("/") == "/openapi.json" and request.method == "GET":
            return answer(document(self._routes))
        matches = [(route, found) for route, pattern in self._patterns if (found := pattern.fullmatch(request.path))]
        if not matches:
            return said(404, "there is no such path; /openapi.json lists the paths")
        methods = sorted(route.method for route, _ in matches)
        if request.method not in methods:
            return said(405, f"this path takes {', '.join(methods)}, not {request.method}")
        route, found = next(match for match in matches if match[0].method == request.method)
        if route.method not in _READING and not request.may_change:
            return said(403, "you may look at jobs here, but not change them")
        try:
            given = read_all(route.parameters, request.query) | found.groupdict()
            gives = route.handler(self._sources, request, given)
            return gives if isinstance(gives, Answer) else answer(gives)
        except LeptonError as error:
            return refusal(error)
