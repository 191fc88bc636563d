"""Files that users of a site send: each with an id, in a folder of its owner, written as it comes in."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import msgspec

from lepton_celery.errors import StoreError
from lepton_celery.text import quoted, shown
from lepton_celery.web.refusals import Busy, FileRefused, NotFound, OffsetConflict, QuotaExceeded

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy")
"""Formats of uploads, each one file."""

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_ABOUT = "about.json"
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limits of what a user may send."""

    file_bytes: int = 4 << 30
    """Largest size of a file."""
    owner_bytes: int = 16 << 30
    """Largest size of all files of an owner together, as announced."""
    owner_files: int = 1000
    """Largest number of files of an owner."""
    request_s: float = 300.0
    """Seconds after which a request that still sends is ended. What came is kept, and the client goes on from there."""
    keep_s: float = 7 * 24 * 3600.0
    """Seconds for which a file is kept after its last change."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a user sends or has sent."""

    id: str
    owner: str
    name: str
    """Its name on the user's machine; only shown."""
    suffix: str
    """Its format: one of `SUFFIXES`."""
    length: int
    """Bytes that it has, or will have."""
    created_at: float
    """Seconds since the epoch."""
    received: int = 0
    """Bytes that came so far."""
    changed_at: float = 0.0
    """When bytes came last, in seconds since the epoch."""

    @property
    def is_complete(self) -> bool:
        """Whether all of it has come."""
        return self.received == self.length


class UploadStore:
    """The uploads of a site, in one folder with a folder for each owner.

    Several processes and threads may use it at the same time. An upload of another owner is not found.
    """

    def __init__(self, folder: Path, limits: UploadLimits | None = None) -> None:
        self.folder, self.limits = Path(folder), limits or UploadLimits()

    def root_of(self, owner: str) -> Path:
        """The folder of an owner, whose name tells nothing about him."""
        return self.folder / blake2b(owner.encode(), digest_size=16).hexdigest()

    def begin(self, owner: str, name: str, length: int) -> Upload:
        """Take up an upload that will have `length` bytes.

        Raises:
            FileRefused: its format is not one of `SUFFIXES`, or the length is wrong.
            QuotaExceeded: the file is too long, or the owner has too many.
            StoreError: the folder cannot be written.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in SUFFIXES:
            raise FileRefused(f"the file {quoted(shown(name, 200))} has no suffix of these: {', '.join(SUFFIXES)}")
        if length < 1:
            raise FileRefused(f"the file {quoted(shown(name, 200))} has {length} bytes; send an image")
        if length > self.limits.file_bytes:
            raise QuotaExceeded(
                f"the file {quoted(shown(name, 200))} has {length:,} bytes, and at most {self.limits.file_bytes:,} are "
                "taken; send a smaller one"
            )
        upload = Upload(secrets.token_urlsafe(16), owner, shown(Path(name).name, 200), suffix, length, time.time())
        root = self.root_of(owner)
        with _writing(root):
            root.mkdir(parents=True, exist_ok=True)
            with _locked(root / ".lock", wait=True):  # two requests must not each find the last free place
                self._check_quota(owner, length)
                folder = root / upload.id
                folder.mkdir()
                (folder / _ABOUT).write_bytes(msgspec.json.encode(asdict(upload)))
        return upload

    def _check_quota(self, owner: str, length: int) -> None:
        lengths = []
        for folder in self._folders(owner):
            with suppress(NotFound):  # a process that died has left it
                lengths.append(_length_of(folder))
        if len(lengths) >= self.limits.owner_files:
            raise QuotaExceeded(
                f"you have {len(lengths):,} files, and at most {self.limits.owner_files:,} are kept; remove some"
            )
        total = sum(lengths) + length
        if total > self.limits.owner_bytes:
            raise QuotaExceeded(
                f"your files would have {total:,} bytes together, and at most {self.limits.owner_bytes:,} are kept; "
                "remove some"
            )

    def append(self, owner: str, upload_id: str, offset: int, source: BinaryIO, count: int | None = None) -> Upload:
        """Write what a request brings at the end of an upload; return the upload as it is then.

        Args:
            owner: whose upload it is.
            upload_id: its id.
            offset: number of bytes that the client believes to have been received.
            source: gives the bytes; it is read in pieces.
            count: number of bytes to read; None for all that there are. What is beyond the upload's length is refused.

        Raises:
            NotFound: the owner has no such upload.
            OffsetConflict: another number of bytes has been received, or there are more than were announced.
            Busy: another request writes this upload now.
            StoreError: it cannot be written; what was written before is kept.
        """
        upload = self.find(owner, upload_id)
        path = self.path(upload)
        with _writing(path), path.open("ab") as file, _locked(path, file=file):
            received = file.tell()
            if offset != received:
                raise OffsetConflict(f"{received:,} bytes have been received, and not {offset:,}; go on from there")
            if count is not None and received + count > upload.length:
                raise OffsetConflict(f"the file was announced with {upload.length:,} bytes, and more of them come")
            left, ends = upload.length - received, time.monotonic() + self.limits.request_s
            while left and time.monotonic() < ends and (piece := source.read(min(_PIECE_BYTES, left))):
                file.write(piece)
                left -= len(piece)
            if not left and source.read(1):
                raise OffsetConflict(f"the file was announced with {upload.length:,} bytes, and more of them come")
            file.flush()
            return replace(upload, received=upload.length - left, changed_at=time.time())

    def add(self, owner: str, name: str, length: int, source: BinaryIO) -> Upload:
        """Store a file that comes in one request.

        Raises:
            FileRefused, QuotaExceeded, StoreError: it is refused, and nothing of it is kept.
        """
        upload = self.begin(owner, name, length)
        try:
            upload = self.append(owner, upload.id, 0, source)
            if not upload.is_complete:
                raise FileRefused(f"the file ended after {upload.received:,} of {upload.length:,} bytes; send it again")
        except BaseException:
            self.remove(owner, upload.id)
            raise
        return upload

    def find(self, owner: str, upload_id: str) -> Upload:
        """An upload of an owner.

        Raises:
            NotFound: the owner has no such upload.
        """
        folder = self.root_of(owner) / upload_id
        found = _read(folder) if _ID.fullmatch(upload_id) else None
        if found is None or found.owner != owner:
            raise NotFound(f"there is no file {quoted(shown(upload_id, 80))}; it may have been removed after some days")
        return found

    def path(self, upload: Upload) -> Path:
        """Where the bytes of an upload are."""
        return self.root_of(upload.owner) / upload.id / f"image{upload.suffix}"

    def of_owner(self, owner: str) -> Iterator[Upload]:
        """The uploads of an owner, in no order."""
        for folder in self._folders(owner):
            if (upload := _read(folder)) is not None:
                yield upload

    def _folders(self, owner: str) -> list[str]:
        """The folders of an owner's uploads."""
        with suppress(FileNotFoundError), os.scandir(self.root_of(owner)) as entries:
            return [entry.path for entry in entries if _ID.fullmatch(entry.name)]
        return []

    def remove(self, owner: str, upload_id: str) -> None:
        """Remove an upload.

        Raises:
            NotFound: the owner has no such upload.
        """
        self.find(owner, upload_id)
        _remove(self.root_of(owner) / upload_id)

    def prune(self, now: float | None = None) -> int:
        """Remove the uploads that have not changed for longer than they are kept; return their number."""
        now, removed = time.time() if now is None else now, 0
        for folder in self.folder.glob("*/*"):
            if not _ID.fullmatch(folder.name):
                continue
            upload = _read(folder)
            changed_at = folder.stat().st_mtime if upload is None else upload.changed_at
            if now - changed_at > self.limits.keep_s:
                _remove(folder)
                removed += 1
        return removed


@lru_cache(10_000)
def _length_of(folder: str) -> int:
    """The bytes that the upload in a folder has, or will have, which never change.

    Raises:
        NotFound: there is none.
    """
    upload = _read(folder)
    if upload is None:
        raise NotFound(f"there is no file in {folder}")
    return upload.length


def _read(folder: Path | str) -> Upload | None:
    """The upload in a folder; None if there is none."""
    try:
        upload = msgspec.json.decode(Path(folder, _ABOUT).read_bytes(), type=Upload)
    except (OSError, msgspec.DecodeError):
        return None
    try:
        found = Path(folder, f"image{upload.suffix}").stat()
    except FileNotFoundError:
        return replace(upload, received=0, changed_at=upload.created_at)
    return replace(upload, received=found.st_size, changed_at=found.st_mtime)


def _remove(folder: Path) -> None:
    """Remove a folder; first under another name, so that nobody finds half of it."""
    hidden = folder.with_name(f".{folder.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        folder.rename(hidden)
        shutil.rmtree(hidden)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"the file cannot be stored: {error.strerror}") from error


@contextmanager
def _locked(path: Path, file: BinaryIO | None = None, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a file, which ends with this process too."""
    held = file or path.open("ab")
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise Busy("another request sends this file now; try again in a moment") from None
        held.seek(0, os.SEEK_END)
        yield
    finally:
        if file is None:
            held.close()
