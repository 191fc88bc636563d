"""Server, workers and Flower on this machine, started and stopped as one.

    start   server ─► workers (side by side), Flower ─► worker for interactive jobs
    stop    Flower ─► workers (warm: they finish what they run) ─► server

The stack listens on loopback only, for laptops, demonstrations and tests. The server stops last, so that tasks which are
just finishing can store their results.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from lepton_celery.errors import InputError
from lepton_celery.jobs.local_stack import STACK_FILE, StackInfo
from lepton_celery.ledger.processes import process_started
from lepton_celery.local.flower_command import MISSING, flower_command
from lepton_celery.local.guard import Guard
from lepton_celery.local.process import ManagedProcess, StackError
from lepton_celery.local.running import claim, write_running
from lepton_celery.local.server import RedisServer, start_on_free_port
from lepton_celery.local.signals import end_on_signals, held_signals
from lepton_celery.local.worker_command import (
    CELERY_OVERRIDES,
    ONE_THREAD,
    STANDALONE_APP,
    WORKER_OPTIONS,
    app_module,
)
from lepton_celery.priority import queue_of
from lepton_celery.text import masked

START_TIMEOUT_S = 120.0
"""Seconds in which all processes must be ready."""

WARM_TIMEOUT_S = 12.0
"""Seconds in which running tasks may finish when the stack stops. After that the workers are killed, and their work is done
again by other workers. Celery itself sometimes takes up to 30 s to stop while messages arrive."""

_FLOWER_STOP_S = 3.0

_LOOK_S = 0.05
"""Seconds between two looks at the processes that are to end."""

_OPTIONS = ("--loglevel", "INFO", *WORKER_OPTIONS)


@dataclass(frozen=True)
class Project:
    """The application that the workers and Flower run, and its settings, environment and folder."""

    app: str = ""
    """The module of the Celery application. Empty: see `app_module`."""
    settings: str = "local"
    """The name of the settings module, for an application that reads `LEPTON_SETTINGS`; empty to set none."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the processes, in addition to those of this process."""
    cwd: Path = field(default_factory=Path.cwd)
    """The folder in which the processes run, and from which they import `app`."""
    queues: tuple[str, ...] = ()
    """The queues that workers serve; empty for those of the application."""


class LocalStack:
    """A server, worker processes and Flower that live as long as the `with` block.

        with LocalStack(Path(".lepton"), workers=2) as stack:
            print(stack.describe())
            stack.wait()

    Ctrl-C ends the block, and the workers finish what they run; another Ctrl-C kills them. If this process is killed, all
    processes that it started end within seconds.
    """

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 2,
        concurrency: int = 1,
        autoscale: tuple[int, int] | None = None,
        interactive: bool = False,
        flower: bool = True,
        broker_url: str | None = None,
        project: Project | None = None,
    ) -> None:
        """Configure a stack, without starting it.

        Args:
            directory: folder of the stack's state: `logs/`, the server's data in `valkey/`, `stack.json` while it runs.
            workers: number of worker processes.
            concurrency: number of pool processes of each worker.
            autoscale: fewest and most pool processes of a worker, in either order, instead of `concurrency`.
            interactive: whether one more worker, of one process, serves only interactive jobs, so that these wait for no
                block of other jobs. It takes a second longer than the others to be ready, and `start` does not wait for it.
            flower: whether to run Flower, if it is installed.
            broker_url: the broker to use; None to start a server.
            project: the application that the workers run; None for that of this folder.
        """
        if workers < 0 or concurrency < 1:
            raise InputError(
                f"workers={workers}, concurrency={concurrency} is not possible; "
                "give 0 or more workers of 1 or more processes each"
            )
        if autoscale is not None and (min(autoscale) < 0 or max(autoscale) < 1):
            raise InputError(
                f"autoscale={autoscale} is not possible; give the fewest and the most processes, like (1, 4)"
            )
        self.directory = directory.absolute()
        self.logs = self.directory / "logs"
        """Folder of the log files: server.log, worker-1.log, ..., interactive.log, flower.log."""
        self._worker_count, self._has_interactive = workers, interactive
        self._pool_options = (
            ["-c", str(concurrency)] if autoscale is None else [f"--autoscale={max(autoscale)},{min(autoscale)}"]
        )
        self._misses_flower = flower and find_spec("flower") is None
        self._runs_flower = flower and not self._misses_flower
        self._given_broker_url = broker_url
        self._project = project or Project()
        self._app = self._project.app or app_module(self._project.cwd)
        self._settings = self._project.settings if self._app != STANDALONE_APP else ""
        self._guard = Guard()
        self._lock: int | None = None
        self._server: RedisServer | None = None
        self._workers: list[ManagedProcess] = []
        self._flower: ManagedProcess | None = None
        self.flower_url: str | None = None
        """URL of Flower; None if Flower does not run."""

    @property
    def broker_url(self) -> str:
        """The broker's URL with its password.

        Raises:
            StackError: the stack does not run, and `broker_url` was not given.
        """
        if self._given_broker_url is not None:
            return self._given_broker_url
        if self._server is None:
            raise StackError(f"the stack on {self.directory} does not run, so it has no broker; start it first")
        return self._server.url

    @property
    def processes(self) -> list[ManagedProcess]:
        """The processes of the stack, in the order of their start."""
        server = self._server.process if self._server else None
        return [process for process in (server, *self._workers, self._flower) if process is not None]

    @property
    def info(self) -> StackInfo:
        """The description of the stack for other processes, as `read_running` returns it."""
        return StackInfo(
            pid=os.getpid(),
            started=process_started(os.getpid()) or "",
            broker_url=self.broker_url,
            flower_url=self.flower_url,
            app=self._app,
            settings=self._settings,
            processes={process.name: process.pid for process in self.processes if process.pid is not None},
        )

    def describe(self) -> str:
        """A text for the user: addresses without passwords, processes, logs."""
        lines = [f"broker      {masked(self.broker_url)}"]
        if self.flower_url:
            lines.append(f"flower      {self.flower_url}")
        if self._misses_flower:
            lines.append(f"flower      {MISSING}")
        lines += [f"{process.name:<11} pid {process.pid}, log {process.log}" for process in self.processes]
        return "\n".join(lines)

    def start(self) -> None:
        """Start all processes and return when they are ready; if one fails, all are stopped again.

        Call it from a thread that lives as long as the stack.

        Raises:
            StackError: a stack runs on the folder already, or a process does not get ready.
            BrokerUnreachable: there is no server to start.
        """
        if self._lock is not None:
            raise StackError(f"this stack on {self.directory} runs already; stop it before you start it again")
        self._lock = claim(self.directory)
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            if self._given_broker_url is None:
                self._server = RedisServer(self.directory / "valkey", log=self.logs / "server.log", guard=self._guard)
                self._server.start()
            queues = ["-Q", ",".join(self._project.queues)] if self._project.queues else []
            options = [*self._pool_options, *queues, *_OPTIONS]
            for number in range(1, self._worker_count + 1):
                self._workers.append(self._celery(f"worker-{number}", "worker", "-n", f"lepton{number}@%h", *options))
                self._workers[-1].start()
            if self._runs_flower:
                start_on_free_port(self._make_flower, ready="Visit me at", timeout_s=_remaining(deadline))
            for number, worker in enumerate(self._workers, 1):
                worker.wait_for_line(rf"\blepton{number}@\S+ ready\.", _remaining(deadline))
            if self._has_interactive:  # it would delay the others if it started beside them
                only = ["-n", "interactive@%h", "-Q", queue_of("interactive"), "-c", "1"]
                self._workers.append(self._celery("interactive", "worker", *only, *_OPTIONS))
                self._workers[-1].start()
            write_running(self.directory, self.info)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop Flower, then the workers when they have finished what they run, then the server.

        A signal meanwhile, such as that of another Ctrl-C, kills the processes that still run.
        """
        clients = [process for process in (self._flower, *self._workers) if process is not None]
        with held_signals() as received:  # no signal may leave a server behind, also if several come at once
            try:
                for process in clients:
                    process.terminate()
                began = time.monotonic()
                limits = {process: _FLOWER_STOP_S if process is self._flower else WARM_TIMEOUT_S for process in clients}
                while not received and any(
                    process.is_running and time.monotonic() < began + limit_s for process, limit_s in limits.items()
                ):
                    time.sleep(_LOOK_S)
            finally:
                self._end(clients)

    def kill(self) -> None:
        """Stop at once, in the middle of what runs. It is for tests: a warm stop takes two seconds."""
        for process in self.processes:
            process.kill()
        self.stop()

    def _end(self, clients: Sequence[ManagedProcess]) -> None:
        """Kill what still runs, stop the server, and leave the folder to the next stack."""
        for process in clients:
            process.kill()
        if self._server is not None:
            self._server.stop()
        self._server, self._workers, self._flower = None, [], None
        self.flower_url = None
        self._guard.close()
        if self._lock is not None:
            (self.directory / STACK_FILE).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def wait(self, timeout_s: float | None = None) -> ManagedProcess | None:
        """Wait until a process of the stack ends, and return it; None if all still run after `timeout_s`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while deadline is None or time.monotonic() < deadline:
            for process in self.processes:
                if not process.is_running:
                    return process
            time.sleep(0.1)
        return None

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGHUP raise SystemExit, so that they end the `with` block as Ctrl-C does.

        This changes the signal handlers of the whole process: it is for programs that do nothing but run a stack.
        """
        end_on_signals()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _celery(self, name: str, *arguments: str) -> ManagedProcess:
        inherited = {variable: value for variable, value in os.environ.items() if variable not in CELERY_OVERRIDES}
        settings = {"LEPTON_SETTINGS": self._settings} if self._settings else {}
        own = {"LEPTON_BROKER_URL": self.broker_url, "PYTHONUNBUFFERED": "1"}
        return ManagedProcess(
            name,
            [sys.executable, "-m", "celery", "-A", self._app, *arguments],
            log=self.logs / f"{name}.log",
            guard=self._guard,
            env={**inherited, **settings, **own, **ONE_THREAD, **self._project.env},
            cwd=self._project.cwd.absolute(),
        )

    def _make_flower(self, port: int) -> ManagedProcess:
        command = flower_command(self._app, address="127.0.0.1", port=port, folder=self._project.cwd)
        self._flower = self._celery("flower", *command[2:])
        self.flower_url = f"http://127.0.0.1:{port}"
        return self._flower


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
