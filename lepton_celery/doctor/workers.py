"""Compares the descriptions of the workers with each other and with this process."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

from lepton_celery.doctor.about import SAME_EVERYWHERE, About
from lepton_celery.doctor.finding import OK, PROBLEM, WARNING, Case, Finding, Verdict, judge
from lepton_celery.doctor.server import CLOCKS_APART_S, beyond
from lepton_celery.priority import CONTROL, LANES

GROUP = "workers"
_judge = partial(judge, GROUP)

PIXEL_PACKAGES = ("lepton-celery", "numpy", "scipy", "scikit-image")
"""Packages of which another version may compute other pixels."""


class Habit(NamedTuple):
    """A setting of the Celery application with which jobs run, but worse; only the project itself can change it."""

    name: str
    """The name of the check."""
    is_in: Callable[[About], bool]
    """Whether a worker has it."""
    consequence: str
    advice: str


HABITS = (
    Habit(
        "prefetch",
        lambda about: not 1 <= about.prefetch <= 2,  # RabbitMQ needs 2, see `docs/brokers.md`
        "it holds batches that other workers could do",
        "start the worker of the lanes with --prefetch-multiplier=1 (worker_prefetch_multiplier)",
    ),
    Habit(
        "shutdown",
        lambda about: about.soft_shutdown_s <= 0,
        "a stop interrupts the current batch, and its blocks wait until their lease ends",
        "set worker_soft_shutdown_timeout = 5 in the Celery application",
    ),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One worker's answer."""

    worker: str
    about: About | None
    """The worker's description; None if the worker is not prepared for jobs, or is of another release."""
    asked_at: float
    """This machine's clock when the question was sent."""
    received_at: float
    """This machine's clock when the answer came."""


@dataclass(frozen=True)
class Fleet:
    """The workers that answered, and this process."""

    answers: Sequence[Answer]
    here: About
    """The description of this process."""
    queue_of: Callable[[str], str]
    """The queue of a lane."""
    timeout_s: float
    """Seconds for which this process waited for answers."""
    expected: int = 0
    """Expected number of workers; 0 for any number."""

    @cached_property
    def abouts(self) -> Mapping[str, About]:
        """The descriptions of the workers of this release, by name: of those that serve a lane, if there are any."""
        known = {answer.worker: answer.about for answer in self.answers if answer.about is not None}
        lanes = set(map(self.queue_of, (CONTROL, *LANES)))
        return {name: about for name, about in known.items() if lanes & set(about.queues)} or known


class Difference(NamedTuple):
    """A setting or a version that is not the same on every worker and in this process."""

    subject: str
    here: str
    others: Mapping[str, Sequence[str]]
    """The names of the workers with another value than here, by that value."""

    def __str__(self) -> str:
        others = "; ".join(f"{value} on {', '.join(workers)}" for value, workers in self.others.items())
        return f"{self.subject} {self.here} here, {others}"


def check_workers(fleet: Fleet) -> list[Finding]:
    """All findings about workers."""
    findings = [*_answers(fleet)]
    if fleet.abouts:
        findings += [*_pools(fleet), *_versions(fleet), *_settings(fleet)]
        findings += [_memory(fleet, machine) for machine in sorted({about.machine for about in fleet.abouts.values()})]
        findings += [_clocks(fleet)]
    return findings


def _differences(fleet: Fleet, values_of: Callable[[About], Mapping[str, object]]) -> Iterator[Difference]:
    """The settings or versions that differ between this process and a worker."""
    for subject, mine in values_of(fleet.here).items():
        by_value: defaultdict[str, list[str]] = defaultdict(list)
        for worker, about in sorted(fleet.abouts.items()):
            if (value := values_of(about).get(subject)) != mine:
                by_value[_text(value)].append(worker)
        if by_value:
            yield Difference(subject, _text(mine), by_value)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "empty"
    return "unknown" if value is None else str(value)


def _answers(fleet: Fleet) -> Iterator[Finding]:
    names = sorted(answer.worker for answer in fleet.answers)
    start = "start one (`lepton up`, or celery -A workers.app worker); a busy worker with a solo pool answers later"
    yield _judge(
        "answers",
        f"{len(names)}: {', '.join(names)}" if names else f"no worker answered within {fleet.timeout_s:g} s",
        "check whether the others run, or wait longer for them (--timeout)",
        Case(not names, PROBLEM, advice=start),
        Case(len(names) < fleet.expected, PROBLEM, f"{fleet.expected} should answer"),
    )
    yield from _faults(
        "names",
        [name for name, count in Counter(names).items() if count > 1],
        WARNING,
        "several workers have this name, and only one of them is checked",
        "give each a name of its own: --hostname=worker1@%h",
    )
    yield from _faults(
        "prepared",
        [answer.worker for answer in fleet.answers if answer.about is None],
        PROBLEM,
        "cannot run jobs of lepton_celery, or has another release of it",
        "call lepton_celery.configure(app) where the Celery application is created; install one release everywhere",
    )


def _faults(name: str, at_fault: Sequence[str], verdict: Verdict, consequence: str, advice: str) -> Iterator[Finding]:
    """The finding about the workers at fault, if there are any."""
    if at_fault:
        yield Finding(GROUP, name, verdict, f"{', '.join(at_fault)}: {consequence}", advice)


def _pools(fleet: Fleet) -> Iterator[Finding]:
    served = {queue for about in fleet.abouts.values() for queue in about.queues}
    unserved = ",".join(queue for lane in (CONTROL, *LANES) if (queue := fleet.queue_of(lane)) not in served)
    yield _judge(
        "lanes",
        unserved or f"{', '.join((CONTROL, *LANES))} have workers",
        f"start a worker with --queues={unserved}",
        Case(unserved, PROBLEM, "no worker serves this queue, so its jobs wait for ever"),
    )
    pools = {name: about.pool for name, about in fleet.abouts.items() if about.pool is not None}
    if pools:
        others = ", ".join(f"{name} ({pool.kind})" for name, pool in pools.items() if pool.kind != "prefork")
        yield _judge(
            "pool",
            others or f"prefork, {_processes(fleet.abouts.values())} processes at most",
            "start workers with --pool=prefork, the default",
            Case(others, WARNING, "a block that crashes or takes too long takes the whole worker down"),
        )
    forking = {name: pool for name, pool in pools.items() if pool.start_method == "fork"}
    yield from _faults(
        "fork",
        [f"{name} ({pool.parent_threads})" for name, pool in forking.items() if pool.parent_threads > 1],
        WARNING,
        "the process that forks has several threads, so a child may wait for a lock for ever",
        "start no threads where the application is imported, and set OMP_NUM_THREADS=1 for workers",
    )
    yield from _faults(
        "fork",
        [name for name in forking if fleet.abouts[name].platform == "darwin"],
        WARNING,
        "it forks on macOS, whose libraries may crash in a child",
        "use macOS for development only, and Linux for servers",
    )
    for habit in HABITS:
        at_fault = [name for name, about in fleet.abouts.items() if habit.is_in(about)]
        yield from _faults(habit.name, at_fault, WARNING, habit.consequence, habit.advice)


def _versions(fleet: Fleet) -> list[Finding]:
    same = ", ".join(f"{name} {fleet.here.versions[name]}" for name in ("numpy", "scipy", "scikit-image", "celery"))
    return [
        _judge(
            "versions",
            str(package),
            "install the same versions on all machines (one requirements.lock for all)",
            Case(package.subject in PIXEL_PACKAGES, PROBLEM, "pixels may differ"),
            Case(True, WARNING),
        )
        for package in _differences(fleet, lambda about: about.versions)
    ] or [Finding(GROUP, "versions", OK, f"{same} everywhere")]


def _settings(fleet: Fleet) -> list[Finding]:
    findings = []
    for setting in _differences(fleet, lambda about: about.settings):
        if setting.subject == "ledger":
            databases = {address.rpartition("/")[2] for address in (setting.here, *setting.others)}
            name_one = "set LEPTON_LEDGER_URL to one database everywhere"
            finding = _judge(
                "ledger",
                str(setting),
                "check that these addresses are one server (LEPTON_LEDGER_URL)",
                Case(len(databases) > 1, PROBLEM, "a job is known only in its own database", name_one),
                Case(True, WARNING),
            )
            findings.append(finding)
        elif setting.subject in SAME_EVERYWHERE:
            advice = f"set LEPTON_{setting.subject.upper()} to the same value on all machines"
            findings.append(Finding(GROUP, "settings", WARNING, str(setting), advice))
    return findings or [Finding(GROUP, "settings", OK, "the same on all workers and here")]


def _processes(workers: Iterable[About]) -> int:
    return sum(about.pool.processes for about in workers if about.pool is not None)


def _memory(fleet: Fleet, machine: str) -> Finding:
    workers = [about for about in fleet.abouts.values() if about.machine == machine]
    has, processes = min(about.memory_bytes for about in workers), _processes(workers)
    wanted = sum(w.pool.processes * int(w.settings.get("worker_memory_bytes", 0)) for w in workers if w.pool)
    fitting = max(1, int(has * 0.8 / max(1, processes)) >> 20 << 20)
    memory = f"{has / 2**30:,.1f} GiB" if has else "an unknown amount of memory"
    return _judge(
        "memory",
        f"{machine} has {memory}, its {processes} processes may take {wanted / 2**30:,.1f} GiB",
        f"set LEPTON_WORKER_MEMORY_BYTES={fitting} there and where you submit, or run fewer processes",
        Case(not has, WARNING, advice="check that it has enough"),
        Case(wanted > has, PROBLEM),
    )


def _clocks(fleet: Fleet) -> Finding:
    apart = []
    for answer in fleet.answers:
        ahead = beyond(answer.about.time, answer.asked_at, answer.received_at) if answer.about else 0.0
        if abs(ahead) > CLOCKS_APART_S:
            apart.append(f"{answer.worker} {abs(ahead):,.0f} s {'ahead' if ahead > 0 else 'behind'}")
    return _judge(
        "clocks",
        ", ".join(apart) or f"within {CLOCKS_APART_S:g} s of this machine's",
        "synchronize all clocks (chrony): a worker whose clock is behind looks for lost work later",
        Case(apart, WARNING),
    )
