"""Runs the cases: rounds over the systems, one after the other, each in processes of its own."""

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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks import arrays, verdict
from benchmarks.cases import Case, Task
from benchmarks.processes import MARK, Watch, kill_marked
from benchmarks.systems import BATCHED
from benchmarks.workloads import workload_of

ROOT = Path(__file__).parents[1]
START_S = 90.0
REFERENCE = "a"


@dataclass
class Measured:
    """One system in one case."""

    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    """Largest memory, in bytes."""
    cpu: list[float] = field(default_factory=list)
    """Seconds of processor time."""
    foreign: list[float] = field(default_factory=list)
    """Processors that others used meanwhile."""
    verdicts: list[str] = field(default_factory=list)
    failure: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


Results = dict[str, dict[str, Measured]]
"""By case, then by system."""


class DriverFailed(Exception):
    """A driver did not answer in time, or is gone."""


class Driver:
    """A system's own process, and what that starts."""

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
        self._answer(START_S)

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

    def run(self, task: Task, timeout_s: float) -> float:
        """Have the task done; how many seconds it took."""
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

    def stop(self, *, at_once: bool = False) -> None:
        """End it, kindly if it answers."""
        assert self._process.stdin is not None
        if not at_once:
            try:
                self._process.stdin.close()
                self._process.wait(20)
            except (OSError, subprocess.TimeoutExpired):
                pass
        kill_marked(self.mark)
        self._process.wait()


class Runner:
    """Measures cases; inputs and outputs live in `work`, which is the caller's to remove."""

    def __init__(
        self, cases: Sequence[Case], systems: Sequence[str], work: Path, *, limit_s: float, say: Callable[[str], None]
    ) -> None:
        self.cases = cases
        self.systems = systems
        self.work = work
        self.limit_s = limit_s
        """Seconds that one run may take."""
        self.results: Results = {case.name: {} for case in cases}
        self.rounds = 0
        self._say = say
        self._oracles: dict[str, Task] = {}

    def run(self, repeat: int, budget_s: float) -> None:
        """So many rounds, or as many as fit into the time: one round at least."""
        started = time.monotonic()
        self._make_inputs()
        for number in range(repeat):
            begun = time.monotonic()
            self._round(number)
            self.rounds += 1
            took = time.monotonic() - begun
            # rounds after the first leave out what is done once
            if time.monotonic() - started + 0.8 * took > budget_s:
                self._say(f"the time is up after {self.rounds} of {repeat} rounds")
                return

    def _make_inputs(self) -> None:
        for case in self.cases:
            for made in (case, case.tiny()):
                task = Task(made, self.work, self.work)
                if not task.source.exists():
                    image = workload_of(task).input(made.shape)
                    arrays.write_whole(task.source, image, (*made.block, *image.shape[len(made.block) :]))
            self._say(f"input   {case.name}")

    def _round(self, number: int) -> None:
        # the whole image first: what it gives is what the others are compared with
        wanted = [REFERENCE] if number == 0 else []
        wanted += [system for system in self.systems if system not in wanted]
        turns: dict[str, list[tuple[str, Case]]] = {}
        for system in wanted:
            for case in self.cases:
                takes_part = system in case.systems or (system == REFERENCE and number == 0)
                if takes_part and number < case.repeat and not self._of(case, system).failure:
                    turns.setdefault(BATCHED.get(system, system), []).append((system, case))
        for kind, runs in turns.items():
            self._turn(kind, runs)

    def _of(self, case: Case, system: str) -> Measured:
        return self.results[case.name].setdefault(system, Measured())

    def _turn(self, kind: str, runs: Sequence[tuple[str, Case]]) -> None:
        """One kind of system, all its cases once."""
        driver: Driver | None = None
        log = self.work / f"{kind}.log"
        for system, case in runs:
            measured = self._of(case, system)
            planned = case if system in BATCHED else replace(case, batch=1)
            try:
                if driver is None:
                    driver = Driver(kind, self.work, log)
                for _ in range(2):
                    self._discard(self._done(driver, planned.tiny())[0])
                task, seconds, watch = self._done(driver, planned)
            except DriverFailed as failure:
                measured.failure = str(failure)
                self._say(f"{system:8}{case.name:10} {measured.failure}")
                if driver is not None:
                    driver.stop(at_once=True)
                driver = None
                continue
            measured.seconds.append(seconds)
            measured.memory.append(watch.peak_bytes)
            measured.cpu.append(watch.cpu_s)
            measured.foreign.append(watch.foreign)
            if system == REFERENCE and case.name not in self._oracles:
                self._oracles[case.name] = task
                measured.verdicts.append("-")
            elif case.name in self._oracles:
                measured.verdicts.append(verdict.compare(self._oracles[case.name], task))
                self._discard(task)
            else:  # the whole image took too long
                measured.verdicts.append("not compared")
                self._discard(task)
            self._say(
                f"{system:8}{case.name:10} {seconds:8.3f} s {watch.cpu_s:7.2f} CPU s {watch.foreign:5.1f} foreign "
                f"{watch.peak_bytes / 2**20:6.0f} MB  {measured.verdicts[-1]}"
            )
        if driver is not None:
            driver.stop()

    def _done(self, driver: Driver, case: Case) -> tuple[Task, float, Watch]:
        out = self.work / f"out-{uuid4().hex[:8]}"
        out.mkdir()
        task = Task(case, self.work, out)
        with Watch(driver.mark) as watch:
            seconds = driver.run(task, self.limit_s)
        return task, seconds, watch

    def _discard(self, task: Task) -> None:
        # workers clear up after a job has ended: a file may go away under our hands
        while task.out.exists():
            shutil.rmtree(task.out, ignore_errors=True)
