"""Results as downloads: files with ranges, and folders as ZIP archives, in pieces."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Iterator
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from stat import S_ISDIR
from urllib.parse import quote

from lepton_celery.api.answers import Answer, Request, said
from lepton_celery.errors import LeptonError
from lepton_celery.stores.roots import BufferedFile, Roots

_PIECE_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_TYPES = {".npy": "application/octet-stream", ".parquet": "application/vnd.apache.parquet", ".csv": "text/csv"}


def download(path: Path, request: Request, roots: Roots, *, inline: bool = False) -> Answer:
    """The answer to a GET or HEAD request for a result.

    A range of a file is answered with that range; several ranges with the whole file, as RFC 9110 allows. A folder comes as
    `NAME.zip`, whose length is known before it is made.

    Args:
        path: the file or folder.
        request: says which range it wants, and whether it has the file already.
        roots: the folders that it must lie in.
        inline: whether browsers may show it; else they save it.

    Raises:
        InputError: it is outside the roots.
        FileNotFoundError: there is none.
    """
    if S_ISDIR(path.stat().st_mode):
        return _folder(path, request)
    with BufferedFile(path, roots) as file:
        status = os.fstat(file.fileno())
    size, etag = status.st_size, f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
    headers = {
        "Content-Type": _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "Content-Disposition": _disposition(path.name, inline=inline),
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Last-Modified": formatdate(status.st_mtime, usegmt=True),
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if request.has(etag):
        return Answer(304, more_headers=headers)
    first, stop = 0, size
    if (asked := request.headers.get("range")) and _may_be_partial(request, etag, status.st_mtime):
        found = _range(asked, size)
        if found == (0, 0):
            told = said(416, f"the file has {size:,} bytes, and the range {asked[:60]} is outside")
            return Answer(416, told.body, {"Content-Range": f"bytes */{size}"})
        if found is not None:
            first, stop = found
            headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - first)
    pieces = None if request.method == "HEAD" else _pieces(path, roots, first, stop - first)
    return Answer(206 if "Content-Range" in headers else 200, b"", headers, pieces)


def _may_be_partial(request: Request, etag: str, changed_at: float) -> bool:
    """Whether the client's part, if it has one, is of this file."""
    condition = request.headers.get("if-range")
    if condition is None or condition == etag:
        return True
    try:
        return parsedate_to_datetime(condition).timestamp() == int(changed_at)
    except (TypeError, ValueError):
        return False


def _range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and one past the last that a header asks for; (0, 0) outside the file, and None for the whole file."""
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        first, stop = max(0, size - int(found[2])), size
    else:
        first, stop = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < first:
            return None
    return (first, stop) if first < stop else (0, 0)


def _pieces(path: Path, roots: Roots, first: int, count: int) -> Iterator[bytes]:
    with BufferedFile(path, roots) as file:
        file.seek(first)
        while count and (piece := file.read(min(_PIECE_BYTES, count))):
            count -= len(piece)
            yield piece


def _folder(path: Path, request: Request) -> Answer:
    try:
        from zipstream import ZipStream
    except ModuleNotFoundError as error:
        raise LeptonError("folders are sent by zipstream-ng; pip install 'lepton-celery[web]' on the server") from error
    archive = ZipStream.from_path(path, sized=True)
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": _disposition(f"{path.name}.zip", inline=False),
        "Content-Length": str(len(archive)),
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    return Answer(200, b"", headers, None if request.method == "HEAD" else iter(archive))


def _disposition(name: str, *, inline: bool) -> str:
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
