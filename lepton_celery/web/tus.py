"""Uploads that can be resumed: the protocol tus 1.0.0 (https://tus.io), with its extensions creation, creation-with-upload,
expiration and termination.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from io import BytesIO
from types import NoneType
from typing import Annotated, Any, Literal

from msgspec import Meta

from lepton_celery.api.answers import Answer, Request, refusal, said
from lepton_celery.api.parameters import Parameter
from lepton_celery.api.routes import Http, Route, Sources
from lepton_celery.errors import InputError
from lepton_celery.web.refusals import NotLoggedIn
from lepton_celery.web.uploads import Upload, UploadStore

VERSION = "1.0.0"
_EXTENSIONS = "creation,creation-with-upload,expiration,termination"
CONTENT = "application/offset+octet-stream"
"""The type of a body that is a piece of a file."""
_MOST_METADATA = 4096
"""Longest header with metadata, in characters."""

Given = Mapping[str, Any]
_Handler = Callable[[UploadStore, Request, Given], Answer]

_Bytes = Annotated[int, Meta(ge=0, lt=10**18)]
_VERSION = Parameter("Tus-Resumable", Literal["1.0.0"], "The version of tus.")
_LENGTH = Parameter("Upload-Length", _Bytes, "Bytes of the whole file.")
_OFFSET = Parameter("Upload-Offset", _Bytes, "Bytes that have been received.")
_NAME = Parameter("Upload-Metadata", str, "`filename` and the name of the file in base64; its suffix tells its format.")
_RECEIVED = {
    "Upload-Offset": "Bytes that have been received.",
    "Upload-Expires": "When the upload is removed unless more comes.",
}
_ABOUT = Http(
    status=204,
    gives_headers={
        "Tus-Version": "The versions that are spoken.",
        "Tus-Extension": "The extensions that are spoken.",
        "Tus-Max-Size": "Bytes of the longest file that is taken.",
    },
)
_BEGIN = Http(
    takes_bytes=(CONTENT,),
    headers=(_VERSION, _LENGTH, _NAME),
    status=201,
    gives_headers={"Location": "The address of the upload.", **_RECEIVED},
    refusals=(401, 412, 413),
)
_STATE = Http(
    headers=(_VERSION,), gives_headers={"Upload-Length": "Bytes of the whole file.", **_RECEIVED}, refusals=(401, 412)
)
_PART = Http(
    takes_bytes=(CONTENT,),
    headers=(_VERSION, _OFFSET),
    status=204,
    gives_headers=_RECEIVED,
    refusals=(401, 403, 409, 412, 415, 423),
)
_REMOVE = Http(headers=(_VERSION,), status=204, refusals=(401, 403, 412))


def routes_of(store: UploadStore) -> tuple[Route, ...]:
    """The routes of a site's uploads."""

    def route(method: str, path: str, about: str, handler: _Handler, http: Http) -> Route:
        def answered(_: Sources, request: Request, given: Given) -> Answer:
            return _answered(handler, store, request, given)

        more = replace(http, gives_headers={"Tus-Resumable": "The version of tus.", **http.gives_headers})
        return Route(method, path, about, answered, NoneType, http=more)

    return (
        route("OPTIONS", "/uploads", "What this server takes, as headers of tus.", _options, _ABOUT),
        route("POST", "/uploads", "Begin an upload; its address is in the header Location.", _create, _BEGIN),
        route(
            "HEAD",
            "/uploads/{upload}",
            "How much of an upload has been received, in the header Upload-Offset.",
            _head,
            _STATE,
        ),
        route("PATCH", "/uploads/{upload}", "Send the next part of an upload.", _patch, _PART),
        route("DELETE", "/uploads/{upload}", "Remove an upload.", _delete, _REMOVE),
    )


def _answered(handler: _Handler, store: UploadStore, request: Request, given: Given) -> Answer:
    """The answer of a handler, or its refusal; all with the headers of tus."""
    headers = {"Tus-Resumable": VERSION}
    if request.method != "OPTIONS" and (asked := request.headers.get("tus-resumable")) != VERSION:
        told = said(412, f"the header Tus-Resumable is {asked or 'missing'}; this server speaks {VERSION}")
        return Answer(412, told.body, headers | {"Tus-Version": VERSION})
    try:
        found = handler(store, request, given)
    except InputError as error:
        found = refusal(error)
    return Answer(found.status, b"" if request.method == "HEAD" else found.body, headers | dict(found.more_headers))


def _options(store: UploadStore, request: Request, given: Given) -> Answer:
    limits = {"Tus-Version": VERSION, "Tus-Extension": _EXTENSIONS, "Tus-Max-Size": str(store.limits.file_bytes)}
    return Answer(204, more_headers=limits)


def _create(store: UploadStore, request: Request, given: Given) -> Answer:
    if "upload-defer-length" in request.headers:
        raise InputError("the length of the file must be known; send it as Upload-Length")
    length = _number(request, "upload-length")
    name = _metadata(request.headers.get("upload-metadata", "")).get("filename", "")
    if not name:
        raise InputError("the header Upload-Metadata has no filename; send `filename NAME`, the name in base64")
    upload = store.begin(owner_of(request), name, length)
    if request.headers.get("content-type") == CONTENT:
        upload = store.append(upload.owner, upload.id, 0, request.stream or BytesIO(request.body), _length(request))
    return Answer(201, more_headers={"Location": f"{request.base}/uploads/{upload.id}", **_told(store, upload)})


def _head(store: UploadStore, request: Request, given: Given) -> Answer:
    upload = store.find(owner_of(request), given["upload"])
    return Answer(200, more_headers={"Upload-Length": str(upload.length), **_told(store, upload)})


def _patch(store: UploadStore, request: Request, given: Given) -> Answer:
    if request.headers.get("content-type") != CONTENT:
        return said(
            415, f"the header Content-Type is {request.headers.get('content-type') or 'missing'}; send {CONTENT}"
        )
    source = request.stream or BytesIO(request.body)
    offset = _number(request, "upload-offset")
    upload = store.append(owner_of(request), given["upload"], offset, source, _length(request))
    return Answer(204, more_headers=_told(store, upload))


def _delete(store: UploadStore, request: Request, given: Given) -> Answer:
    store.remove(owner_of(request), given["upload"])
    return Answer(204)


def _told(store: UploadStore, upload: Upload) -> dict[str, str]:
    expires = formatdate(upload.changed_at + store.limits.keep_s, usegmt=True)
    return {"Upload-Offset": str(upload.received), "Upload-Expires": expires}


def owner_of(request: Request) -> str:
    """Who asks.

    Raises:
        NotLoggedIn: nobody who has logged in.
    """
    if request.owner is None:
        raise NotLoggedIn("this needs an owner, and the request has none; log in")
    return request.owner


def _length(request: Request) -> int | None:
    return _number(request, "content-length") if "content-length" in request.headers else None


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InputError(f"the header {name.title()} is {text[:40] or 'missing'}; give a number of bytes")
    return int(text)


def _metadata(header: str) -> dict[str, str]:
    """The pairs of a header Upload-Metadata, whose values are in base64."""
    if len(header) > _MOST_METADATA:
        raise InputError(f"the header Upload-Metadata has {len(header):,} characters; send at most {_MOST_METADATA:,}")
    found = {}
    for pair in filter(None, header.split(",")):
        name, _, value = pair.strip().partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise InputError(f"the header Upload-Metadata has {name[:40]!r}, which is not UTF-8 in base64") from None
    return found
