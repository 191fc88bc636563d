"""The blueprint: the HTTP API of a site, its events, forms and signed addresses, in Flask's requests and responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, BinaryIO, cast

from flask import Blueprint, Response, abort, current_app, request, url_for
from werkzeug.exceptions import ClientDisconnected, HTTPException
from werkzeug.routing import PathConverter

from lepton_celery.api.answers import Answer, Request, refusal, said
from lepton_celery.api.events import HEADERS
from lepton_celery.contrib.flask import links
from lepton_celery.contrib.flask.csrf import check_token
from lepton_celery.errors import LeptonError
from lepton_celery.web.deadline import reading_ends, socket_of
from lepton_celery.web.forms import MORE_BYTES, form_answer
from lepton_celery.web.job_element import STATIC
from lepton_celery.web.origin import is_foreign
from lepton_celery.web.pipelines import MAX_BYTES
from lepton_celery.web.refusals import NotLoggedIn
from lepton_celery.web.tus import CONTENT

if TYPE_CHECKING:
    from lepton_celery.contrib.flask.extension import State

_READING = ("GET", "HEAD", "OPTIONS")
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_ADVICE = "send large files as pieces with tus"
_METHODS = (*_READING, "POST", "PATCH", "DELETE")


class AnyPath(PathConverter):
    """A path of any characters, also ends of lines, so that none is answered by a page of the site."""

    name = "lepton_path"
    regex = r"(?s:[^/].*?)"


def blueprint() -> Blueprint:
    """A new blueprint, named `lepton`."""
    made = Blueprint("lepton", __name__, static_folder=STATIC, static_url_path="/static")
    made.add_url_rule("/signed/<text>", "signed", signed, methods=["GET", "HEAD"], provide_automatic_options=False)
    made.add_url_rule("/changes", "changes", changes, methods=["GET"])
    made.add_url_rule(f"/<{AnyPath.name}:path>", "api", api, methods=_METHODS, provide_automatic_options=False)
    return made


def _state() -> State:
    return cast("State", current_app.extensions["lepton"])


def api(path: str) -> Response:
    """Answer a request to the HTTP API."""
    state = _state()
    asked = _asked(f"/{path}")
    # a client that sends nothing is hung up on, so that this thread is free again
    with reading_ends(socket_of(request.environ), state.site.options.uploads.request_s) as is_over:
        try:
            asked = replace(asked, owner=state.owner())
            return _response(_answer(state, asked, is_over))
        except HTTPException as error:
            found = said(error.code or 400, error.description or error.name)
        except LeptonError as error:
            found = refusal(error)
    return _response(state.site.refused(asked, found))


def _asked(path: str) -> Request:
    """The request, without its body and without who asks."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = {name: list(values) for name, values in request.args.lists()}
    base = url_for("lepton.api", path="x")[:-2]
    return Request(request.method, path, query, headers=headers, base=base, may_change=True)


def _answer(state: State, asked: Request, is_over: Event) -> Answer:
    if asked.owner is None:
        raise NotLoggedIn("log in to use this")
    if asked.method not in _READING and is_foreign(asked.headers, request.host):
        abort(403, "the request came from a page of another site; open this site's page")
    most = state.site.options.uploads.file_bytes
    if request.mimetype in _FORMS and (asked.method, asked.path.rstrip("/")) == ("POST", "/uploads"):
        request.max_content_length = most + MORE_BYTES
        fields, file = _form()
        if is_over.is_set():
            most_s = state.site.options.uploads.request_s
            return state.site.refused(asked, said(408, f"the form did not come within {most_s:g} s; {_ADVICE}"))
        check_token()
        return form_answer(state.site, asked, fields, file)
    if asked.method in _READING:
        return state.live.answer(asked)
    if request.mimetype == CONTENT:
        request.max_content_length = most + 1  # one byte more than is taken: the API says so itself
        check_token()
        return state.live.answer(replace(asked, stream=cast("BinaryIO", request.stream)))
    request.max_content_length = MAX_BYTES + 1
    check_token()
    return state.live.answer(replace(asked, body=request.get_data(cache=False)))


def _form() -> tuple[Mapping[str, str], tuple[str, BinaryIO] | None]:
    """The fields of a form and its first file, as far as they came."""
    try:
        fields, file = request.form, next(iter(request.files.values()), None)
    except ClientDisconnected:
        abort(400, f"the form ended before its time; {_ADVICE}")
    return fields, None if file is None else (file.filename or "", cast("BinaryIO", file.stream))


def changes() -> Response:
    """Server-sent events that tell a page of the changes of its user's jobs."""
    try:
        owner = _state().owner()
        if owner is None:
            return _response(said(401, "log in to use this"))
        return Response(_state().live.events(owner), headers=dict(HEADERS))
    except LeptonError as error:
        return _response(refusal(error))


def signed(text: str) -> Response:
    """A result, for anybody who has its signed address."""
    try:
        link = links.read(current_app, text)
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(request.method, request.path, headers=headers, owner=link.owner)
        return _response(_state().site.download(link.owner, link.job_id, link.name, asked))
    except LeptonError as error:
        return _response(refusal(error))


def _response(found: Answer) -> Response:
    content: Iterable[bytes] | bytes = found.body if found.pieces is None else found.pieces
    made = Response(content, found.status)
    del made.headers["Content-Type"]  # Flask's default
    made.headers.update(found.headers)
    return made
