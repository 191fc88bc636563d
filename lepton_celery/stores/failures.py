"""Turns the exceptions of file systems and format libraries into this package's errors, with a remedy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from lepton_celery.errors import LeptonError, StoreError, StoreNotFound
from lepton_celery.stores.stalls import watch

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free space there, or write to another disk",
    errno.EDQUOT: "the quota is used up; free space there, or write to another disk",
    errno.EACCES: "permission denied; let this user write there, or choose another folder",
    errno.EPERM: "not permitted; let this user write there, or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}
"""The problem and its remedy by `OSError.errno`."""

OPEN_FILES = "/proc/self/fd/"
"""Linux shows a process its open files there: `N/name` is `name` in the folder that is open as N, wherever that is now."""

_SEARCHED_FILES = 10_000
"""Number of files of a folder among which one with a similar name is looked for."""


def shown(path: str | os.PathLike[str]) -> str:
    """A path for messages: one through an open folder, as of `roots.PinnedFolder`, is shown as that folder's own path."""
    text = os.fspath(path)
    if text.startswith(OPEN_FILES):
        number, _, rest = text.removeprefix(OPEN_FILES).partition("/")
        with suppress(OSError):
            return f"{Path(OPEN_FILES, number).readlink()}/{rest}"
    return text


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn any exception during a read of `path` into `StoreError`, with the reason in one line."""
    path = shown(path)
    before = watch().begin(path)
    try:
        yield
    except (LeptonError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise StoreNotFound(
            f"there is nothing at {path}; {_near(path)}check the path, and that this machine mounts it"
        ) from error
    except IsADirectoryError as error:
        raise StoreError(f"{path} cannot be read: it is a folder; give the path of a file in it") from error
    except PermissionError as error:
        raise StoreError(f"{path} cannot be read: permission denied; let this user read it") from error
    except Exception as error:
        # with a damaged file, a decoder may raise anything from struct.error to KeyError
        reason = " ".join(str(error).split()) or type(error).__name__
        remedy = "the file is damaged, still being written, or of another format than its name says"
        if (
            "imagecodecs" in reason or "'compression'" in reason
        ):  # tifffile looks for zstd in a module of Python 3.14 first
            remedy = "its compression needs a package more: pip install 'lepton-celery[codecs]'"
        raise StoreError(f"{path} cannot be read: {reason}; {remedy}") from error
    finally:
        watch().end(before)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an OSError during a write to `path` into `StoreError`, with a remedy."""
    path = shown(path)
    before = watch().begin(path)
    try:
        yield
    except LeptonError:
        raise
    except FileNotFoundError as error:
        raise StoreNotFound(
            f"{path} cannot be written: the file or its folder does not exist (any more); the output was published, "
            "discarded or never created"
        ) from error
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
        raise StoreError(f"{path} cannot be written: {remedy}") from error
    finally:
        watch().end(before)


def _near(path: str | os.PathLike[str]) -> str:
    """A hint at the files beside a path that have a similar name."""
    path = Path(path)
    with suppress(OSError):
        names = [entry.name for entry in islice(path.parent.iterdir(), _SEARCHED_FILES)]
        if close := get_close_matches(path.name, names, n=3):
            return f"did you mean {' or '.join(close)}? Otherwise "
    return ""
