"""The views: the HTTP API of a user's files and jobs, a form, downloads for anybody who has their address, and scripts.

They are async, and serve WSGI as well as ASGI. What a user may see and do follows from his login; Django's protection
against forged requests holds for all of them.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import (
    BadRequest,
    RequestDataTooBig,
    SuspiciousFileOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.handlers.asgi import ASGIRequest
from django.core.signing import BadSignature, SignatureExpired, TimestampSigner
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_POST, require_safe
from django.views.static import serve

import lepton_celery
from lepton_celery.api.answers import Answer, Request, answer, refusal, said
from lepton_celery.api.events import HEADERS
from lepton_celery.contrib.django.connecting import conf, live, site
from lepton_celery.contrib.django.forms import SubmitForm
from lepton_celery.contrib.django.models import LINK_SALT, Job
from lepton_celery.errors import LeptonError
from lepton_celery.jobs.eager import find_job
from lepton_celery.text import shown
from lepton_celery.views.listing import row_of
from lepton_celery.web.deadline import reading_ends, socket_of
from lepton_celery.web.job_element import STATIC
from lepton_celery.web.pipelines import MAX_BYTES
from lepton_celery.web.routes import read_submission
from lepton_celery.web.tus import CONTENT

_READING = ("GET", "HEAD", "OPTIONS")
_JOB = re.compile(r"jobs/([^/]+)(?:/(\w+))?(?:/([^/]+))?(/link)?/?")
_FORM_BYTES = 1 << 20
"""Largest size of a form without its file."""
_UNREAD = (
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
    MultiPartParserError,
    BadRequest,
    UnreadablePostError,
)
"""What Django raises when it does not read a body to its end."""
_SCRIPTS = (STATIC, Path(lepton_celery.__file__).parent / "flower" / "static")
"""Folders of the scripts and style sheets: of sites, and of the block map and pictures, which Flower's pages have too."""


@transaction.non_atomic_requests
@csrf_exempt  # until it is known who asks, and that the body is not too long: checking a form reads all of it
async def api(request: HttpRequest, path: str) -> HttpResponseBase:
    """The HTTP API of the user's files and jobs; `openapi.json` describes it, and `changes` is a stream of events."""
    user = await request.auser()
    if not user.is_authenticated:
        return _login(request)
    asked = _asked(request, path, await _owner(user, path))
    try:
        if path == "changes":
            return await _changes(request, asked.owner or "")
        if request.method in _READING:
            return _response(request, await live().aanswer(asked))
        found = _unread(request)
        if found is None and _is_form(request) and _length(request) > _FORM_BYTES:
            found = said(413, f"the form has more than {_FORM_BYTES:,} bytes; send files as pieces with tus")
        if found is None:
            with reading_ends(socket_of(request.META), conf().site.uploads.request_s):  # also if nothing is sent
                return await _changing(request, user, asked)
    except LeptonError as error:
        found = refusal(error)
    except _UNREAD as error:
        found = _why_unread(error, f"send at most {MAX_BYTES:,} bytes, and files as pieces with tus")
    return _response(request, site().refused(asked, found))


@csrf_protect
async def _changing(request: HttpRequest, user: AbstractBaseUser, asked: Request) -> HttpResponseBase:
    if request.content_type == CONTENT:
        asked = replace(asked, stream=cast("Any", request))
    else:
        asked = replace(asked, body=b"" if _is_form(request) else request.body)
    return _response(request, await sync_to_async(_changed)(user, asked))


def _unread(request: HttpRequest) -> Answer | None:
    """The refusal of a body before anything of it is read; None if it may be read."""
    if "HTTP_TRANSFER_ENCODING" in request.META and not isinstance(request, ASGIRequest):
        return said(411, "the body comes in chunks, which Django does not read; send its length as Content-Length")
    return None


def _is_form(request: HttpRequest) -> bool:
    """Whether the body is a form that may have files, of which Django keeps nothing but the fields and the files."""
    return request.content_type == "multipart/form-data"


def _length(request: HttpRequest) -> int:
    """The length of the body, as the request tells it."""
    return int(request.META.get("CONTENT_LENGTH") or 0)


def _why_unread(error: Exception, advice: str) -> Answer:
    if isinstance(error, RequestDataTooBig):
        return said(413, f"the body is too long; {advice}")
    return said(400, f"the body cannot be read: {shown(error) or 'it ended before its time'}; {advice}")


def _login(request: HttpRequest) -> HttpResponseBase:
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        return redirect_to_login(request.get_full_path())
    return _response(request, said(401, "log in to use this"))


async def _owner(user: AbstractBaseUser, path: str) -> str:
    """Whose jobs are asked for: the user's own, or another's if he may see all."""
    named = _JOB.fullmatch(path)
    if named and conf().app.staff_sees_all and getattr(user, "is_staff", False):
        row = await Job.objects.filter(pk=named[1]).afirst()
        if row is not None:
            return str(row.owner_id)
    return str(user.pk)


def _asked(request: HttpRequest, path: str, owner: str) -> Request:
    """The request, without its body."""
    return Request(
        request.method or "GET",
        f"/{path}",
        {name: [str(one) for one in values] for name, values in request.GET.lists()},
        headers={name.lower(): value for name, value in request.headers.items()},
        base=request.path.removesuffix(f"/{path}"),
        may_change=True,
        owner=owner,
    )


def _changed(user: AbstractBaseUser, asked: Request) -> Answer:
    """The answer to a request that changes something, with the rows of the jobs that it concerns."""
    if asked.method == "POST" and asked.path.rstrip("/") == "/jobs":
        return _submitted(user, asked)
    named = _JOB.fullmatch(asked.path.removeprefix("/"))
    if named and named[4]:
        return _link(asked, named[1], named[3])
    found = live().answer(asked)
    if named and named[2] and found.status < 300:
        row = Job.objects.filter(pk=named[1], owner_id=asked.owner).first()
        if row is not None:
            row.followed_by(json.loads(found.body)["job"])
    return found


def _submitted(user: AbstractBaseUser, asked: Request) -> Answer:
    given = read_submission(asked.body)
    upload = site().uploads.find(str(user.pk), given.upload)
    row = Job.objects.submit(user, upload, given.wanted, title=given.title)
    live().forget()
    job = find_job(row.pk) or site().job(str(user.pk), row.pk)
    created = answer(row_of(job.info()), 202)
    return Answer(202, created.body, {"Location": f"{asked.base}/jobs/{row.pk}"})


def _link(asked: Request, job_id: str, name: str) -> Answer:
    """The address of a result for anybody who has it."""
    site().job(asked.owner or "", job_id)
    row = Job.objects.get(pk=job_id)
    return answer({"url": row.link(name), "expires_s": conf().app.link_s}, 201)


async def _changes(request: HttpRequest, owner: str) -> HttpResponseBase:
    if isinstance(request, ASGIRequest):
        events = live().aevents(owner)
        response = StreamingHttpResponse(_from(await anext(events), events))  # a refusal comes before the first one
    else:
        response = StreamingHttpResponse(live().events(owner))
    for name, value in HEADERS.items():
        response[name] = value
    return response


async def _from(first: bytes, events: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


def _response(request: HttpRequest, found: Answer) -> HttpResponseBase:
    response: HttpResponseBase
    if found.pieces is None:
        response = HttpResponse(found.body, status=found.status)
    else:
        pieces = _in_threads(found.pieces) if isinstance(request, ASGIRequest) else found.pieces
        response = StreamingHttpResponse(pieces, status=found.status)
    del response["Content-Type"]
    for name, value in found.headers.items():
        response[name] = value
    return response


async def _in_threads(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Pieces that are read in threads, each when the client has taken the one before."""
    left = iter(pieces)
    while (piece := await asyncio.to_thread(next, left, None)) is not None:
        yield piece


@csrf_exempt  # until it is known who asks, and that the form is not too long: checking it reads all of it
@require_POST
def submit(request: HttpRequest) -> HttpResponseBase:
    """Submit a job with a form that has a file: `image`, `pipeline` and `title`.

    The answer is the job's, or leads to the page `next` if the form names one of this site.
    """
    if not request.user.is_authenticated:
        return _login(request)
    limits, length = conf().site.uploads, _length(request)
    if length > limits.file_bytes + _FORM_BYTES:
        told = f"the file has {length:,} bytes, and at most {limits.file_bytes:,} are taken"
        return _refused(request, {"image": [told]}, 413)
    found = _unread(request) or _read_form(request, limits.request_s)
    return _submit_form(request) if found is None else _response(request, _logged(request, found))


def _read_form(request: HttpRequest, most_s: float) -> Answer | None:
    """Read a form; the refusal of one that is too long, damaged or slow, and None for others."""
    advice = "send image, pipeline and title as multipart/form-data, and large files as pieces with tus"
    try:
        with reading_ends(socket_of(request.META), most_s) as is_over:  # also if the client sends nothing
            request.POST.get("title")
    except _UNREAD as error:
        return _why_unread(error, advice)
    return said(408, f"the form did not come within {most_s:g} s; {advice}") if is_over.is_set() else None


@csrf_protect
def _submit_form(request: HttpRequest) -> HttpResponseBase:
    form = SubmitForm(request.POST, request.FILES)
    try:
        row = form.submit(cast("AbstractBaseUser", request.user)) if form.is_valid() else None
    except LeptonError as error:
        return _response(request, _logged(request, refusal(error)))
    live().forget()
    if row is None:
        return _refused(request, cast("Mapping[str, list[str]]", form.errors), 400)
    to = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(to, {request.get_host()}, require_https=request.is_secure()):
        return HttpResponse(status=303, headers={"Location": to.replace("JOB", row.pk)})
    body = {"job": row.pk, "title": row.title, "state": row.state}
    return JsonResponse(body, status=202, headers={"Location": row.get_absolute_url()})


def _refused(request: HttpRequest, fields: Mapping[str, list[str]], status: int) -> HttpResponseBase:
    """An answer that names each field that is wrong."""
    told = {name: list(errors) for name, errors in fields.items()}
    message = "; ".join(f"{name}: {' '.join(errors)}" for name, errors in told.items())
    found = answer({"error": {"status": status, "message": message, "fields": told}}, status)
    return _response(request, _logged(request, found))


def _logged(request: HttpRequest, found: Answer) -> Answer:
    """A refusal of a form, after a line of the log tells of it."""
    owner = str(request.user.pk) if request.user.is_authenticated else None
    return site().refused(Request(request.method or "POST", "/submit", owner=owner), found)


@require_safe
def link(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
    """A result for anybody who has its address, until that expires."""
    try:
        job, owner, signed = TimestampSigner(salt=LINK_SALT).unsign_object(token, max_age=conf().app.link_s)
    except SignatureExpired:
        return _response(request, said(410, "this address has expired; ask for a new one"))
    except (BadSignature, ValueError):
        return _response(request, said(404, "there is no such file"))
    headers = {header.lower(): value for header, value in request.headers.items()}
    asked = Request(request.method or "GET", f"/jobs/{job}/results/{signed}", headers=headers, owner=owner)
    return _response(request, site().answer(asked) if signed == name else said(404, "there is no such file"))


@require_GET
def script(request: HttpRequest, path: str) -> HttpResponseBase:
    """A script or a style sheet."""
    for folder in _SCRIPTS:
        try:
            response = serve(request, path, document_root=str(folder))
        except (Http404, SuspiciousFileOperation):
            continue
        response["Cache-Control"] = "no-cache"  # browsers ask each time whether it has changed, as releases do
        return response
    raise Http404(f"there is no script {path}")
