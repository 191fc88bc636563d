"""Dataclasses as JSON documents, and files that are written atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import msgspec

from lepton_celery.errors import InputError, OtherRelease
from lepton_celery.limits import MAX_DOCUMENT_BYTES
from lepton_celery.stores.failures import writing
from lepton_celery.text import quoted

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")


def to_document(item: Any) -> dict[str, Any]:
    """The fields of a dataclass as plain JSON values; keys of mappings become text."""
    document: dict[str, Any] = msgspec.to_builtins(item, str_keys=True)
    return document


def parse_document(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON document with a mapping at its top. `what` names it in an error, as in `from_document`.

    Raises:
        InputError: it is too long, no JSON, nested too deeply, or no mapping.
    """
    if len(text) > MAX_DOCUMENT_BYTES:
        raise InputError(f"{what} has more than {MAX_DOCUMENT_BYTES >> 20} MiB, which is no plan of this package")
    with checked(what):
        try:
            document = json.loads(text)
        except ValueError as error:  # also of bytes that are no text, and of numbers with thousands of digits
            raise InputError(f"{what} is damaged: {error}; submit the job again") from error
    if not isinstance(document, dict):
        raise InputError(f"{what} is damaged: it is a {type(document).__name__} and no mapping; submit the job again")
    return document


@contextmanager
def checked(what: str) -> Iterator[None]:
    """Refuse a document that is nested too deeply for the code of a `with` block, or has characters that are no text."""
    try:
        yield
    except RecursionError:
        raise InputError(f"{what} is nested too deeply, which is no plan of this package") from None
    except UnicodeEncodeError as error:
        raise InputError(f"{what} is damaged: {error}; submit the job again") from error


def from_document(document: Any, kind: type[T], what: str) -> T:
    """The dataclass from which `to_document` made a document. Types and ranges are checked; unknown fields are ignored.

    `what` names the document in an error, such as "the job's manifest".

    Raises:
        InputError: a field is missing, has another type, or is out of range.
    """
    try:
        with checked(what):
            return msgspec.convert(document, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise InputError(f"{what} is damaged: {error}; it was changed by hand or by another release") from error


def check_version(document: Any, version: int, what: str, remedy: str) -> None:
    """Check the version of a document.

    Raises:
        OtherRelease: it has another version; the message has both versions and `remedy`.
        InputError: it has none.
    """
    given = document.get("version") if isinstance(document, Mapping) else type(document).__name__
    if given != version:
        kind = OtherRelease if type(given) is int else InputError
        raise kind(f"{what} has version {quoted(given)}, this release reads version {version}; {remedy}")


def write_atomically(path: Path, *pieces: Buffer, mode: int = 0o666) -> None:
    """Write a file of these pieces atomically, replacing an earlier file. The umask restricts `mode`.

    Raises:
        StoreNotFound: the folder does not exist.
        StoreError: the disk is full, or this user may not write there.
    """
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    with writing(path):
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.writelines(pieces)
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
