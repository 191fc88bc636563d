"""Publishes outputs: one process at a time gives a complete part its final name, by a link or a rename.

.cells.npy.<job>.part              collects the blocks
.cells.npy.<job>.part.<anything>   temporary files of processes that create, write or encode
.cells.npy.<job>.part.encoded      the output, if its format is not that of the part
.cells.npy.<job>.part.replaced     the earlier output, while it is replaced
cells.npy                          appears last
"""

from __future__ import annotations

import errno
import fcntl
import filecmp
import glob
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR

from lepton_celery.errors import OutputExists, StoreNotFound
from lepton_celery.stores.base import ArrayOutput, Target, part_of
from lepton_celery.stores.failures import writing
from lepton_celery.stores.paths import local_path
from lepton_celery.stores.roots import Roots, open_folder, pinned

LOCK_WAIT_S = 5.0
"""Longest wait for another publisher; a rename takes milliseconds."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES}
"""Errors of a file system without hard links. The kernel's protected_hardlinks gives EPERM for another user's file."""


def sibling(part: Path, ending: str = "tmp") -> Path:
    """A unique path beside a part. `discard_part` removes the file there if its writer was killed."""
    return part.with_name(f"{part.name}.{uuid.uuid4().hex}.{ending}")


@contextmanager
def draft_of(part: Path) -> Iterator[Path]:
    """A unique path beside a part, for a file that the caller renames when it is complete. Otherwise it is removed."""
    draft = sibling(part)
    try:
        yield draft
    finally:
        remove(draft)


def create_part(part: Path, make: Callable[[Path], None]) -> None:
    """Create a part atomically: `make` creates it under a temporary name. A part that exists already stays."""
    with writing(part), draft_of(part) as draft:
        make(draft)
        with suppress(FileExistsError):
            link_or_rename(draft, part)


def replaced_of(part: Path) -> Path:
    """The path of the earlier output while the new one replaces it."""
    return part.with_name(f"{part.name}.replaced")


def publish_part(target: Target, encode: Callable[[Path], None] | None = None) -> None:
    """Publish an output, as `ArrayOutput.publish` describes.

    `encode` writes the output's file from the part, if the part has another format.
    """
    part, final = target.part, target.final
    with writing(final), _locked(part) as is_there:
        if not is_there and not os.path.lexists(final):
            raise StoreNotFound(f"{final} cannot be published: there is no part of it; run the job again")
        if is_there:
            output = part if encode is None else part.with_name(f"{part.name}.encoded")
            # a publisher that was killed after linking has encoded already
            if encode is not None and not (output.exists() and final.exists() and output.samefile(final)):
                if os.path.lexists(final) and not target.overwrite:
                    raise output_exists(final)
                with draft_of(part) as draft:
                    encode(draft)
                    draft.replace(output)
            put_in_place(output, final, overwrite=target.overwrite, replaced=replaced_of(part))
        _remove_part(part)


def publish_file(path: Path, job_id: str, write: Callable[[Path], None], *, overwrite: bool, roots: Roots = ()) -> None:
    """Write a small output and publish it in one step. An existing file with the same bytes is accepted.

    If the writer is killed, `discard_file` with the same job id removes the temporary file.

    Raises:
        InputError: the file is outside the roots.
        OutputExists: something else has that name, and `overwrite` is not set.
        StoreError: the disk is full, or no permission; no file is left.
    """
    with writing(path), pinned(path, roots) as final, draft_of(part := part_of(final, job_id)) as draft:
        write(draft)
        if not final.is_file() or final.is_symlink() or not filecmp.cmp(draft, final, shallow=False):
            put_in_place(draft, final, overwrite=overwrite, replaced=replaced_of(part))


def discard_file(path: str | os.PathLike[str], job_id: str, *, roots: Roots = ()) -> None:
    """Remove the temporary files that a killed `publish_file` left; a published file stays.

    Raises:
        InputError: it is outside the roots, or the job id cannot be part of a file name; nothing is removed.
    """
    given = local_path(path)
    with suppress(StoreNotFound), writing(given), pinned(given, roots) as final:
        discard_part(part_of(final, job_id), final)


@contextmanager
def _locked(part: Path) -> Iterator[bool]:
    """Lock a part against other publishers, and yield whether the part still exists.

    The lock is on the part itself, so it leaves no file behind.
    """
    try:
        descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        yield False
        return
    try:
        with suppress(OSError):  # this file system has no locks
            # a frozen process may hold the lock; then the ledger's fence alone keeps two merges apart
            wait_for_lock(descriptor, LOCK_WAIT_S)
        is_there = False
        with suppress(FileNotFoundError):
            is_there = os.path.samestat(os.fstat(descriptor), part.stat())
        yield is_there
    finally:
        os.close(descriptor)


def wait_for_lock(descriptor: int, timeout_s: float) -> bool:
    """Lock a file for this process; False if another process still holds the lock after `timeout_s`.

    Raises:
        OSError: the file system has no locks.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)


def put_in_place(source: Path, final: Path, *, overwrite: bool, replaced: Path) -> None:
    """Rename `source`, a file or a folder, to `final`. `replaced` is the temporary name of an earlier output.

    Raises:
        OutputExists: something else has the name `final`, and `overwrite` is not set.
    """
    if overwrite:
        # a rename replaces a file by a file in one step, but a folder must be moved away first
        if os.path.lexists(final) and (source.is_dir() or (final.is_dir() and not final.is_symlink())):
            remove(replaced)
            final.rename(replaced)
        source.replace(final)
        remove(replaced)
        return
    try:
        link_or_rename(source, final)
    except FileExistsError as error:
        # if a merge was killed between link and unlink, the file has both names and is published already
        if source.is_dir() or final.is_symlink() or not source.samefile(final):
            raise output_exists(final) from error
        source.unlink()


def link_or_rename(source: Path, final: Path) -> None:
    """Give `source` the name `final`; FileExistsError if something has that name."""
    if not source.is_dir():
        try:
            os.link(source, final)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            source.unlink()
            return
    taken = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
    if os.path.lexists(final):
        raise taken
    try:
        source.rename(final)  # replaces no folder that appeared meanwhile, unless that is empty
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise taken from error
        raise


def output_exists(final: Path) -> OutputExists:
    """The error for a final name that is taken."""
    return OutputExists(
        f"{final} exists already; choose another name, remove it, or allow it to be replaced (overwrite=True, --overwrite)"
    )


def discard_part(part: Path, final: Path) -> None:
    """Remove a part and its temporary files. An earlier output that a killed publisher moved away gets its name back."""
    replaced = replaced_of(part)
    with writing(part):
        if os.path.lexists(replaced) and not os.path.lexists(final):
            replaced.rename(final)
        _remove_part(part)


def _remove_part(part: Path) -> None:
    if part.is_dir():
        # renamed first, so that no writer adds files to a folder that is being emptied
        with suppress(FileNotFoundError):
            part.rename(sibling(part, "trash"))
    remove(part)
    for path in part.parent.glob(f"{glob.escape(part.name)}.*"):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it exists. No link is followed, also if one is put in its place now."""
    try:
        folder = open_folder(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        os.unlink(path.name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):  # POSIX has the latter for a folder
        # whoever cancels a job and its workers remove the same folders at the same time
        with suppress(FileNotFoundError):
            if not S_ISDIR(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise
            shutil.rmtree(path.name, ignore_errors=True, dir_fd=folder)
    finally:
        os.close(folder)


class FileOutput(ArrayOutput):
    """Base class of outputs on disk, with the methods that do not depend on the format."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def publish(self) -> None:
        publish_part(self.target)

    def discard(self) -> None:
        discard_part(self.target.part, self.target.final)
