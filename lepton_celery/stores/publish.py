"""How a part becomes an output: one rename or link, by one process at a time, over nothing that it should not.

.cells.npy.<job>.part              collects the blocks
.cells.npy.<job>.part.<anything>   temporary files of whoever creates, writes or encodes
.cells.npy.<job>.part.replaced     what stood under the final name, for the instant of the exchange
cells.npy                          appears last
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lepton_celery.errors import OutputExists, StoreNotFound
from lepton_celery.stores.failures import writing

_LOCK_S = 5.0
"""Longest wait for another publisher; renaming takes milliseconds."""

# EPERM is also what the kernel's protected_hardlinks says about another user's file.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES}


def sibling(part: Path, ending: str = "tmp") -> Path:
    """A fresh name beside the part that `discard` finds again when its writer was killed."""
    return part.with_name(f"{part.name}.{uuid.uuid4().hex}.{ending}")


@contextmanager
def held(part: Path) -> Iterator[bool]:
    """Keep other publishers of `part` out; gives whether the part is (still) there.

    The lock lies on the part itself, so it leaves no file behind. Where the file system has no locks, the fence of the
    ledger is what keeps two merges apart.
    """
    try:
        fd = os.open(part, os.O_RDONLY)
    except FileNotFoundError:
        fd = -1
    if fd < 0:
        yield False
        return
    try:
        _lock(fd)
        try:
            there = os.path.samestat(os.fstat(fd), part.stat())
        except FileNotFoundError:
            there = False
        yield there
    finally:
        os.close(fd)


def _lock(fd: int) -> None:
    """Wait for the lock, but not for ever: a frozen process may hold it, and the fence says whose turn it is."""
    deadline = time.monotonic() + _LOCK_S
    while time.monotonic() < deadline:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            return  # no locks on this file system
        else:
            return


def publish_part(part: Path, final: Path, *, overwrite: bool) -> None:
    """Move a part that already has the output's format to its final name; nothing happens when it was done before.

    Raises:
        OutputExists: something else stands there.
        StoreNotFound: neither part nor output is there.
    """
    with writing(final), held(part) as there:
        if there:
            put_in_place(part, final, overwrite=overwrite, aside=part.with_name(f"{part.name}.replaced"))
        else:
            require_published(final)
        sweep(part)


def require_published(final: Path) -> None:
    """Raise StoreNotFound when, the part being gone, the output is not there either."""
    if not os.path.lexists(final):
        raise StoreNotFound(f"{final} cannot be published: there is no part of it; run the job again")


def put_in_place(source: Path, final: Path, *, overwrite: bool, aside: Path) -> None:
    """Give `source`, a file or a folder, the name `final`.

    Raises:
        OutputExists: something else stands there, and `overwrite` is not set.
    """
    if overwrite:
        # A rename replaces a file by a file in one step; a folder has to be out of the way first.
        if os.path.lexists(final) and (source.is_dir() or (final.is_dir() and not final.is_symlink())):
            remove(aside)
            final.rename(aside)
        source.replace(final)
        remove(aside)
        return
    try:
        place_new(source, final)
    except FileExistsError as error:
        # A merge killed between link and unlink left both names on one file: then the work is done.
        if source.is_dir() or final.is_symlink() or not source.samefile(final):
            raise exists(final) from error
        source.unlink()


def place_new(source: Path, final: Path) -> None:
    """Give `source` the name `final`; FileExistsError when something has it."""
    if not source.is_dir():
        try:
            os.link(source, final)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            source.unlink()
            return
    # Of folders, the kernel lets a rename replace an empty one only: what slips in after this look is not lost.
    if os.path.lexists(final):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
    try:
        source.rename(final)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from error
        raise


def exists(final: Path) -> OutputExists:
    """The error that says something stands under the final name."""
    return OutputExists(
        f"{final} exists already; choose another name, remove it, or allow it to be replaced (overwrite=True, --overwrite)"
    )


def discard_part(part: Path, final: Path) -> None:
    """Remove the part and its temporary files; put back what a killed publisher had moved aside."""
    with writing(part):
        replaced = part.with_name(f"{part.name}.replaced")
        if os.path.lexists(replaced) and not os.path.lexists(final):
            replaced.rename(final)
        if part.is_dir():
            # Gone in one step, so that no writer fills a folder while it is being emptied.
            with suppress(FileNotFoundError):
                part.rename(sibling(part, "trash"))
        remove(part)
        sweep(part)


def sweep(part: Path) -> None:
    """Remove everything whose name begins with the part's and goes on after it."""
    with suppress(FileNotFoundError):
        for entry in list(os.scandir(part.parent)):
            if entry.name.startswith(f"{part.name}."):
                remove(Path(entry.path))


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing happens when there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
