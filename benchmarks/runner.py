"""Runs the cases: the systems take turns on each case. Each system has processes of its own for all cases."""

from __future__ import annotations

import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks import verdict
from benchmarks.cases import Case, Task
from benchmarks.processes import MARK, Watch, kill_marked
from benchmarks.systems import BATCHED
from benchmarks.workloads import workload_of

ROOT = Path(__file__).parents[1]
START_S = 240.0
_IDLE_S = 2.0
"""Seconds for which the idle systems are measured."""


@dataclass
class Measured:
    """The runs of one system in one case."""

    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    """Peak bytes."""
    cpu: list[float] = field(default_factory=list)
    """Seconds of processor time."""
    foreign: list[float] = field(default_factory=list)
    """Processors that other programs used meanwhile."""
    verdicts: list[str] = field(default_factory=list)
    failure: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


Results = dict[str, dict[str, Measured]]
"""Measurements by case and system."""


class DriverFailed(Exception):
    """A driver did not answer in time, reported an error, or has ended."""


class Driver:
    """The process of `benchmarks.driver` that runs a system, with its descendants."""

    def __init__(self, system: str, work: Path, log: Path) -> None:
        self.mark = uuid4().hex
        self._log = log
        env = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
        env[MARK] = self.mark
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
        env |= {**dict.fromkeys(threads, "1"), "PYTHONPATH": str(ROOT)}
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.driver", system, str(work)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                env=env,
                cwd=ROOT,
                text=True,
            )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._is_ready = False

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise DriverFailed(f"not done after {timeout_s:.0f} s") from None
        if not line:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            raise DriverFailed(f"its process ended: {' '.join(last)}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ready(self) -> None:
        """Wait until its workers, pool or cluster have started."""
        if not self._is_ready:
            self._answer(START_S)
            self._is_ready = True

    def run(self, task: Task, timeout_s: float) -> float:
        """Run the task; the seconds it took."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(task.to_json() + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise DriverFailed("its process ended") from None
        answer = self._answer(timeout_s)
        if answer["error"]:
            raise DriverFailed(answer["error"])
        return float(answer["seconds"])

    def leave(self) -> None:
        """Ask the driver to end, without waiting for it."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def stop(self, *, at_once: bool = False) -> None:
        """End the driver and its descendants; unless `at_once`, it has time to end in order."""
        if not at_once:
            self.leave()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        kill_marked(self.mark)
        self._process.wait()


class Runner:
    """Measures cases. Inputs and outputs are in `work`, which the caller removes."""

    def __init__(
        self,
        cases: Sequence[Case],
        systems: Sequence[str],
        work: Path,
        *,
        limit_s: float,
        say: Callable[[str], None],
        keep: bool = True,
    ) -> None:
        """`keep` keeps the inputs, which take memory, for more rounds."""
        self.cases = cases
        self.systems = systems
        self.work = work
        self.limit_s = limit_s
        """Time limit of one run, in seconds."""
        self.results: Results = {case.name: {} for case in cases}
        self.left_out: list[str] = []
        """Names of the cases for which no time was left."""
        self.idle = 0.0
        """Processors that all systems together use while idle."""
        self._say = say
        self._keep = keep
        self._drivers: dict[str, Driver] = {}
        self._oracles: dict[str, Task] = {}

    def run(self, repeat: int, budget_s: float, *, most: int = 0) -> None:
        """Run `repeat` rounds of each case, then up to `most` rounds in all while `budget_s` lasts.

        Cases that would begin after `budget_s` are left out.
        """
        deadline = time.monotonic() + budget_s
        took: dict[str, float] = {}
        try:
            self._start()
            for case in self.cases:
                if time.monotonic() > deadline:
                    self.left_out.append(case.name)
                    continue
                self._make_input(case)
                for number in range(repeat):
                    took[case.name] = self._round(case, number)
                if not self._keep:
                    self._discard_input(case)
            for number in range(repeat, most):
                for case in self.cases:
                    if case.name in took and time.monotonic() + 1.2 * took[case.name] < deadline:
                        took[case.name] = self._round(case, number)
        finally:
            for driver in self._drivers.values():
                driver.leave()
            for driver in self._drivers.values():
                driver.stop()
            self._drivers.clear()

    def _start(self) -> None:
        """Start all systems at once, since nothing is measured yet, and measure them while idle."""
        kinds = dict.fromkeys(BATCHED.get(system, system) for case in self.cases for system in self._wanted(case))
        self._drivers = {kind: self._driver(kind) for kind in kinds}
        for kind, driver in list(self._drivers.items()):
            try:
                driver.ready()
                self._say(f"started {kind}")
            except DriverFailed as failure:  # `_measure` tries again
                self._say(f"{kind} did not start: {failure}")
                self._drivers.pop(kind).stop(at_once=True)
        watches = [Watch(driver.mark) for driver in self._drivers.values()]
        with ExitStack() as stack:
            for watch in watches:
                stack.enter_context(watch)
            time.sleep(_IDLE_S)
        self.idle = sum(watch.cpu_s for watch in watches) / _IDLE_S
        self._say(f"all systems together take {self.idle:.2f} processors while they wait")

    def _driver(self, kind: str) -> Driver:
        return Driver(kind, self.work, self.work / f"{kind}.log")

    def _wanted(self, case: Case) -> list[str]:
        # the first system always runs: its outputs are the reference
        return [system for system in case.systems if system in self.systems or system == case.systems[0]]

    def _make_input(self, case: Case) -> None:
        for made in (case, case.tiny()):
            task = Task(made, self.work, self.work)
            if not task.source.exists():
                workload_of(task).make(task)

    def _discard_input(self, case: Case) -> None:
        remove(Task(case, self.work, self.work).source)
        oracle = self._oracles.pop(case.name, None)
        if oracle is not None:
            remove(oracle.out)

    def _round(self, case: Case, number: int) -> float:
        """Run each system once, in an order that rotates from round to round; the seconds of the round."""
        begun = time.monotonic()
        wanted = self._wanted(case)
        turn = number % len(wanted)
        for system in (*wanted[turn:], *wanted[:turn]):
            measured = self.results[case.name].setdefault(system, Measured())
            if not measured.failure and (number == 0 or system in self.systems):
                self._measure(case, system, measured, is_first=number == 0)
        return time.monotonic() - begun

    def _measure(self, case: Case, system: str, measured: Measured, *, is_first: bool) -> None:
        kind = BATCHED.get(system, system)
        planned = case if system in BATCHED else replace(case, batch=1)
        try:
            if kind not in self._drivers:
                self._drivers[kind] = self._driver(kind)
            driver = self._drivers[kind]
            driver.ready()
            for _ in range(2 if is_first else 0):
                remove(self._done(driver, planned.tiny())[0].out)
            task, seconds, watch = self._done(driver, planned)
        except DriverFailed as failure:
            measured.failure = str(failure)
            self._say(f"{system:8}{case.name:14} {measured.failure}")
            if kind in self._drivers:
                self._drivers.pop(kind).stop(at_once=True)
            return
        measured.seconds.append(seconds)
        measured.memory.append(watch.peak_bytes)
        measured.cpu.append(watch.cpu_s)
        measured.foreign.append(watch.foreign)
        if case.name not in self._oracles:
            self._oracles[case.name] = task
            measured.verdicts.append("-")
        else:
            measured.verdicts.append(verdict.compare(self._oracles[case.name], task))
            remove(task.out)
        self._say(
            f"{system:8}{case.name:14} {seconds:8.3f} s {watch.cpu_s:7.2f} CPU s {watch.foreign:5.1f} foreign "
            f"{watch.peak_bytes / 2**20:6.0f} MB  {measured.verdicts[-1]}"
        )

    def _done(self, driver: Driver, case: Case) -> tuple[Task, float, Watch]:
        task = Task.new(case, self.work)
        with Watch(driver.mark) as watch:
            seconds = driver.run(task, self.limit_s)
        return task, seconds, watch


def remove(path: Path) -> None:
    """Remove a file or folder, from which workers may still remove files: they clean up after the job has ended."""
    while path.exists():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
