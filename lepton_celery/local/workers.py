"""Worker processes that outlive the process that started them: started, found again, told to stop, reaped.

The file `fleet.json` in the state folder lists them with pid and start time, so that the next owner of the folder finds
them. A process that got the number of one that has ended is never taken for it. A worker is listed before it is started,
and found by its name if its owner died before the pid was written.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import psutil

from lepton_celery.errors import InputError
from lepton_celery.ledger.processes import process_started
from lepton_celery.local.process import StackError
from lepton_celery.local.signals import held_signals
from lepton_celery.stores.documents import from_document, to_document, write_atomically

FLEET_FILE = "fleet.json"
"""Name of the file in the state folder."""
_EXEC_S = 1.0
"""Seconds in which a process that is being started has the command line of a worker."""


@dataclass
class FleetWorker:
    """A worker process of the fleet."""

    name: str
    """Its name in Celery."""
    pid: int
    """Its process id; 0 while it is being started."""
    started: str
    """See `process_started`."""
    at: float
    """When it was started, in seconds since the epoch."""
    release: str
    """The version of this package that started it."""
    log: str
    ready: bool = False
    """Whether it has noted in the ledger that it takes work."""
    draining_since: float | None = None
    """When it was told to finish what it runs and stop; None if it was not."""
    fault: str = ""
    """Why it was killed; empty if it was not."""

    @property
    def is_alive(self) -> bool:
        """Whether the process runs. One that has ended and was not waited for does not."""
        return bool(self.pid) and process_started(self.pid) == self.started

    @property
    def is_wanted(self) -> bool:
        """Whether it is to go on working: it was neither told to stop nor killed."""
        return self.draining_since is None and not self.fault

    def processes(self) -> set[int]:
        """Process ids of the worker and its pool."""
        try:
            return {self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True))}
        except psutil.Error:
            return set()

    def log_tail(self, lines: int = 8) -> str:
        """The last lines of its log."""
        with suppress(OSError):
            return "\n".join(Path(self.log).read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        return ""


@dataclass
class FleetRecord:
    """What the owner of a fleet must know again after its own death."""

    workers: list[FleetWorker] = field(default_factory=list)
    started: int = 0
    """Number of workers that were started so far."""
    deaths: list[float] = field(default_factory=list)
    """When workers died that nobody had told to stop, in seconds since the epoch; the last ones."""
    startup_s: float = 5.0
    """Seconds that a worker takes until it takes work, as measured."""


class FleetWorkers:
    """The workers of a state folder."""

    def __init__(
        self, directory: Path, command: Sequence[str], environment: Mapping[str, str], cwd: Path, release: str
    ) -> None:
        """`command` has `{name}` where the name of the worker belongs."""
        self._directory, self._command, self.release = directory, command, release
        self._environment, self._cwd = dict(environment), cwd
        self._folder_id = blake2b(str(directory.absolute()).encode(), digest_size=3).hexdigest()
        self.own = re.compile(rf"fleet-{self._folder_id}-\d+@{re.escape(socket.gethostname())}")
        """The names of the workers of this folder, also of those that have ended."""
        self.record = self._read()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        """The workers that this process started, by pid: it waits for them when they end."""

    @property
    def wanted(self) -> list[FleetWorker]:
        """The workers that are to go on working."""
        return [worker for worker in self.record.workers if worker.is_wanted]

    def start(self) -> FleetWorker:
        """Start a worker.

        Raises:
            StackError: it cannot be executed.
        """
        number = self.record.started + 1
        name = f"fleet-{self._folder_id}-{number}@{socket.gethostname()}"
        log = self._directory / "logs" / f"fleet-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        worker = FleetWorker(name, 0, "", time.time(), self.release, str(log))
        with held_signals():
            self.record.workers.append(worker)
            self.record.started = number
            self.save()  # whoever comes after this process finds the worker by its name
            try:
                process = self._execute([part.replace("{name}", name) for part in self._command], log)
            except StackError:
                self.record.workers.remove(worker)
                self.save()
                raise
            self._children[process.pid] = process
            worker.pid, worker.started = process.pid, process_started(process.pid) or ""
            self.save()
        return worker

    def _execute(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        try:
            with log.open("wb") as output:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    cwd=self._cwd,
                    start_new_session=True,  # neither Ctrl-C nor the end of the terminal reaches it
                )
        except OSError as error:
            raise StackError(f"cannot execute {command[0]!r} in {self._cwd}: {error.strerror}") from error

    def read(self) -> None:
        """Read the file again."""
        self.record = self._read()

    def find_started(self) -> None:
        """Find the workers that were being started when their owner died, by their names; forget those that never were."""
        unknown = {worker.name: worker for worker in self.record.workers if not worker.pid}
        if not unknown:
            return
        deadline = time.monotonic() + _EXEC_S
        while unknown and time.monotonic() < deadline:
            for pid, command in _leaders():
                for name in [name for name in unknown if any(name in word for word in command)]:
                    worker = unknown.pop(name)
                    worker.pid, worker.started = pid, process_started(pid) or ""
            time.sleep(0.05)
        self.record.workers = [worker for worker in self.record.workers if worker.pid]
        self.save()

    def drain(self, worker: FleetWorker) -> None:
        """Tell a worker to finish what it runs and stop. It is told once: a second SIGTERM may interrupt running work."""
        if worker.draining_since is None and worker.pid:
            worker.draining_since = time.time()
            self.save()
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGTERM)

    def kill(self, worker: FleetWorker, fault: str) -> None:
        """End a worker and its pool at once, because of a fault of it."""
        worker.fault = fault
        self.save()
        for pid in worker.processes() if worker.is_alive else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def reap(self) -> list[FleetWorker]:
        """Forget the workers that have ended, and return those that nobody had told to stop, or that were killed."""
        ended = [worker for worker in self.record.workers if not worker.is_alive]
        for worker in ended:
            if (child := self._children.pop(worker.pid, None)) is not None:
                child.wait()
        died = [worker for worker in ended if worker.draining_since is None or worker.fault]
        if ended:
            self.record.workers = [worker for worker in self.record.workers if worker not in ended]
            self.record.deaths = [*self.record.deaths, *(time.time() for _ in died)][-100:]
            self.save()
        return died

    def save(self) -> None:
        """Write the file."""
        text = json.dumps(to_document(self.record), indent=2).encode()
        write_atomically(self._directory / FLEET_FILE, text, mode=0o600)

    def _read(self) -> FleetRecord:
        try:
            document = json.loads((self._directory / FLEET_FILE).read_text(encoding="utf-8"))
            return from_document(document, FleetRecord, FLEET_FILE)
        except (FileNotFoundError, NotADirectoryError):
            return FleetRecord()
        except (ValueError, InputError) as error:
            raise StackError(
                f"{self._directory / FLEET_FILE}, which lists worker processes, cannot be understood ({error}); end those "
                "that run (`pgrep -af fleet-`), and remove the file"
            ) from error


def _leaders() -> Iterator[tuple[int, list[str]]]:
    """The process id and the command of each leader of a session: a worker is one, the processes of its pool are not."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == process.pid:
                yield process.pid, process.cmdline()
