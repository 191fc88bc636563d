"""A chaos run: one loop in one thread submits jobs, causes faults and checks everything."""

from __future__ import annotations

import os
import random
import select
import shutil
import subprocess
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis

import lepton_celery as lepton
from lepton_celery.errors import BrokerUnreachable, JobError, JobNotFound, StoreError
from lepton_celery.ledger.info import JobInfo, JobState
from tests.chaos import checks, jobs
from tests.chaos.cluster import CLOCK_IS_FAKED, Cluster, Disk
from tests.chaos.faults import FAULTS as INNER
from tests.chaos.faults import Fault, Scene, is_repaired
from tests.chaos.outside import FAULTS as OUTER
from tests.chaos.outside import remove_damaged
from tests.chaos.report import Report

_NETWORK = ("slow connections", "silent connections", "cut network")

FAULTS = (*INNER, *OUTER)
"""All kinds of faults."""

_STUCK_S = 300.0
"""Seconds in which all jobs must end once faults have stopped, on the busiest machine."""

_LOOK_S = 0.03

_MISSES = 20
"""Failed tries of a kind of fault before it is left to chance, in a run that does not wait for all kinds."""


@dataclass(frozen=True)
class Options:
    """The parameters of a run."""

    seed: int = 1
    seconds: float = 300.0
    faults: int = 0
    """Number of faults after which the run ends; 0: it ends when the time is up."""
    every_s: float = 0.4
    """Average seconds between faults."""
    kinds: Sequence[str] = ()
    """Names of faults; empty for all."""
    jobs: int = 2
    """Number of concurrent jobs."""
    workers: int = 3
    concurrency: int = 2
    settings: str = "test"
    waits_for_all: bool = False
    """Whether to continue after the time is up until each possible kind of fault has occurred."""
    can_mount: bool = os.geteuid() == 0
    """Whether a file system may be mounted for the outputs, which can be made full."""


@dataclass
class Watched:
    """A job of the run, as last seen."""

    job: lepton.Job
    kind: str
    folder: Path
    began: float
    info: JobInfo | None = None
    ended: float | None = None
    fingerprint: dict[str, tuple[int, int]] = field(default_factory=dict)
    resumed: int = 0
    is_twin: bool = False
    """Whether another job writes to the same names."""


class Storm:
    """One run."""

    def __init__(self, options: Options, *, directory: Path | None = None, say: Callable[[str], None]) -> None:
        """`directory` is kept. Without it, a temporary one is used, which is kept only after a violation."""
        self._options = options
        self._say = say
        self._is_kept = directory is not None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="chaos-"))
        self._random = random.Random(options.seed)
        self._source = self._directory / "input.npy"
        self._report = Report(options.seed)
        self._watched: list[Watched] = []
        self._history: list[tuple[float, str, str]] = []
        self._kinds: list[str] = []
        self._submitter: tuple[subprocess.Popen[str], str, Path] | None = None
        self._number = 0
        self._disk_was_full = False
        self._misses: Counter[str] = Counter()

    def run(self) -> Report:
        """Cause faults while jobs run, then let the jobs end and check everything."""
        options = self._options
        began = self._began = time.monotonic()
        self._directory.mkdir(parents=True, exist_ok=True)
        jobs.make_input(self._source)
        for kind in jobs.KINDS:
            jobs.expected_of(kind, self._source)
        self._disk = Disk.mount(self._directory / "jobs") if options.can_mount else None
        (self._directory / "jobs").mkdir(exist_ok=True)
        self._choose_faults()
        environment = {
            "LEPTON_MAX_ATTEMPTS": "1000",  # faults cost blocks many attempts
            "LEPTON_MAX_RETRIES": "1000",
            "LEPTON_ALLOWED_FUNCTIONS": "tests.faults.blocks:*",
            "LEPTON_KERNELS": "1",
        }
        try:
            with Cluster(
                self._directory / "cluster",
                workers=options.workers,
                concurrency=options.concurrency,
                settings=options.settings,
                proxy=any(fault.name in _NETWORK for fault in self._faults),
                fake_clock=any(fault.name == "step clock" for fault in self._faults),
                environment=environment,
            ) as self._cluster:
                self._scene = Scene(
                    self._cluster,
                    self._random,
                    self._disk,
                    kill_submitter=self._kill_submitter,
                    submit_twin=self._submit_twin,
                )
                try:
                    self._cause_faults()
                    self._let_jobs_end()
                    self._check_all()
                finally:
                    self._end_submitter()
            self._report.violations += checks.processes(self._cluster.worker_url)
        finally:
            if self._disk is not None:
                if self._report.violations:
                    shutil.copytree(self._disk.path, self._directory / "kept")
                self._disk.unmount()
            self._report.seconds = time.monotonic() - began
        if not self._is_kept and not self._report.violations:
            shutil.rmtree(self._directory, ignore_errors=True)
        return self._report

    def _choose_faults(self) -> None:
        impossible = self._report.impossible
        if not CLOCK_IS_FAKED:
            impossible.add("step clock")
        if self._disk is None:
            impossible |= {"move folder", "read-only folder"}
        wanted = set(self._options.kinds) or {fault.name for fault in FAULTS}
        self._faults: list[Fault] = [fault for fault in FAULTS if fault.name in wanted - impossible]
        owed = list(self._faults)
        self._random.shuffle(owed)
        self._owed = deque(owed)  # each kind once, before kinds are drawn at random

    # -------------------------------------------------------------------------------------------- the loop

    def _cause_faults(self) -> None:
        options = self._options
        end = time.monotonic() + options.seconds
        next_fault = time.monotonic() + 1
        while not self._is_over(end):
            while len(self._scene.running) < options.jobs:
                if not self._begin():
                    break
            self._turn()
            if time.monotonic() >= next_fault and self._scene.running:
                self._strike(self._next_fault())
                next_fault = time.monotonic() + self._random.uniform(0.2, 1.8) * options.every_s
            time.sleep(_LOOK_S)

    def _is_over(self, end: float) -> bool:
        if self._options.faults and self._report.faults.total() >= self._options.faults:
            return True
        return time.monotonic() >= end and not (self._options.waits_for_all and self._owed)

    def _next_fault(self) -> Fault:
        if self._owed:
            return self._owed.popleft()
        return self._random.choices(self._faults, [fault.weight for fault in self._faults])[0]

    def _strike(self, fault: Fault) -> None:
        try:
            done = fault.strike(self._scene)
        except (redis.RedisError, BrokerUnreachable) as error:
            done = ""
            self._note("", f"{fault.name} missed: {error}")
        if done:
            self._report.faults[fault.name] += 1
            self._note("", f"{fault.name}: {done}")
            self._disk_was_full |= fault.name == "full disk"
        elif not self._report.faults[fault.name]:
            self._misses[fault.name] += 1
            # on a busy machine, workers and the submitter take long to start, and are no targets until then
            if self._options.waits_for_all or self._misses[fault.name] < _MISSES:
                self._owed.append(fault)

    def _turn(self) -> None:
        """One turn of the loop, apart from faults."""
        self._cluster.revive()
        now = time.monotonic()
        for entry in [entry for entry in self._scene.due if entry[0] <= now]:
            self._scene.due.remove(entry)
            entry[1]()
        for watched in [watched for watched in self._watched if watched.ended is None]:
            self._look(watched)
        self._look_for_repairs(now)
        if self._submitter is None and any(fault.name == "kill submitter" for fault in self._faults):
            kind, folder = self._next_job()
            process = self._cluster.submitter([kind, str(self._source), str(folder)])
            self._submitter = (process, kind, folder)

    def _look(self, watched: Watched) -> None:
        try:
            info = watched.job.info()
        except BrokerUnreachable:
            return
        except JobNotFound:
            self._violation(watched, "the ledger has forgotten it")
            watched.ended = time.monotonic()
            self._scene.running.remove(watched.job)
            return
        for wrong in checks.counters(info):
            self._violation(watched, wrong)
        if watched.info is not None:
            for wrong in checks.order(watched.info, info):
                self._violation(watched, wrong)
            if info.stage_label != watched.info.stage_label or info.state != watched.info.state:
                self._note(watched.job.id, f"{info.state}, stage {info.stage_label}")
        watched.info = info
        if info.state is JobState.RUNNING:
            return
        is_disturbed = watched.job.id in self._scene.disturbed
        if is_disturbed and watched.job.id not in self._scene.restored:
            return  # it may fail, and is resumed once its folder is as it was
        is_excused = is_disturbed or (self._disk_was_full and _is_about_disks(info.error))
        if info.state is JobState.FAILED and is_excused and not _is_about_twins(watched, info):
            try:
                lepton.resume(watched.job.id, app=self._cluster.app)
            except (BrokerUnreachable, StoreError):
                return  # the next look tries again
            self._note(watched.job.id, f"resumed after: {info.error}")
            watched.resumed += 1
            self._report.resumed += 1
            return
        watched.ended = time.monotonic()
        self._scene.running.remove(watched.job)
        if info.state is JobState.CANCELLED and watched.job.id in self._scene.cancelled:
            self._report.cancelled += 1
            return
        if _is_about_twins(watched, info):
            self._report.overtaken += 1
            return
        if info.state is not JobState.DONE:
            self._violation(watched, f"{info.state}: {info.error}")
            return
        self._report.jobs += 1
        for wrong in checks.pixels(watched.kind, self._source, watched.folder):
            self._violation(watched, wrong)
        watched.fingerprint = checks.fingerprint(watched.folder)
        runs = jobs.runs_file(watched.folder)
        if runs.exists():
            self._report.repeats += len(runs.read_text().split()) - info.blocks_total

    def _look_for_repairs(self, now: float) -> None:
        with suppress(redis.RedisError):
            for loss in [loss for loss in self._scene.losses if is_repaired(self._cluster, loss)]:
                self._scene.losses.remove(loss)
                if not any(other.at == loss.at for other in self._scene.losses):  # that was all its work
                    self._report.recoveries.append(now - loss.at)

    # -------------------------------------------------------------------------------------------- jobs

    def _next_job(self) -> tuple[str, Path]:
        if not self._kinds:
            self._kinds = sorted(jobs.KINDS)
            self._random.shuffle(self._kinds)
        kind = self._kinds.pop()
        self._number += 1
        folder = self._directory / "jobs" / f"{self._number}-{kind}"
        folder.mkdir()
        return kind, folder

    def _begin(self) -> bool:
        kind, folder = self._next_job()
        try:
            job = jobs.submit(kind, self._source, folder, self._cluster.app)
        except (BrokerUnreachable, StoreError) as error:
            self._note("", f"submission refused: {error}")
            self._report.refused += 1
            return False
        self._watch(job, kind, folder)
        return True

    def _watch(self, job: lepton.Job, kind: str, folder: Path) -> None:
        self._note(job.id, f"submitted, {folder.name}")
        self._watched.append(Watched(job, kind, folder, time.monotonic()))
        self._scene.running.append(job)

    def _submit_twin(self) -> str:
        single = [watched for watched in self._watched if watched.ended is None and not watched.is_twin]
        if not single:
            return ""
        first = self._random.choice(single)
        try:
            job = jobs.submit(first.kind, self._source, first.folder, self._cluster.app)
        except (BrokerUnreachable, StoreError) as error:
            return f"of job {first.job.id}, refused: {error}"
        self._watch(job, first.kind, first.folder)
        first.is_twin = self._watched[-1].is_twin = True
        return f"{job.id} of job {first.job.id}"

    def _kill_submitter(self, after_s: float) -> str:
        if self._submitter is None:
            return ""
        process, kind, folder = self._submitter
        assert process.stdout is not None
        assert process.stdin is not None
        if not select.select([process.stdout], [], [], 0)[0] or not process.stdout.readline():
            if process.poll() is not None:
                self._end_submitter()
            return ""
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(after_s)
        self._end_submitter()
        return f"{folder.name} after {after_s:.2f} s: {self._left_by_submitter(kind, folder)}"

    def _end_submitter(self) -> None:
        if self._submitter is None:
            return
        process = self._submitter[0]
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        self._submitter = None

    def _left_by_submitter(self, kind: str, folder: Path) -> str:
        """Check the job of a killed submitter: it either runs, or never begins and can be removed."""
        found = [info for info in self._cluster.ledger.jobs(limit=1000) if info.title == folder.name]
        if found and found[0].state is not JobState.PAUSED:
            self._watch(lepton.Job(found[0].job_id, self._cluster.ledger), kind, folder)
            return "runs"
        self._report.never_begun += 1
        if found:
            if found[0].blocks_done or found[0].dispatched:
                self._violation(None, f"{folder.name} was never submitted as a whole, and has begun")
            job = lepton.Job(found[0].job_id, self._cluster.ledger)
            job.cancel()
            job.forget()
            fate = "cancelled"
        else:
            fate = "never recorded"
            for workspace in folder.glob(".lepton-*"):
                with suppress(JobError):
                    lepton.resume(workspace, app=self._cluster.app)
                    self._violation(None, f"{folder.name} was never submitted as a whole, and was resumed")
        left = checks.hidden(folder)
        if left:
            self._violation(None, f"a killed submitter, {fate}, left {', '.join(left)} in {folder}")
        return fate

    # -------------------------------------------------------------------------------------------- afterwards

    def _let_jobs_end(self) -> None:
        """Undo the temporary faults, and wait until all jobs have ended."""
        self._say("no more faults")
        for _, action in sorted(self._scene.due, key=lambda entry: entry[0]):
            action()
        self._scene.due.clear()
        deadline = time.monotonic() + _STUCK_S
        while any(watched.ended is None for watched in self._watched):
            self._turn()
            if time.monotonic() > deadline:
                for watched in self._watched:
                    if watched.ended is None:
                        watched.ended = time.monotonic()
                        self._violation(watched, f"does not end: {watched.info}")
            time.sleep(_LOOK_S)
        self._report.violations += [f"never repaired: {loss}" for loss in self._scene.losses]

    def _check_all(self) -> None:
        self._cluster.until_ready()
        for wrong in checks.quiet(self._cluster):
            self._violation(None, wrong)
        done = [watched for watched in self._watched if watched.info and watched.info.state is JobState.DONE]
        checks.until(lambda: not any(checks.hidden(watched.folder, watched.job.id) for watched in done))
        for watched in done:  # the others are violations already, and keep their files
            if left := checks.hidden(watched.folder, watched.job.id):
                self._violation(watched, f"left {', '.join(left)}")
            if checks.fingerprint(watched.folder) != watched.fingerprint:
                self._violation(watched, "an output was written again after the job was done")
            if watched.job.info() != watched.info:
                self._violation(watched, f"it changed after it was done: {watched.info}, then {watched.job.info()}")
            for wrong in checks.keys(self._cluster, watched.job.id):
                self._violation(watched, wrong)
        self._check_told()
        self._check_forgotten()

    def _check_told(self) -> None:
        """Each end of a job was told; sweepers may be about to."""
        checks.until(lambda: not self._cluster.broker.zcard("lepton:notices"))
        for watched in self._watched:
            if watched.info is not None and not watched.info.state.is_open:
                for wrong in checks.told(self._cluster, watched.job.id, watched.info, watched.resumed):
                    self._violation(watched, wrong)

    def _check_forgotten(self) -> None:
        """Forget all jobs; nothing may be left of them, however they ended, but the outputs of those that are done."""
        for watched in self._watched:
            if watched.info is not None and not watched.info.state.is_open:
                watched.job.forget()
            for wrong in checks.keys(self._cluster, watched.job.id, frozenset()):
                self._violation(watched, f"after forget, {wrong}")
        ended = [watched for watched in self._watched if watched.info and watched.info.state is not JobState.DONE]
        checks.until(lambda: not any(checks.hidden(watched.folder, watched.job.id) for watched in ended))
        for watched in ended:
            is_cancelled = watched.job.id in self._scene.cancelled and not watched.is_twin
            left = checks.hidden(watched.folder, watched.job.id) or (
                is_cancelled and sorted(map(str, watched.folder.iterdir()))
            )
            if left:
                self._violation(watched, f"it is {watched.info and watched.info.state}, and left {', '.join(left)}")
        self._report.violations += remove_damaged(self._scene)
        self._report.violations += checks.leftovers(self._cluster)

    def _note(self, job_id: str, text: str) -> None:
        at = time.monotonic() - self._began
        self._history.append((at, job_id, text))
        self._say(f"{at:7.1f} s  {job_id:<12}  {text}")

    def _violation(self, watched: Watched | None, wrong: str) -> None:
        if watched is None:
            self._report.violations.append(wrong)
            return
        began = watched.began - self._began
        lines = [
            f"    {at:7.1f} s  {text}"
            for at, job_id, text in self._history
            if began - 1 <= at <= (watched.ended or time.monotonic()) - self._began + 1
            and job_id in ("", watched.job.id)
        ]
        logs = "logs and files are in " + str(self._directory)
        self._report.violations.append(
            f"job {watched.job.id}, {watched.folder.name}: {wrong}\n" + "\n".join([*lines, logs])
        )


def _is_about_twins(watched: Watched, info: JobInfo) -> bool:
    """Whether a job failed because its twin had published."""
    return watched.is_twin and info.state is JobState.FAILED and "exist" in info.error


def _is_about_disks(error: str) -> bool:
    return any(words in error for words in ("No space left", "File too large", "space", "ENOSPC", "EFBIG"))
