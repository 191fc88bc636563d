"""The cluster under test: a server that restarts on its data, and prefork workers that are replaced when they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import psutil
import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from lepton_celery import create_app
from lepton_celery.config import Settings, load_settings
from lepton_celery.ledger import open_ledger
from lepton_celery.local.guard import Guard
from lepton_celery.local.process import ManagedProcess
from lepton_celery.local.server import RedisServer, find_binary
from tests.chaos.proxy import Proxy

_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
"""The library of Debian's package `faketime`."""

CLOCK_IS_FAKED = _FAKETIME.exists()
"""Whether the server's clock can be changed on this machine."""

_START_S = 180.0
_DISK_BYTES = 4 << 30


class Disk:
    """A file system in memory for outputs, which can be made full."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def mount(cls, path: Path) -> Disk | None:
        """Mount a file system at `path`; None where that is not permitted."""
        path.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(path)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return cls(path)

    def fill(self) -> None:
        """Shrink the file system to its contents."""
        while True:
            found = os.statvfs(self.path)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            try:
                self._resize(used)
            except subprocess.CalledProcessError:
                continue  # more was written meanwhile, and it cannot be smaller than its contents
            return

    def make_room(self) -> None:
        """Restore the size of the file system."""
        self._resize(_DISK_BYTES)

    def unmount(self) -> None:
        """Unmount the file system, which deletes its files."""
        subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def _resize(self, size: int) -> None:
        subprocess.run(
            ["mount", "-o", f"remount,size={max(size, 4096)}", str(self.path)], check=True, capture_output=True
        )


class Worker:
    """A prefork worker, which `Cluster.revive` replaces when it has ended."""

    def __init__(self, process: ManagedProcess, number: int) -> None:
        self.process = process
        self.number = number
        self.frozen = False

    @property
    def name(self) -> str:
        return f"chaos{self.number}@{os.uname().nodename}"

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def is_ready(self) -> bool:
        """Whether the worker runs and has logged that it is ready."""
        return self.process.is_running and " ready." in self.process.log.read_text(errors="replace")

    def children(self) -> list[int]:
        """The processes of the worker's pool."""
        try:
            return sorted(child.pid for child in psutil.Process(self.pid).children())
        except psutil.NoSuchProcess:
            return []

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


class Cluster:
    """A server and workers that live as long as the `with` block."""

    def __init__(
        self,
        directory: Path,
        *,
        workers: int,
        concurrency: int,
        settings: str,
        fake_clock: bool = False,
        proxy: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`settings` names a module of `settings/`; an empty string means the package's defaults."""
        self.directory = directory
        self._wanted = workers
        self._concurrency = concurrency
        self._settings_name = settings
        self.alive = directory / "alive"
        """The file that workers touch with each sweep."""
        self._environment = {"LEPTON_ALIVE_FILE": str(self.alive), **(environment or {})}
        self._guard = Guard()
        self._server = RedisServer(directory / "server", guard=self._guard)
        self._process: ManagedProcess | None = None
        self._starts = 0
        self.workers: list[Worker] = []
        self.foreign: Worker | None = None
        """A worker of another release."""
        self.proxy: Proxy | None = None
        """What lies between the workers and the server; None if nothing does."""
        self._has_proxy = proxy
        self.clock_offset = directory / "clock" if fake_clock and CLOCK_IS_FAKED else None
        """The file with the offset of the server's clock in seconds; None if the clock is the real one."""

    def __enter__(self) -> Self:
        try:
            # the first start writes configuration, password and port, which `_start_server` uses from then on
            self._server.start()
            self.url = self._server.url
            self.broker: Any = redis.Redis.from_url(
                self.url, decode_responses=True, retry=Retry(NoBackoff(), 0), socket_timeout=5
            )
            assert self._server.process is not None
            self._server.process.kill()
            self._start_server()
            if self._has_proxy:
                self.proxy = Proxy(urlsplit(self.url).port or 0).__enter__()
            self.settings: Settings = load_settings(self._variables())
            self.app: Celery = create_app(self.settings)
            self.ledger = open_ledger(self.settings.ledger)
            self.start_workers(self._wanted)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes at once."""
        self.end_foreign()
        for worker in self.workers:
            worker.process.kill()
        if self.proxy is not None:
            self.proxy.__exit__(None, None, None)
        if self._process is not None:
            self._process.kill()
        self._server.stop()
        self._guard.close()

    def start_workers(self, count: int) -> None:
        """Start `count` more workers, and wait until all workers take work."""
        for _ in range(count):
            self.workers.append(self._start_worker(len(self.workers) + 1))
        self.until_ready()

    def until_ready(self) -> None:
        """Wait until all workers take work; replace those that end."""
        deadline = time.monotonic() + _START_S
        while not all(worker.is_ready for worker in self.workers):
            self.revive()
            if time.monotonic() > deadline:
                raise TimeoutError("\n".join(worker.process.log_tail() for worker in self.workers))
            time.sleep(0.05)

    def revive(self) -> None:
        """Replace each worker that has ended."""
        for at, worker in enumerate(self.workers):
            if not worker.process.is_running:
                worker.process.kill()  # any child that outlived it
                self.workers[at] = self._start_worker(worker.number)

    def start_foreign(self) -> None:
        """Start a worker of another release."""
        self.foreign = self._start_worker(0, "tests.faults.other_release")

    def end_foreign(self) -> None:
        """End the worker of another release."""
        if self.foreign is not None:
            self.foreign.process.kill()
            self.foreign = None

    def kill_server(self, down_s: float) -> None:
        """Kill the server, and start it again on its data after `down_s` seconds."""
        assert self._process is not None
        self._process.kill()
        time.sleep(down_s)
        self._start_server()

    def log_files(self) -> list[Path]:
        return sorted(self.directory.glob("logs/*.log"))

    def submitter(self, arguments: list[str]) -> subprocess.Popen[str]:
        """Start a process that submits a job when it reads a line."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.jobs", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **self._variables()},
        )

    def _variables(self) -> dict[str, str]:
        return {
            **({"LEPTON_SETTINGS": self._settings_name} if self._settings_name else {}),
            "LEPTON_BROKER_URL": self.url,
            **self._environment,
        }

    def _start_server(self) -> None:
        self._starts += 1
        environment = dict(os.environ)
        if self.clock_offset is not None:
            if not self.clock_offset.exists():
                self.clock_offset.write_text("+0\n")
            environment |= {
                "LD_PRELOAD": str(_FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(self.clock_offset),
                "FAKETIME_CACHE_DURATION": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        self._process = ManagedProcess(
            "server",
            [str(find_binary()), "server.conf"],
            log=self.directory / "logs" / f"server.{self._starts}.log",
            guard=self._guard,
            env=environment,
            cwd=self._server.directory,
        )
        self._process.start()
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.broker.ping()
                return
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @property
    def worker_url(self) -> str:
        """The server as workers know it."""
        if self.proxy is None:
            return self.url
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{self.proxy.port}")).geturl()

    def _start_worker(self, number: int, application: str = "workers.app") -> Worker:
        self._starts += 1
        process = ManagedProcess(
            f"worker-{number}",
            [
                *(sys.executable, "-m", "celery", "-A", application, "worker", "-n", f"chaos{number}@%h"),
                *("-c", str(self._concurrency), "--loglevel", "INFO", "--without-mingle", "--without-gossip"),
            ],
            log=self.directory / "logs" / f"worker-{number}.{self._starts}.log",
            guard=self._guard,
            env={
                **os.environ,
                **self._variables(),
                "LEPTON_BROKER_URL": self.worker_url,
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "PYTHONUNBUFFERED": "1",
            },
        )
        process.start()
        return Worker(process, number)
