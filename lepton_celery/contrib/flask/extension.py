"""The extension: what `init_app` gives a site, and what its views call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from celery.canvas import Signature
from flask import Flask, abort, current_app, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException

from lepton_celery.contrib.flask import links
from lepton_celery.contrib.flask.celery_app import celery_of
from lepton_celery.contrib.flask.commands import commands
from lepton_celery.contrib.flask.csrf import ask_later
from lepton_celery.contrib.flask.owner import OwnerLoader, owner_by
from lepton_celery.contrib.flask.views import AnyPath, blueprint
from lepton_celery.errors import InputError, LeptonError
from lepton_celery.jobs.job import Job
from lepton_celery.ledger import JobInfo
from lepton_celery.views.listing import JobQuery, JobRow
from lepton_celery.views.scope import Scope
from lepton_celery.web.configuration import configuration_from
from lepton_celery.web.forms import store_file
from lepton_celery.web.job_element import job_element
from lepton_celery.web.live import Live
from lepton_celery.web.preload import preload
from lepton_celery.web.refusals import NotLoggedIn
from lepton_celery.web.site import Site
from lepton_celery.web.uploads import Upload

_PREFIX = "LEPTON_"
URL_PREFIX = "/lepton"


@dataclass(frozen=True, slots=True)
class State:
    """What the extension keeps of a site, in `app.extensions["lepton"]`."""

    extension: Lepton
    site: Site
    live: Live

    def owner(self) -> str | None:
        """Who asks; None for somebody who has not logged in."""
        return owner_by(self.extension.load_owner)


class Lepton:
    """Uploads, image jobs and results of the users of a Flask site.

        lepton = Lepton()

        def create_app():
            app = Flask(__name__)
            app.config["LEPTON"] = {"pipelines": {"cells": ["gaussian:sigma=2", "threshold:otsu", "label"]}}
            lepton.init_app(app)
            return app

    `app.config["LEPTON"]` has options of the site and settings of jobs by their names; each may also stand in
    `app.config["LEPTON_…"]`, and in the environment, which wins.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self.load_owner: OwnerLoader | None = None
        """What `owner_loader` was given."""
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, url_prefix: str = URL_PREFIX) -> None:
        """Add the extension to a site: after its configuration, and after its Celery application if it has one.

        Raises:
            InputError: a name or a value of the configuration is wrong; the message says what would be right.
        """
        given = _configuration(app)
        found = configuration_from(
            given, os.environ, folder=Path(app.instance_path) / "lepton", where='app.config["LEPTON"]'
        )
        celery = celery_of(app, found.settings, names_broker="broker_url" in given)
        site = Site(celery, found.options)
        app.extensions["lepton"] = State(self, site, Live(site))
        app.url_map.converters[AnyPath.name] = AnyPath
        views = blueprint()
        app.register_blueprint(views, url_prefix=url_prefix)
        ask_later(app, views)
        app.register_error_handler(LeptonError, _as_http)
        app.before_request(_preload)
        app.jinja_env.globals["lepton_job"] = lepton_job
        app.cli.add_command(commands())

    def owner_loader(self, load: OwnerLoader) -> OwnerLoader:
        """Decorate the function that says who asks.

        It returns a text that stands for the user who has logged in, such as his primary key, and None for others. Without
        one, Flask-Login's `current_user` is asked.
        """
        self.load_owner = load
        return load

    @property
    def site(self) -> Site:
        """The site of the current application."""
        return _state().site

    @property
    def owner(self) -> str:
        """Who asks.

        Raises:
            NotLoggedIn: somebody who has not logged in; unless a view handles it, the answer is 401.
        """
        owner = _state().owner()
        if owner is None:
            raise NotLoggedIn("log in to use this")
        return owner

    def store(self, file: FileStorage) -> Upload:
        """Store a file of a form as one of the caller.

        Raises:
            InputError, QuotaExceeded, StoreError: it is refused, and nothing is kept.
        """
        return store_file(self.site, self.owner, file.filename or "", cast("Any", file.stream))

    def submit(
        self,
        image: Upload | Path,
        pipeline: str | Mapping[str, Any],
        *,
        title: str = "",
        on_done: Signature | None = None,
    ) -> Job:
        """Submit a job on a file of the caller, or on one that the site itself chose; see `Site.prepare`."""
        return self.site.submit(self.owner, image, pipeline, title=title, on_done=on_done)

    def job(self, job_id: str) -> Job:
        """A job of the caller.

        Raises:
            JobNotFound: he has no such job; unless a view handles it, the answer is 404.
        """
        return self.site.job(self.owner, job_id)

    def jobs(self, count: int = 50) -> tuple[JobRow, ...]:
        """The newest jobs of the caller."""
        return self.site.api.page(JobQuery(count=count), Scope(owner=self.owner)).jobs

    def result_url(self, job_id: str, name: str, *, expires_s: float = 3600, external: bool = False) -> str:
        """An address of a result of the caller, which works without a login until it expires.

        Args:
            job_id: the job.
            name: the name of the result.
            expires_s: seconds for which it works.
            external: whether it begins with the scheme and the host, as in a mail.
        """
        link = links.Link(self.owner, self.job(job_id).id, name)
        return url_for("lepton.signed", text=links.signed(current_app, link, expires_s), _external=external)


def _preload() -> None:
    preload(_state().site.options.pipelines.values())


def lepton_job(job: str | Job | JobInfo | JobRow) -> Markup:
    """For templates: a job, by its id or as an object, that shows its state, progress, remaining time, error and results."""
    match job:
        case Job(id=job_id) | JobInfo(job_id=job_id) | JobRow(job=job_id):
            pass
        case _:
            job_id = job
    api = url_for("lepton.api", path="x")[:-2]
    return Markup(job_element(job_id, api, f"{api}/static", csrf=_csrf_token()))


def _csrf_token() -> str:
    """The token that Flask-WTF wants to see, if the site has it."""
    if "csrf" not in current_app.extensions:
        return ""
    from flask_wtf.csrf import generate_csrf

    return str(generate_csrf())


def _state() -> State:
    state = current_app.extensions.get("lepton")
    if not isinstance(state, State):
        raise InputError("this application has no lepton; call lepton.init_app(app) where it is made")
    return state


def _configuration(app: Flask) -> dict[str, Any]:
    """`app.config["LEPTON"]`, and what stands beside it as `LEPTON_…`."""
    whole = app.config.get("LEPTON") or {}
    if not isinstance(whole, Mapping):
        raise InputError(
            f'app.config["LEPTON"] is a {type(whole).__name__}; give a dictionary of options by their names'
        )
    beside = {name.removeprefix(_PREFIX): value for name, value in app.config.items() if name.startswith(_PREFIX)}
    return {**{str(name).lower(): value for name, value in whole.items()}, **{n.lower(): v for n, v in beside.items()}}


def _as_http(error: LeptonError) -> ResponseReturnValue:
    """The answer of a view that raised an error of this package, as the site shows its other errors."""
    if error.http_status >= 500:
        current_app.logger.error("%s", error)
    try:
        abort(error.http_status, description=str(error))
    except HTTPException as found:
        return current_app.handle_http_exception(found)
