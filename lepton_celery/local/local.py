"""Server, workers and Flower on this machine, started and stopped as one thing.

    start   server ─► workers (side by side) ─► Flower
    stop    Flower ─► workers (warm: they finish what they run) ─► server

Loopback only, for laptops, demos and tests. The order of the stop is the point: a broker that goes first takes the
results of the tasks that are finishing with it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from lepton_celery.errors import InputError
from lepton_celery.jobs.local_stack import StackInfo
from lepton_celery.ledger.address import masked
from lepton_celery.ledger.processes import process_started
from lepton_celery.local.guard import Guard
from lepton_celery.local.process import ManagedProcess, StackError
from lepton_celery.local.running import claim, remove_running, write_running
from lepton_celery.local.server import RedisServer, free_port

_FLOWER_STOP_S = 3.0
_FLOWER_PORT_ATTEMPTS = 3
_CELERY_OVERRIDES = frozenset(
    {"CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"}
)
"""Celery obeys these before any setting, so inherited ones would send the workers to another broker than ours."""


OWN_APP = "workers.app"
"""A project's own entry point, with its settings beside it."""

STANDALONE_APP = "lepton_celery.engines.celery.standalone"
"""For folders without one."""


def _has_own_workers(cwd: Path) -> bool:
    """Whether children started in `cwd` can import the project's entry point."""
    return (cwd / "workers" / "app.py").exists() or find_spec("workers") is not None


class LocalStack:
    """A server, worker processes and Flower that live as long as the `with` block.

        with LocalStack(Path(".lepton"), workers=2) as stack:
            print(stack.describe())
            stack.wait()

    Ctrl-C ends the block in order; Ctrl-C once more, while the workers finish, kills them. Should this process be
    killed itself, everything it started ends within seconds.
    """

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 2,
        concurrency: int = 1,
        autoscale: tuple[int, int] | None = None,
        flower: bool = True,
        settings: str = "local",
        broker_url: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        app: str | None = None,
        flower_config: Path | None = None,
        flower_port: int | None = None,
        start_timeout_s: float = 120.0,
        warm_timeout_s: float = 12.0,
    ) -> None:
        """`directory` holds the stack's state: `logs/`, the server's data in `valkey/`, `stack.json` while it runs.

        workers, concurrency: worker processes, and pool processes in each.
        autoscale: fewest and most pool processes of a worker, in either order, instead of `concurrency`.
        broker_url: use this broker and start no server.
        env: added to the children's environment, last.
        cwd: where the children run, and import `app` from; the current folder unless given.
        flower_config: the project's `settings/flower.py` unless given.
        flower_port: a free one unless given.
        app: module of the Celery application; the project's `workers.app` where there is one, else one that takes its
            settings from the environment alone.
        start_timeout_s: for all of it together.
        warm_timeout_s: what running tasks get to finish in when the stack stops; then workers are killed, and what they
            worked on is done again by others. Celery takes up to 30 s now and then when messages come in as it stops.
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
        self._workers_wanted = workers
        self._concurrency = concurrency
        self._autoscale = autoscale
        self._env = dict(env or {})
        self._cwd = (cwd or Path.cwd()).absolute()
        own = _has_own_workers(self._cwd)
        self._app = app or (OWN_APP if own else STANDALONE_APP)
        self._settings = settings if app or own else ""
        self._flower_wanted = flower
        self._flower_config = flower_config
        self._flower_port_wanted = flower_port
        self._start_timeout_s = start_timeout_s
        self._warm_timeout_s = warm_timeout_s
        self._explicit_broker_url = broker_url
        self._guard = Guard()
        self._lock: int | None = None
        self._server: RedisServer | None = None
        self._workers: list[ManagedProcess] = []
        self._flower: ManagedProcess | None = None
        self._flower_port = 0

    @property
    def logs(self) -> Path:
        """Folder of the log files: server.log, worker-1.log, ..., flower.log."""
        return self.directory / "logs"

    @property
    def broker_url(self) -> str:
        """Where the workers connect to, with the password. Raises StackError when there is none yet."""
        if self._explicit_broker_url is not None:
            return self._explicit_broker_url
        if self._server is None:
            raise StackError(f"the stack on {self.directory} does not run, so it has no broker; start it first")
        return self._server.url

    @property
    def flower_url(self) -> str | None:
        """Flower's page; None when it does not run."""
        return f"http://127.0.0.1:{self._flower_port}" if self._flower else None

    @property
    def processes(self) -> list[ManagedProcess]:
        """What was started, in that order."""
        server = self._server.process if self._server else None
        return [process for process in (server, *self._workers, self._flower) if process is not None]

    @property
    def info(self) -> StackInfo:
        """What `read_running` gives to other processes."""
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
        """The running stack for a person: addresses without passwords, processes, logs."""
        lines = [f"broker    {masked(self.broker_url)}"]
        if self.flower_url:
            lines.append(f"flower    {self.flower_url}")
        lines += [f"{process.name:<9} pid {process.pid}, log {process.log}" for process in self.processes]
        return "\n".join(lines)

    def start(self) -> None:
        """Start everything and return when all of it is ready; when one part fails, nothing stays.

        Start it from a thread that lives as long as the stack.
        Raises StackError when a stack runs on the folder already or when a process does not get ready, with the last
        lines of its log; BrokerUnreachable when there is no server to start.
        """
        if self._lock is not None:
            raise StackError(f"this stack on {self.directory} runs already; stop it before you start it again")
        self._lock = claim(self.directory)
        try:
            deadline = time.monotonic() + self._start_timeout_s
            if self._explicit_broker_url is None:
                self._server = RedisServer(self.directory / "valkey", log=self.logs / "server.log", guard=self._guard)
                self._server.start()
            self._start_workers()
            if self._flower_wanted:
                self._start_flower()
            for number, worker in enumerate(self._workers, 1):
                worker.wait_for_line(rf"\blepton{number}@\S+ ready\.", _remaining(deadline))
            self._wait_for_flower(deadline)
            write_running(self.directory, self.info)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop Flower, then the workers when they have finished what they run, then the server.

        Does nothing when nothing runs. Any exception on the way (Ctrl-C once more) kills what is left.
        """
        try:
            # told in order, then waited for together: Flower takes a second, the workers at least as long
            if self._flower is not None:
                self._flower.terminate()
            for worker in self._workers:
                worker.terminate()
            deadline = time.monotonic() + self._warm_timeout_s
            if self._flower is not None:
                self._flower.stop(_FLOWER_STOP_S)
            for worker in self._workers:
                worker.stop(_remaining(deadline))
            if self._server is not None:
                self._server.stop()
        finally:
            for process in reversed(self.processes):
                process.kill()
            if self._server is not None:
                self._server.stop()
            self._server, self._workers, self._flower = None, [], None
            self._guard.close()
            if self._lock is not None:
                remove_running(self.directory)
                os.close(self._lock)
                self._lock = None

    def wait(self, timeout_s: float | None = None) -> ManagedProcess | None:
        """Return the first process of the stack that ended by itself; None when the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while deadline is None or time.monotonic() < deadline:
            for process in self.processes:
                if not process.is_running:
                    return process
            time.sleep(0.1)
        return None

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGHUP end this process as Ctrl-C does: by an exception, so that the `with` block stops.

        Changes the handlers of the whole process, so only a program whose only business is the stack should call it.
        """

        def leave(number: int, frame: FrameType | None) -> NoReturn:
            raise SystemExit(128 + number)

        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP on purpose
                signal.signal(number, leave)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _child_env(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in _CELERY_OVERRIDES}
        return {
            **inherited,
            **({"LEPTON_SETTINGS": self._settings} if self._settings else {}),
            "LEPTON_BROKER_URL": self.broker_url,
            # the pool processes are the parallelism; threads inside each would fight for the same cores
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            **self._env,
        }

    def _celery(self, name: str, *arguments: str) -> ManagedProcess:
        return ManagedProcess(
            name,
            [sys.executable, "-m", "celery", "-A", self._app, *arguments],
            log=self.logs / f"{name}.log",
            guard=self._guard,
            env=self._child_env(),
            cwd=self._cwd,
        )

    def _start_workers(self) -> None:
        if self._autoscale is None:
            size = ["-c", str(self._concurrency)]
        else:
            size = [f"--autoscale={max(self._autoscale)},{min(self._autoscale)}"]
        for number in range(1, self._workers_wanted + 1):
            worker = self._celery(
                f"worker-{number}",
                *("worker", "-n", f"lepton{number}@%h", *size),
                # alone on their broker they have nobody to ask: mingling costs a second of start-up
                *("--loglevel", "INFO", "--without-mingle", "--without-gossip"),
            )
            self._workers.append(worker)
            worker.start()

    def _start_flower(self) -> None:
        self._flower_port = self._flower_port_wanted or free_port()
        arguments = ["flower", "--address=127.0.0.1", f"--port={self._flower_port}"]
        config = self._flower_config or _default_flower_config()
        if config is not None:
            arguments.append(f"--conf={config.absolute()}")
        self._flower = self._celery("flower", *arguments)
        self._flower.start()

    def _wait_for_flower(self, deadline: float) -> None:
        for attempt in range(1, _FLOWER_PORT_ATTEMPTS + 1):
            if self._flower is None:
                return
            try:
                self._flower.wait_for_line("Visit me at", _remaining(deadline))
                return
            except StackError:
                is_taken = "Address already in use" in self._flower.log_tail()
                if not is_taken or self._flower_port_wanted or attempt == _FLOWER_PORT_ATTEMPTS:
                    raise
                self._flower.kill()
                self._start_flower()


def _default_flower_config() -> Path | None:
    try:
        found = find_spec("settings.flower")
    except ModuleNotFoundError:  # a project that has no such package; Flower runs as it comes
        return None
    return Path(found.origin) if found is not None and found.origin else None


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
