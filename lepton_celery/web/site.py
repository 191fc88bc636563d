"""Jobs of a site's users: on files that they sent, with pipelines that the site offers or that they write."""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from celery import Celery
from celery.canvas import Signature

from lepton_celery.api.answers import Answer, Request, said
from lepton_celery.api.changes import Change
from lepton_celery.api.events import event
from lepton_celery.api.routes import ROUTES
from lepton_celery.api.service import Api
from lepton_celery.errors import InputError, JobError, LeptonError
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.two_steps import prepare
from lepton_celery.planning.explain import duration
from lepton_celery.planning.options import Limits
from lepton_celery.tenants import check_tenant
from lepton_celery.text import logger, quoted, shown
from lepton_celery.views.scope import Scope
from lepton_celery.web.downloads import download
from lepton_celery.web.pipelines import Pipeline, results_of
from lepton_celery.web.refusals import NotFound
from lepton_celery.web.routes import routes_of
from lepton_celery.web.uploads import Upload, UploadLimits, UploadStore
from lepton_celery.web.user_job import UserJob

TITLE_CHARS = 300
"""Longest title of a job, in characters."""
_WRONG = 400
"""Statuses from here on refuse a request."""
_USUAL = (401, 409, 412, 423)
"""Statuses that honest programs get now and then."""
_JOBS = "jobs"
"""The folder of jobs in that of an owner."""


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """What a site offers to its users, and how much of it."""

    folder: Path
    """Where uploads and results are kept; workers must see it."""
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)
    """The pipelines that the site offers, by their names."""
    may_compose: bool = True
    """Whether users may write pipelines of their own."""
    uploads: UploadLimits = field(default_factory=UploadLimits)
    limits: Limits = field(
        default_factory=lambda: Limits(
            pixels=1 << 32, blocks=100_000, output_bytes=1 << 36, workspace_bytes=1 << 37, nodes=5000, depth=1000
        )
    )
    """Limits of a job."""
    predicted_s: float = 24 * 3600.0
    """Largest number of seconds that a job may be predicted to take."""
    priority: str = "interactive"
    """The lane of jobs."""
    keep_s: float = 7 * 24 * 3600.0
    """Seconds for which results are kept after the last change."""


@dataclass(frozen=True, slots=True)
class Result:
    """A file, or a folder, that a job wrote."""

    name: str
    bytes: int
    """Bytes of the file, or of all files in the folder."""


class Site:
    """Jobs of the users of a site, each of whom has a folder of his own and sees nothing of others.

    An owner is a text that stands for a user, such as his primary key. It may be used from several threads.
    """

    def __init__(self, app: Celery[Any], options: SiteOptions) -> None:
        self.app, self.options = app, options
        self.uploads = UploadStore(options.folder, options.uploads)
        self.api = Api(app, [*(route for route in ROUTES if not route.path.startswith("/fleet")), *routes_of(self)])

    def answer(self, request: Request) -> Answer:
        """The answer to a request of a user over HTTP. Paths of files in it begin in his folder.

        Without an owner nothing is answered: the scope of a request without one is all jobs.
        """
        if request.owner is None:
            return self.refused(request, said(401, "this needs an owner, and the request has none; log in"))
        found = self.api.answer(request)
        if found.status >= _WRONG:
            return self.refused(request, found)
        return replace(found, body=self.without_folder(found.body, request.owner))

    def refused(self, request: Request, found: Answer) -> Answer:
        """A refusal as the user sees it, after a line of the log says who asked for what, and why he does not get it."""
        body = found.body if request.owner is None else self.without_folder(found.body, request.owner)
        level = logging.INFO if found.status in _USUAL else logging.WARNING
        said_why = body.decode(errors="replace")
        logger(__name__).log(
            level,
            "refused with %d: %s %s of %s: %s",
            found.status,
            request.method,
            request.path,
            request.owner,
            said_why,
        )
        return replace(found, body=body)

    def event(self, change: Change | None, owner: str) -> bytes:
        """A change of a user's jobs as a server-sent event, with each job as it stands."""
        return self.without_folder(event(change, with_rows=True), owner)

    def without_folder(self, text: bytes, owner: str) -> bytes:
        """A text for a user without the path of his folder, which is nobody's business but the server's."""
        root = self.uploads.root_of(owner)
        for path in {root, root.resolve()}:
            text = text.replace(f"{path}/".encode(), b"")
        return text

    def _as_seen(self, value: Any, owner: str) -> Any:
        return self.without_folder(value.encode(), owner).decode() if isinstance(value, str) else value

    def submit(
        self,
        owner: str,
        image: Upload | Path,
        pipeline: str | Mapping[str, Any],
        *,
        title: str = "",
        on_done: Signature | None = None,
    ) -> Job:
        """Submit a job on a file of a user; see `prepare`."""
        return self.prepare(owner, image, pipeline, title=title, on_done=on_done).send()

    def prepare(
        self,
        owner: str,
        image: Upload | Path,
        pipeline: str | Mapping[str, Any],
        *,
        title: str = "",
        on_done: Signature | None = None,
    ) -> UserJob:
        """Check and plan a job on a file of a user. Its id is known at once, and `send` submits it.

        Args:
            owner: whose file it is, and whose job it will be.
            image: the file, which must be complete; or the path of one that the site itself chose, never its user.
            pipeline: the name of a pipeline that the site offers, or the document of one; see `from_json`.
            title: the job's name, of at most `TITLE_CHARS` characters; by default those of the pipeline and the file.
            on_done: a Celery signature that is sent once when the job has ended; see `lepton.submit`.

        Raises:
            InputError: the file, the pipeline or the job is refused; nothing is kept of it.
            StoreError: the file is no image that can be read.
            QueueFull: the user has too many jobs that have not ended.
            BrokerUnreachable: no broker answers.
        """
        if len(title) > TITLE_CHARS:
            raise InputError(f"title has {len(title):,} characters; give at most {TITLE_CHARS}")
        path = self._path(owner, image)
        document, name, as_gray = self._document(pipeline)
        nodes = results_of(document, path, image.name, as_gray=as_gray)
        folder = self.uploads.root_of(owner) / _JOBS / secrets.token_hex(8)
        folder.mkdir(parents=True)
        try:
            prepared = prepare(
                {str(folder / file): node for file, node in nodes.items()},
                app=self.app,
                owner=owner,
                tenant=self._tenant_of(owner),
                title=title or f"{name}: {image.name}",
                priority=self.options.priority,
                limits=self.options.limits,
                on_done=on_done,
            )
            if prepared.predicted_s > self.options.predicted_s:
                raise InputError(
                    f"the job would take about {duration(prepared.predicted_s)}, and at most "
                    f"{duration(self.options.predicted_s)} are allowed; give smaller parameters or a smaller image"
                )
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, LeptonError):  # its text may name the folder
                error.args = tuple(self._as_seen(one, owner) for one in error.args)
            raise
        return UserJob(prepared, folder)

    def _path(self, owner: str, image: Upload | Path) -> Path:
        if isinstance(image, Path):
            return image
        if image.owner != owner:
            raise NotFound(f"there is no file {quoted(image.id)}")
        if not image.is_complete:
            raise InputError(f"only {image.received:,} of {image.length:,} bytes of the file came; send the rest first")
        return self.uploads.path(image)

    def _tenant_of(self, owner: str) -> str:
        """A user's tenant: users share the lane, so that one who submits many jobs does not hold up the others."""
        try:
            return check_tenant(owner)
        except InputError:
            return self.uploads.root_of(owner).name

    def _document(self, pipeline: str | Mapping[str, Any]) -> tuple[Mapping[str, Any], str, bool]:
        """The document of a pipeline, its title, and whether it is for grey images."""
        if isinstance(pipeline, str):
            offered = self.options.pipelines
            if pipeline not in offered:
                raise InputError(
                    f"pipeline is {quoted(shown(pipeline, 80))}; choose one of {', '.join(offered) or 'none'}"
                )
            found = offered[pipeline]
            return found.document, found.title, found.as_gray
        if not self.options.may_compose:
            raise InputError("this site takes no pipelines of its users; choose one of those that it offers")
        return pipeline, "own pipeline", False

    def job(self, owner: str, job_id: str) -> Job:
        """A job of a user.

        Raises:
            JobNotFound: he has no such job.
            BrokerUnreachable: the ledger does not answer.
        """
        return self.api.job(job_id, Scope(owner=owner))

    def results(self, job: Job) -> list[Result]:
        """What a job has written; nothing before it is done."""
        if job.info().state != "done":
            return []
        paths = [path for path in map(Path, job.manifest().output_paths()) if path.exists()]
        return [Result(path.name, _bytes_of(path)) for path in paths]

    def download(self, owner: str, job_id: str, name: str, request: Request, *, inline: bool = False) -> Answer:
        """The answer to a request for a result of a job.

        Raises:
            JobNotFound, NotFound: there is no such job or result.
            JobError: the job is not done.
        """
        job = self.job(owner, job_id)
        state = job.info().state
        if state != "done":
            raise JobError(f"job {job_id} is {state}; it has results when it is done", job_id)
        path = next((path for path in map(Path, job.manifest().output_paths()) if path.name == name), None)
        with suppress(FileNotFoundError):
            if path is not None:
                return download(path, request, (self.uploads.root_of(owner),), inline=inline)
        raise NotFound(
            f"job {job_id} has no result {quoted(shown(name, 80))}; it may have been removed after some days"
        )

    def prune(self, now: float | None = None) -> int:
        """Remove uploads and results that have not changed for longer than they are kept; return their number.

        Files of jobs that have not ended stay, and so do those of jobs that failed and can be resumed.
        """
        now = time.time() if now is None else now
        removed = self.uploads.prune(now)
        for folder in self.options.folder.glob(f"*/{_JOBS}/*"):
            if now - max((path.stat().st_mtime for path in _all(folder)), default=now) > self.options.keep_s:
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
        return removed


def _all(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.iterdir()


def _bytes_of(path: Path) -> int:
    return sum(one.stat().st_size for one in path.rglob("*")) if path.is_dir() else path.stat().st_size
