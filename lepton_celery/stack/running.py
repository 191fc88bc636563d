"""Which stack runs on a state folder: how other shells find it, and why there is never a second one."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from lepton_celery.stack.process import StackError

_FILE = "stack.json"
_LOCK = "stack.lock"
_PROC = Path("/proc")  # not on macOS


@dataclass(frozen=True, slots=True)
class StackInfo:
    """What another process needs to know of a running stack."""

    pid: int
    """The process that owns the stack; SIGTERM or SIGINT to it ends the stack if it asked for that."""
    started: str
    """When that process started, in the system's own terms: tells it from a later one of the same pid."""
    broker_url: str = field(repr=False)
    """With its password."""
    flower_url: str | None
    app: str
    """The Celery application module the workers run."""
    settings: str
    """The name of the settings they run with."""
    processes: dict[str, int]
    """Process ids by name: server, worker-1, worker-2, ..., flower."""


def read_running(directory: Path) -> StackInfo | None:
    """The stack that runs on this state folder; None when there is none, or only the file of one that died."""
    try:
        info = StackInfo(**json.loads((directory / _FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    return info if info.started and process_started(info.pid) == info.started else None


def write_running(directory: Path, info: StackInfo) -> None:
    """Let other processes of this user find the stack."""
    draft = directory / f"{_FILE}.{info.pid}"
    draft.unlink(missing_ok=True)
    # O_EXCL with the mode: the broker's password must at no moment be readable by others
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(info), file, indent=2)
    draft.replace(directory / _FILE)


def remove_running(directory: Path) -> None:
    """Take back what `write_running` said."""
    (directory / _FILE).unlink(missing_ok=True)


def claim(directory: Path) -> int:
    """Make this process the only owner of a stack on `directory`, until the returned descriptor is closed or it dies.

    Raises StackError, naming the owner, when there is one already.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        owner = os.pread(lock, 32, 0).decode() or "unknown"
        os.close(lock)
        raise StackError(
            f"a stack runs on {directory} already, owned by process {owner}; stop that one first "
            "(Ctrl-C in its terminal) or give another folder"
        ) from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def process_started(pid: int) -> str | None:
    """When the process started, as a text that two processes of one pid never share; None when it does not live."""
    if _PROC.exists():
        try:
            stat = (_PROC / f"{pid}/stat").read_text(encoding="utf-8", errors="replace")
            boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # proc(5): "pid (name) state ..."; the name may hold anything; field 22 is the start in ticks since boot
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else f"{boot}:{fields[18]}"
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    parts = urlsplit(url)
    if not parts.password:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:**@{host}").geturl()
