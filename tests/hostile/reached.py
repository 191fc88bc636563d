"""What a piece of code reaches outside its process: files, addresses and programs, as the interpreter's audit tells."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_EVENTS = (
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "pickle.find_class",
)
_CODE = tuple({sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), "/proc", "/sys"})
"""Where code is, which is imported when it is needed."""

_watches: dict[int, tuple[str, list[str]]] = {}
"""Of each thread that watches: what it may open, and what else was reached."""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    watch = _watches.get(threading.get_ident())
    if watch is None:
        return
    if event in _EVENTS:
        watch[1].append(f"{event} {arguments!r:.200}")
    elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        path = os.fsdecode(arguments[0])
        if path != watch[0] and not path.startswith(_CODE):
            watch[1].append(f"open {path}")


sys.addaudithook(_audit)  # it cannot be removed


@contextmanager
def reached(allowed: Path) -> Iterator[list[str]]:
    """What this thread reaches in the `with` block beside a file and code."""
    found: list[str] = []
    _watches[threading.get_ident()] = (str(allowed), found)
    try:
        yield found
    finally:
        del _watches[threading.get_ident()]
