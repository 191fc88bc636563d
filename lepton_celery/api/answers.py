"""Requests and answers of the HTTP API, without a web framework."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import msgspec

from lepton_celery.errors import LeptonError
from lepton_celery.text import without_passwords
from lepton_celery.views.scope import Scope

_PACKED_BYTES = 4096
"""Smallest length of an answer that is worth packing. The map of a million blocks, as they are done, is a hundredth then."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked."""

    method: str
    path: str
    """The path below that of the API, such as `/jobs/1ee1dd1b`."""
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The values of each parameter."""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The headers, by their names in small letters."""
    stream: BinaryIO | None = None
    """Gives the body of a request that is too long to be held in memory; `body` is empty then."""
    base: str = ""
    """The path of the API, for addresses in answers."""
    may_change: bool = False
    """Whether the caller may cancel, pause and resume jobs."""
    tenant: str | None = None
    """The only tenant whose jobs may be seen; None for all."""
    owner: str | None = None
    """The only owner whose jobs may be seen; None for all."""

    @property
    def scope(self) -> Scope:
        """The jobs that may be seen."""
        return Scope(self.tenant, self.owner)

    def has(self, etag: str) -> bool:
        """Whether the caller has the body of this entity tag already."""
        known = self.headers.get("if-none-match", "").split(",")
        return etag in {one.strip().removeprefix("W/") for one in known}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: JSON, unless its headers say otherwise."""

    status: int
    body: bytes = b""
    more_headers: Mapping[str, str] = field(default_factory=dict)
    """Headers beside those that every answer has, or instead of them."""
    pieces: Iterable[bytes] | None = None
    """The body in pieces, of an answer that is too long to be held in memory; `body` is empty then."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the answer needs."""
        kind = {"Content-Type": "application/json; charset=utf-8"} if self.body else {}
        return {**kind, "Cache-Control": "no-store", **self.more_headers}

    def packed(self) -> Answer:
        """The answer for a browser that takes gzip; a short one as it is."""
        if len(self.body) < _PACKED_BYTES:
            return self
        headers = {**self.more_headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return replace(self, body=gzip.compress(self.body, compresslevel=1), more_headers=headers)


def answer(document: Any, status: int = 200) -> Answer:
    """An answer with a document: dataclasses, mappings and sequences of what JSON has. Its URLs show no password."""
    body = msgspec.json.encode(document)
    if b"://" in body:
        body = msgspec.json.encode(_masked(msgspec.json.decode(body)))
    return Answer(status, body)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return without_passwords(value)
    if isinstance(value, dict):
        return {without_passwords(name): _masked(one) for name, one in value.items()}
    return list(map(_masked, value)) if isinstance(value, list) else value


def refusal(error: LeptonError) -> Answer:
    """The answer for an error."""
    return said(error.http_status, str(error))


def said(status: int, message: str) -> Answer:
    """An answer that says why there is nothing else."""
    return answer({"error": {"status": status, "message": message}}, status)
