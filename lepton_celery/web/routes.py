"""The routes of a site beside those for jobs: uploads, pipelines, and results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from lepton_celery.api.answers import Answer, Request, answer
from lepton_celery.api.parameters import Parameter
from lepton_celery.api.routes import Http, Route, Sources
from lepton_celery.errors import InputError
from lepton_celery.text import shown
from lepton_celery.views.listing import JobRow, row_of
from lepton_celery.web import tus
from lepton_celery.web.pipelines import MAX_BYTES, document_of_steps
from lepton_celery.web.tus import owner_of
from lepton_celery.web.uploads import Upload

_ANY = "application/octet-stream"

if TYPE_CHECKING:
    from lepton_celery.web.site import Site

Given = Mapping[str, Any]

_RANGE = Parameter("Range", str, "The range of bytes that is wanted, such as bytes=0-999.", "")
_FILE = Http(
    headers=(_RANGE, Parameter("If-None-Match", str, "The ETag of what the client has.", "")),
    gives_headers={
        "Content-Length": "Number of bytes.",
        "Content-Disposition": "The name of the file.",
        "Content-Range": "Which bytes these are, of an answer with a range.",
        "ETag": "Changes when the file does.",
        "Accept-Ranges": "`bytes` for a file, of which a range may be asked for.",
    },
    refusals=(401, 409),
)


class Submission(msgspec.Struct, forbid_unknown_fields=True):
    """What a user asks for."""

    upload: str
    """The id of a file that he sent."""
    pipeline: str | Annotated[list[str], Meta(min_length=1)] | dict[str, Any]
    """The name of a pipeline that the site offers, steps, or a document as `lepton run --pipeline` reads it."""
    title: str = ""

    @property
    def wanted(self) -> str | Mapping[str, Any]:
        """The name of a pipeline, or the document of one.

        Raises:
            InputError: a step is not understood; the message says which.
        """
        return document_of_steps(self.pipeline) if isinstance(self.pipeline, list) else self.pipeline


@dataclass(frozen=True, slots=True)
class Uploads:
    """The files of a user."""

    uploads: tuple[Upload, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a job."""

    results: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Pipelines:
    """The pipelines that a site offers: the title of each, by its name."""

    pipelines: Mapping[str, str]
    may_compose: bool
    """Whether a document of the user's own is taken too."""


_YOURS = Http(refusals=(401,))
_SUBMIT = Http(Submission, status=202, gives_headers={"Location": "The address of the job."}, refusals=(401, 404, 429))


def routes_of(site: Site) -> tuple[Route, ...]:
    """The routes of a site."""

    def submit(_: Sources, request: Request, given: Given) -> Answer:
        asked, owner = read_submission(request.body), owner_of(request)
        job = site.submit(owner, site.uploads.find(owner, asked.upload), asked.wanted, title=asked.title)
        created = answer(row_of(job.info()), 202)
        return Answer(202, created.body, {"Location": f"{request.base}/jobs/{job.id}"})

    def uploads(_: Sources, request: Request, given: Given) -> Uploads:
        found = sorted(site.uploads.of_owner(owner_of(request)), key=lambda upload: upload.created_at)
        return Uploads(tuple(found))

    def results(_: Sources, request: Request, given: Given) -> Results:
        return Results(tuple(site.results(site.job(owner_of(request), given["job"]))))

    def result(_: Sources, request: Request, given: Given) -> Answer:
        return site.download(owner_of(request), given["job"], given["name"], request)

    def pipelines(_: Sources, request: Request, given: Given) -> Pipelines:
        offered = {name: pipeline.title for name, pipeline in site.options.pipelines.items()}
        return Pipelines(offered, site.options.may_compose)

    path = "/jobs/{job}/results/{name}"
    return (
        Route("GET", "/pipelines", "The pipelines that the site offers.", pipelines, Pipelines),
        Route("GET", "/uploads", "Your files, the oldest first.", uploads, Uploads, http=_YOURS),
        *tus.routes_of(site.uploads),
        Route("POST", "/jobs", "Submit a job on one of your files.", submit, JobRow, http=_SUBMIT),
        Route("GET", "/jobs/{job}/results", "What a job has written, once it is done.", results, Results, http=_YOURS),
        Route("GET", path, "A result, or a range of it; a folder is a ZIP archive.", result, bytes, (), _ANY, _FILE),
        Route("HEAD", path, "The length of a result.", result, bytes, (), _ANY, _FILE),
    )


def read_submission(body: bytes) -> Submission:
    """What a user asks for, from JSON.

    Raises:
        InputError: it is too long, or a field is missing or has another type; the message names it.
    """
    if len(body) > MAX_BYTES:
        raise InputError(f"the request has {len(body):,} bytes, and at most {MAX_BYTES:,} are read")
    try:
        return msgspec.json.decode(body, type=Submission)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InputError(
            f'the request is not understood: {shown(error, 200)}; send {{"upload": ID, "pipeline": NAME, steps or document}}'
        ) from error
