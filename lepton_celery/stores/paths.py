"""Paths and file:// URLs, and the ids of jobs as parts of file names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from lepton_celery.errors import InputError
from lepton_celery.limits import JOB_ID
from lepton_celery.text import quoted


def local_path(url: str | os.PathLike[str]) -> Path:
    """The absolute path of a plain path or a `file://` URL.

    Symbolic links and `..` stay as they are; `roots.check_allowed` follows them.

    Raises:
        InputError: the URL has another scheme or a host, or the path is empty.
    """
    text = os.fspath(url)
    if match := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text):
        if match[1].lower() != "file":
            raise InputError(
                f"store {text!r} has the scheme {match[1]!r}; only plain paths and file:// URLs are accepted: "
                "copy the data to a file system that every worker mounts"
            )
        host, slash, rest = text[match.end() :].partition("/")
        if host not in ("", "localhost") or not slash:
            raise InputError(f"store {text!r} names the host {host!r}; write file:///absolute/path, without a host")
        text = "/" + unquote(rest)
    if not text or "\0" in text or not _has_bytes(text):
        raise InputError(f"store {quoted(text)} is not a path; give the path of a file, or file:///absolute/path")
    return Path(text).absolute()


def _has_bytes(text: str) -> bool:
    """Whether a name can be one on disk, which has no halves of characters."""
    try:
        return bool(os.fsencode(text))
    except UnicodeEncodeError:
        return False


def check_job_id(job_id: str) -> None:
    """Refuse the id of a job that cannot be part of a file name. It may come from a message: no separators, no leading dot.

    Raises:
        InputError: the id has other characters, or is too long.
    """
    if not JOB_ID.fullmatch(job_id):
        raise InputError(f"job id {quoted(job_id)} cannot be part of a file name; use letters, digits, . _ and -")
