"""Paths and file:// URLs, and the folders that a job may use."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from lepton_celery.errors import InputError


def local_path(url: str | os.PathLike[str]) -> Path:
    """The absolute path of a plain path or a `file://` URL.

    Symbolic links and `..` stay as they are; `check_allowed` follows them.

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
    if not text or "\0" in text:
        raise InputError(f"store {text!r} is not a path; give the path of a file, or file:///absolute/path")
    return Path(text).absolute()


def check_allowed(path: Path, roots: Sequence[Path]) -> None:
    """Raise InputError if a path, with its links resolved, is outside of all `roots`. Without roots all are allowed."""
    if not roots:
        return
    resolved = path.resolve()
    if not any(resolved.is_relative_to(root.resolve()) for root in roots):
        allowed = ", ".join(str(root) for root in roots)
        raise InputError(
            f"{path} leads to {resolved}, which is outside the allowed folders ({allowed}); "
            "move the data into one of them, or allow its folder in the settings"
        )
