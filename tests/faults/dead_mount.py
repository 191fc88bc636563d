"""A mount that stops answering, as one of NFS does whose server is gone: every call on its files waits.

A process of its own serves a folder, read only, through the kernel's FUSE protocol, and is stopped by a signal. This needs
no library, but /dev/fuse and the right to mount.

    https://www.kernel.org/doc/html/latest/filesystems/fuse.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE, _FLUSH = 1, 2, 3, 14, 15, 18, 25
_INIT, _OPENDIR, _READDIR, _RELEASEDIR, _BATCH_FORGET = 26, 27, 28, 29, 42
_MNT_DETACH = 2
_VALID_S = 0
"""Seconds for which the kernel may keep what it knows of a file; then it asks again."""


class DeadMount:
    """A mounted folder that can be stopped and continued."""

    def __init__(self, folder: Path, server: subprocess.Popen[str]) -> None:
        self.folder, self._server = folder, server

    def stop(self) -> None:
        """From now on, no call on a file returns."""
        self._server.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again, also the calls that wait."""
        self._server.send_signal(signal.SIGCONT)


@contextmanager
def mounted(source: Path, folder: Path, *, flushes: bool = False) -> Iterator[DeadMount]:
    """Serve what is in `source` at `folder`; PermissionError if this user may not mount.

    With `flushes`, the kernel asks when a file is closed. So a process that was killed does not end while the mount is dead.

    At the end, calls that still wait fail.
    """
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-S", __file__, str(source), str(folder), *(["flushes"] if flushes else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            if (said := server.stdout.readline().strip()) != "ready":
                raise PermissionError(said)
            yield DeadMount(folder, server)
        finally:
            server.kill()
            ctypes.CDLL(None).umount2(os.fsencode(folder), _MNT_DETACH)


class _Server:
    """Answers the requests of the kernel, one after the other."""

    def __init__(self, device: int, source: Path, *, flushes: bool) -> None:
        self._device, self._flushes = device, flushes
        self._paths = {1: source}
        self._ids = {source: 1}

    def serve(self) -> None:
        while True:
            with suppress(InterruptedError):
                request = os.read(self._device, 1 << 20)
                _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
                if opcode in (_FORGET, _BATCH_FORGET):
                    continue
                try:
                    answer, failed = self._answer(opcode, node, request[40:]), 0
                except OSError as error:
                    answer, failed = b"", -(error.errno or errno.EIO)
                with suppress(FileNotFoundError):  # whoever asked was killed
                    os.write(self._device, struct.pack("<IiQ", 16 + len(answer), failed, unique) + answer)

    def _answer(self, opcode: int, node: int, body: bytes) -> bytes:
        if opcode == _INIT:
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, 1 << 17, 0, 12, 9, 1 << 17, 1, 32, 0, 0, *(0,) * 7)
        path = self._paths[node]
        if opcode == _LOOKUP:
            below = path / os.fsdecode(body.rstrip(b"\0"))
            attributes = self._attributes(below)
            return struct.pack("<QQQQII", self._id(below), 0, _VALID_S, _VALID_S, 0, 0) + attributes
        if opcode == _GETATTR:
            return struct.pack("<QII", _VALID_S, 0, 0) + self._attributes(path)
        if opcode in (_OPEN, _OPENDIR):
            return struct.pack("<QII", 0, 0, 0)
        if opcode == _READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            with path.open("rb") as file:
                return os.pread(file.fileno(), size, offset)
        if opcode == _FLUSH and not self._flushes:
            raise OSError(errno.ENOSYS, "")  # the kernel does not ask again
        if opcode in (_READDIR, _RELEASE, _RELEASEDIR, _FLUSH):
            return b""
        raise OSError(errno.ENOSYS, "")

    def _id(self, path: Path) -> int:
        number = self._ids.setdefault(path, len(self._ids) + 1)
        self._paths[number] = path
        return number

    def _attributes(self, path: Path) -> bytes:
        found = path.stat()
        times = [int(found.st_atime), int(found.st_mtime), int(found.st_ctime)]
        nanoseconds = [found.st_atime_ns % 10**9, found.st_mtime_ns % 10**9, found.st_ctime_ns % 10**9]
        sizes = [self._id(path), found.st_size, -(-found.st_size // 512)]
        return struct.pack("<6Q10I", *sizes, *times, *nanoseconds, found.st_mode, 1, 0, 0, 0, 4096, 0)


def _main(source: str, folder: str, *flushes: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"dead", os.fsencode(folder), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    _Server(device, Path(source), flushes=bool(flushes)).serve()


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except OSError as error:  # no device, or the folder is no longer mounted
        sys.stdout.write(f"{error.strerror}\n")
