"""A small process, the watchman, that ends the children of an owner that died.

Linux can signal a child when its parent dies (PR_SET_PDEATHSIG), but not that child's own children, and it does so already
when the thread that started the child ends. macOS cannot. So the watchman holds the reading end of a pipe from the owner.
When the owner dies, the pipe closes, and the watchman signals every process group that it watches. It runs this file as a
script without site-packages, which takes 15 ms to start and 8 MB.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_GRACE_S = 3.0
"""Seconds in which a signalled group may end before it is killed."""
_OWNER_CHECK_S = 1.0
"""Seconds between checks of the parent's pid: a process forked from the owner may keep a copy of the pipe open."""


class Guard:
    """Ends process groups if this process dies before they have ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def watch(self, group: int, death_signal: signal.Signals) -> None:
        """Send `death_signal` to a process group when this process dies, and SIGKILL if that does not end it."""
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                )
            self._tell(f"watch {group} {int(death_signal)}\n")

    def unwatch(self, group: int) -> None:
        """Stop watching a group that has ended; the system may give its number to another process."""
        with self._lock:
            self._tell(f"unwatch {group}\n")

    def close(self) -> None:
        """End the watchman, which ends the groups that it still watches."""
        with self._lock:
            if self._process is None:
                return
            self._tell("end\n")
            try:
                self._process.communicate(timeout=_GRACE_S + 2.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _tell(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            return
        with suppress(BrokenPipeError):  # the watchman was killed; on Linux PR_SET_PDEATHSIG remains
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers EPERM for a group of which only zombies are left
        return False
    return True


def _end(groups: dict[int, int]) -> None:
    for group, number in groups.items():
        _signal_group(group, number)
    deadline = time.monotonic() + _GRACE_S
    asked = [group for group, number in groups.items() if number != signal.SIGKILL]
    while time.monotonic() < deadline and any(_signal_group(group, 0) for group in asked):
        time.sleep(0.02)
    for group in groups:
        _signal_group(group, signal.SIGKILL)


def _stand_watch(owner: int) -> None:
    groups: dict[int, int] = {}
    pending = b""
    while True:
        # determined before the pipe is read, because an owner that died since the last read may have written to it
        is_orphan = os.getppid() != owner
        if not select.select([0], [], [], 0 if is_orphan else _OWNER_CHECK_S)[0]:
            if is_orphan:
                break
            continue
        received = os.read(0, 65536)
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            match line.split():
                case [b"watch", group, number]:
                    groups[int(group)] = int(number)
                case [b"unwatch", group]:
                    groups.pop(int(group), None)
        if not received or b"end" in lines:
            break
    _end(groups)


if __name__ == "__main__":
    _stand_watch(int(sys.argv[1]))
