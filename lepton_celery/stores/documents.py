"""Dataclasses as JSON documents, and files that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

from lepton_celery.errors import InputError
from lepton_celery.stores.failures import writing

T = TypeVar("T")


def to_document(item: Any) -> dict[str, Any]:
    """The fields of a dataclass as plain JSON values; keys of mappings become text."""
    document: dict[str, Any] = msgspec.to_builtins(item, str_keys=True)
    return document


def from_document(document: Any, kind: type[T], what: str) -> T:
    """The dataclass that `to_document` was given, each field checked against its type; unknown fields are ignored.

    Args:
        document: plain JSON values.
        kind: the dataclass.
        what: the document's name in an error, such as "the job's manifest".

    Raises:
        InputError: a field is missing or has another type; the message says which.
    """
    try:
        return msgspec.convert(document, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise InputError(f"{what} is damaged: {error}; it was changed by hand or by another release") from error


def check_version(document: Any, version: int, what: str, remedy: str) -> None:
    """Refuse a document of another version.

    Raises:
        InputError: the versions differ; the message has both, and `remedy`.
    """
    given = document.get("version") if isinstance(document, Mapping) else type(document).__name__
    if given != version:
        raise InputError(f"{what} has version {given!r}, this release reads version {version}; {remedy}")


def write_atomically(path: Path, *pieces: bytes, mode: int = 0o666) -> None:
    """Let a file of these pieces appear in one step, in place of an earlier one. `mode` is limited by the umask.

    Raises:
        StoreNotFound: there is no such folder.
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
