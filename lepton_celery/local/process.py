"""Child processes that end at the latest when this process dies."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from lepton_celery.errors import LeptonError
from lepton_celery.local.guard import Guard
from lepton_celery.local.signals import held_signals

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StackError(LeptonError, RuntimeError):
    """A process of the local stack cannot be started, or the stack is running already."""


@dataclass(eq=False, repr=False)
class ManagedProcess:
    """A child process that cannot outlive its owner.

    It has a session of its own, so Ctrl-C in a terminal reaches the owner only, which then ends its children in order. The
    log of the previous run is renamed to `<log>.1`.

        worker = ManagedProcess("worker-1", argv, log=Path("worker-1.log"), guard=guard)
        worker.start()
        worker.wait_for_line(r"ready\\.", timeout_s=30)
        worker.stop(timeout_s=30)
    """

    name: str
    """The name of the process in messages."""
    argv: Sequence[str]
    """The program and its arguments."""
    _: KW_ONLY
    log: Path
    """File that receives standard output and standard error."""
    guard: Guard
    """Ends the process if this one dies."""
    env: Mapping[str, str] | None = None
    """The whole environment; None for this process's."""
    cwd: Path | None = None
    """The folder to run in; None for this process's."""
    death_signal: signal.Signals = signal.SIGKILL
    """The signal that the child gets when this process dies."""
    pass_fds: Sequence[int] = ()
    """File descriptors that the child inherits."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _was_told_to_end: bool = field(default=False, init=False)
    _is_gone: bool = field(default=False, init=False)

    @property
    def pid(self) -> int | None:
        """Process id, also the id of its process group; None before `start`."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the child, without waiting until it is ready: see `wait_for_line`.

        Raises:
            StackError: there is no such program, or it cannot be executed.
        """
        if self._process is not None:
            raise StackError(f"{self.name} was started before, as process {self.pid}; create a new one to start again")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        with held_signals(), self.log.open("ab") as log, warnings.catch_warnings():
            # Python 3.12 deprecates forking while there are threads, such as NumPy's; `preexec_fn` only makes a system call
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            try:
                self._process = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self.env,
                    cwd=self.cwd,
                    start_new_session=True,
                    pass_fds=self.pass_fds,
                    preexec_fn=_die_with_parent(self.death_signal),
                )
            except OSError as error:
                raise StackError(
                    f"{self.name}: cannot execute {self.argv[0]!r} in {self.cwd or Path.cwd()}: {error.strerror}; "
                    "check that the program and the folder exist and are for this machine"
                ) from error
            self.guard.watch(self._process.pid, self.death_signal)

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs or was never started."""
        return self._process.poll() if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self.poll() is None

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log; empty when there is none."""
        with suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        return ""

    def wait_for_line(self, pattern: str, timeout_s: float) -> None:
        """Return when a line of the log matches the regular expression.

        Raises:
            StackError: the process ends first, or the time is up; the message has the log's last lines.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            # determined before the log is read, so that a line just before the end counts
            has_ended = not self.is_running
            if re.search(pattern, self.log.read_text(encoding="utf-8", errors="replace")):
                return
            if has_ended or time.monotonic() >= deadline:
                fate = f"was not ready after {timeout_s:.3g} s"
                if has_ended:
                    fate = f"ended with code {self.poll()} before it was ready"
                raise StackError(f"{self.name} {fate}; fix what the last lines of {self.log} say:\n{self.log_tail()}")
            time.sleep(0.01)

    def terminate(self) -> None:
        """Send SIGTERM, without waiting. Later calls send nothing, because a second SIGTERM may interrupt running work."""
        if self._process is not None and self.is_running and not self._was_told_to_end:
            self._was_told_to_end = True
            self._process.send_signal(signal.SIGTERM)

    def stop(self, timeout_s: float) -> int | None:
        """Ask the process to end and wait for it; kill its process group if it takes longer than `timeout_s`.

        An exception meanwhile, such as that of another Ctrl-C, kills the group at once. Returns the exit code; None if the
        process was never started.
        """
        if self._process is None:
            return None
        try:
            with suppress(subprocess.TimeoutExpired):
                self.terminate()
                self._process.wait(timeout_s)
        finally:
            self.kill()
        return self.poll()

    def kill(self) -> None:
        """Kill the process and its group, unless they have been killed before."""
        if self._process is None or self._is_gone:
            return
        with suppress(ProcessLookupError, PermissionError):  # it has ended; macOS answers EPERM for zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._is_gone = True  # from now on another group may have its number
        self.guard.unwatch(self._process.pid)


def _die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """A function for the child to call before exec, so that the kernel signals it when this process dies.

    None on other systems than Linux, and in other threads than the main one: the kernel sends the signal when the *thread*
    that forked ends, so the child would die in the middle of its work. There the guard alone ends the child.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: between fork and exec nothing may take a lock
    parent = os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the call above, so no signal will come
            os._exit(1)

    return ask_kernel
