"""The folders that a process may use (`allowed_roots`), and access to files that no link leads out of them.

A path is resolved once, compared with the roots, and then opened from its root downwards, folder by folder, without
following a link. So a folder that is swapped for a link after the check is refused and never followed. A refusal says only
that a path is outside: it comes before anything is asked of the file, so it does not tell whether there is one.

Without roots every folder is allowed, and links are followed. Pipes, sockets and devices are never opened for reading: that
could wait for ever.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from weakref import finalize

from lepton_celery.errors import InputError, StoreError, StoreNotFound
from lepton_celery.stores.failures import OPEN_FILES
from lepton_celery.tenants import check_tenant

Roots = Sequence[Path]
"""Folders that may be used; empty for all. `{tenant}` in one stands for the tenant of a job."""

TENANT = "{tenant}"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def check_allowed(path: Path, roots: Roots) -> None:
    """Raise InputError if a path, with its links resolved, is outside of all `roots`. Without roots all are allowed."""
    if roots:
        _split(path, roots)


def roots_of(roots: Roots, tenant: str) -> tuple[Path, ...]:
    """The folders that a job of a tenant may use. A job without a tenant has those only that name none.

    Raises:
        InputError: there are roots, and none of them is for this job; or the tenant's name is none.
    """
    check_tenant(tenant)  # it becomes a folder's name, and may come from a manifest that anybody has written
    own = tuple(Path(str(root).replace(TENANT, tenant)) for root in roots if tenant or TENANT not in str(root))
    if roots and not own:
        raise InputError(
            f"the job has no tenant, and each of the allowed folders ({', '.join(map(str, roots))}) belongs to one; submit "
            "it with tenant=…, or allow a folder for all in the settings (LEPTON_ALLOWED_ROOTS)"
        )
    return own


def roots_of_all(roots: Roots) -> tuple[Path, ...]:
    """The folders that tenants may use together, for what is done before the tenant is known: jobs are checked again."""
    return tuple(
        Path(*takewhile(lambda part: TENANT not in part, root.parts)) if TENANT in str(root) else root for root in roots
    )


def _split(path: Path, roots: Roots) -> tuple[str, tuple[str, ...]]:
    """The root, resolved, in which a path lies, and the folders and the name that lead to it from there."""
    real = Path(os.path.realpath(path))
    for root in roots:
        if real.is_relative_to(folder := os.path.realpath(root)):
            return folder, real.relative_to(folder).parts
    allowed = ", ".join(str(root) for root in roots)
    raise InputError(
        f"{path} is outside the allowed folders ({allowed}); move the data into one of them, or allow its folder in the "
        "settings (LEPTON_ALLOWED_ROOTS)"
    )


def open_folder(path: Path, roots: Roots = ()) -> int:
    """Open a folder for use as `dir_fd`.

    Raises:
        InputError: it is outside the roots.
        OSError: there is none, or a folder on the way was swapped for a link.
    """
    if not roots:
        return os.open(path, _FOLDER)
    root, parts = _split(path, roots)
    return _walk(os.open(root, _FOLDER), parts)


def _walk(descriptor: int, parts: Sequence[str]) -> int:
    """The folder that lies these folders below an open one, which is closed; no link is followed."""
    for name in parts:
        try:
            below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def open_file(path: Path, roots: Roots = (), flags: int = os.O_RDONLY) -> int:
    """Open a regular file.

    Raises:
        InputError: it is outside the roots, or a pipe, a socket or a device.
        OSError: it is a folder, does not exist or may not be opened; or it was swapped for a link.
    """
    if not roots:
        return _open_regular(path, flags, path)
    root, parts = _split(path, roots)
    if not parts:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    folder = _walk(os.open(root, _FOLDER), parts[:-1])
    try:
        return _open_regular(parts[-1], flags | os.O_NOFOLLOW, path, folder)
    finally:
        os.close(folder)


def open_beneath(folder: int, relative: str, shown: str | Path) -> int:
    """Open a regular file in an open folder or in folders below; `shown` is its path in messages.

    Raises:
        StoreError: it, or a folder on the way, is a link.
        InputError: it is a pipe, a socket or a device.
        OSError: it is a folder, does not exist or may not be read.
    """
    *folders, name = relative.split("/")
    try:
        if not folders:
            return _open_regular(name, os.O_RDONLY | os.O_NOFOLLOW, shown, folder)
        first, *rest = folders
        descriptor = _walk(os.open(first, _FOLDER | os.O_NOFOLLOW, dir_fd=folder), rest)
        try:
            return _open_regular(name, os.O_RDONLY | os.O_NOFOLLOW, shown, descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and _has_link(folder, folders)):
            raise StoreError(
                f"{shown} is a link, or lies behind one, which may lead to another image; copy the image with its links "
                "followed (cp -rL)"
            ) from error
        raise


def _has_link(folder: int, parts: Sequence[str]) -> bool:
    """Whether one of these folders below an open one is a link. Linux reports a link in place of a folder as no folder."""
    for count in range(1, len(parts) + 1):
        try:
            os.readlink("/".join(parts[:count]), dir_fd=folder)
        except OSError:
            continue
        return True
    return False


def _open_regular(name: str | Path, flags: int, shown: str | Path, folder: int | None = None) -> int:
    """Open a regular file, without waiting; any other is refused."""
    try:
        descriptor = os.open(name, flags | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise _no_file(shown) if error.errno == errno.ENXIO else error from None
    try:
        mode = os.fstat(descriptor).st_mode
        if S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(shown))
        if not S_ISREG(mode):
            raise _no_file(shown)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _no_file(shown: str | Path) -> InputError:
    return InputError(f"{shown} is a pipe, a socket or a device, and blocks need a file that can be read at any place")


def open_binary(path: Path, roots: Roots = (), flags: int = os.O_RDONLY) -> io.FileIO:
    """Open a regular file as `open_file` does, as a file object without a buffer."""
    mode = "r+" if flags & os.O_RDWR else "r"
    return io.FileIO(path, mode, opener=lambda *_: open_file(path, roots, flags))


class BufferedFile(io.BufferedReader):
    """A regular file with a buffer. Asked for more bytes than it has, it takes no memory for them, as Python's own does."""

    def __init__(self, path: Path, roots: Roots = ()) -> None:
        super().__init__(open_binary(path, roots))

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def read_bytes(path: Path, limit: int, roots: Roots = ()) -> bytes:
    """The content of a regular file; StoreError if it has more than `limit` bytes."""
    with BufferedFile(path, roots) as file:
        if (size := os.fstat(file.fileno()).st_size) > limit:
            raise StoreError(f"{path} has {size:,} bytes, and at most {limit:,} are read; it is no file of this kind")
        return file.read(size)  # not `limit`, for which memory would be taken at once


class PinnedFolder:
    """A folder inside the roots that is held open. `path` leads to it, whatever happens to the folders above it.

    It may be used in processes that are forked from this one.
    """

    def __init__(self, folder: Path, roots: Roots) -> None:
        self.folder, self._shown = folder, str(folder)
        self._descriptor = open_folder(folder, roots)
        finalize(self, os.close, self._descriptor)
        # without /proc, the check itself remains
        is_shown = Path(OPEN_FILES).exists()
        self.path = Path(OPEN_FILES, str(self._descriptor)) if is_shown else Path(os.path.realpath(folder))

    def open_beneath(self, relative: str) -> int:
        """Open a regular file in the folder or in folders below, as the function of this name does."""
        return open_beneath(self._descriptor, relative, f"{self._shown}/{relative}")

    def check(self) -> None:
        """Refuse to go on if the folder was moved away, or something else was put in its place.

        Raises:
            StoreNotFound: the folder's path does not lead here any more.
        """
        try:
            is_here = os.path.samestat(self.folder.stat(), os.fstat(self._descriptor))
        except OSError:
            is_here = False
        if not is_here:
            raise StoreNotFound(f"{self.folder} was moved, removed or replaced while a job used it; put it back")

    @contextmanager
    def named(self) -> Iterator[None]:
        """Name the folder as the user does in errors that are raised within."""
        try:
            yield
        except StoreError as error:
            if str(self.path) not in str(error):
                raise
            renamed = type(error)(str(error).replace(str(self.path), str(self.folder)))
            raise renamed from error


@contextmanager
def pinned(path: Path, roots: Roots) -> Iterator[Path]:
    """The path of an output for use within: in its folder as it is now, whatever happens to the folders above. The name
    itself may be anything; whoever opens it must not follow a link."""
    if not roots:
        yield path
        return
    folder = PinnedFolder(path.parent, roots)
    with folder.named():
        yield folder.path / path.name
