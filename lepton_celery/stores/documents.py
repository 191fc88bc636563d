"""Dataclasses as JSON documents, and files that are written atomically."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import msgspec

from lepton_celery.errors import InputError
from lepton_celery.stores.failures import writing
from lepton_celery.text import quoted

if TYPE_CHECKING:
    from typing_extensions import Buffer

T = TypeVar("T")


def to_document(item: Any) -> dict[str, Any]:
    """The fields of a dataclass as plain JSON values; keys of mappings become text."""
    document: dict[str, Any] = msgspec.to_builtins(item, str_keys=True)
    return document


def from_document(document: Any, kind: type[T], what: str) -> T:
    """The dataclass from which `to_document` made a document. Each field's type is checked; unknown fields are ignored.

    `what` names the document in an error, such as "the job's manifest".

    Raises:
        InputError: a field is missing or has another type.
    """
    try:
        return msgspec.convert(document, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise InputError(f"{what} is damaged: {error}; it was changed by hand or by another release") from error


def check_version(document: Any, version: int, what: str, remedy: str) -> None:
    """Raise InputError if a document has another version; the message has both versions and `remedy`."""
    given = document.get("version") if isinstance(document, Mapping) else type(document).__name__
    if given != version:
        raise InputError(f"{what} has version {quoted(given)}, this release reads version {version}; {remedy}")


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
