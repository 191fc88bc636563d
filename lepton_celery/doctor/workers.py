"""What the workers said, compared with each other and with this machine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from lepton_celery.config import LANES
from lepton_celery.doctor.about import SAME_EVERYWHERE, About, Pool
from lepton_celery.doctor.finding import OK, PROBLEM, WARNING, Case, Check, Finding, run
from lepton_celery.doctor.server import CLOCKS_APART_S, beyond

GROUP = "workers"

PIXEL_PACKAGES = ("lepton-celery", "numpy", "scipy", "scikit-image")
"""Packages whose versions decide about pixels."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One worker's answer."""

    worker: str
    about: About | None
    """What the worker says of itself; None if it does not know the question, or answers as another release does."""
    asked_at: float
    """This machine's clock when the question was sent."""
    received_at: float
    """This machine's clock when the answer came."""


@dataclass(frozen=True)
class Fleet:
    """All workers that answered, and what they are compared with."""

    answers: Sequence[Answer]
    here: About
    """What this process says of itself."""
    queue_of: Callable[[str], str]
    """The queue of a lane."""
    timeout_s: float
    """How long this process waits for answers."""
    expected: int = 0
    """How many workers there should be; 0 for any number."""

    @cached_property
    def abouts(self) -> Mapping[str, About]:
        """What the workers of this release say of themselves."""
        return {answer.worker: answer.about for answer in self.answers if answer.about is not None}

    @cached_property
    def pools(self) -> Mapping[str, Pool]:
        return {name: about.pool for name, about in self.abouts.items() if about.pool is not None}

    @cached_property
    def forking(self) -> Mapping[str, Pool]:
        return {name: pool for name, pool in self.pools.items() if pool.start_method == "fork"}


class Difference(NamedTuple):
    """A setting or a version that is not the same on all workers and here."""

    subject: str
    here: str
    others: Mapping[str, Sequence[str]]
    """The workers that have another value, by the value."""

    def __str__(self) -> str:
        others = "; ".join(f"{value} on {', '.join(workers)}" for value, workers in self.others.items())
        return f"{self.subject} {self.here} here, {others}"


def check_workers(fleet: Fleet) -> list[Finding]:
    """All findings about workers."""
    findings = run(GROUP, _ANSWERS, fleet)
    if not fleet.abouts:
        return findings
    versions = _differences(fleet, lambda about: about.versions)
    settings = _differences(fleet, lambda about: about.settings)
    same = ", ".join(f"{name} {fleet.here.versions[name]}" for name in ("numpy", "scipy", "scikit-image", "celery"))
    return [
        *findings,
        *run(GROUP, _POOLS, fleet),
        *(run(GROUP, [_VERSION], *versions) or [Finding(GROUP, "versions", OK, f"{same} everywhere")]),
        *(run(GROUP, _SETTINGS, *settings) or [Finding(GROUP, "settings", OK, "the same on all workers and here")]),
        *run(GROUP, [_MEMORY], *_by_machine(fleet.abouts.values())),
        *run(GROUP, [_CLOCKS], fleet),
    ]


def _differences(fleet: Fleet, values_of: Callable[[About], Mapping[str, object]]) -> Iterator[Difference]:
    """The subjects of which a worker has another value than this process."""
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


def _database(address: str) -> str:
    return address.rpartition("/")[2]


def _by_machine(abouts: Iterable[About]) -> list[list[About]]:
    """The workers of each machine, which share its memory."""
    in_order = sorted(abouts, key=lambda about: about.machine)
    return [list(group) for _, group in groupby(in_order, key=lambda about: about.machine)]


def _has_bytes(workers: Sequence[About]) -> int:
    return min(about.memory_bytes for about in workers)


def _wanted_bytes(workers: Sequence[About]) -> int:
    return sum(w.pool.processes * int(w.settings.get("worker_memory_bytes", 0)) for w in workers if w.pool is not None)


def _processes(workers: Iterable[About]) -> int:
    return sum(about.pool.processes for about in workers if about.pool is not None)


def _names(fleet: Fleet) -> str:
    names = sorted(answer.worker for answer in fleet.answers)
    return f"{len(names)}: {', '.join(names)}" if names else f"no worker answered within {fleet.timeout_s:g} s"


def _doubles(fleet: Fleet) -> str:
    return ", ".join(name for name, count in Counter(answer.worker for answer in fleet.answers).items() if count > 1)


def _unserved(fleet: Fleet) -> str:
    served = {queue for about in fleet.abouts.values() for queue in about.queues}
    return ",".join(queue for lane in LANES if (queue := fleet.queue_of(lane)) not in served)


def _other_pools(fleet: Fleet) -> str:
    return ", ".join(f"{name} ({pool.kind})" for name, pool in fleet.pools.items() if pool.kind != "prefork")


def _pools(fleet: Fleet) -> str:
    prefork = f"prefork, {_processes(fleet.abouts.values())} processes at most" if fleet.pools else ""
    return _other_pools(fleet) or prefork


def _threaded(fleet: Fleet) -> str:
    counts = {name: pool.parent_threads for name, pool in fleet.forking.items()}
    return ", ".join(f"{name} ({count})" for name, count in counts.items() if count > 1)


def _memory(workers: Sequence[About]) -> str:
    memory = f"{_has_bytes(workers) / 2**30:,.1f} GiB" if _has_bytes(workers) else "an unknown amount"
    wanted = f"{_processes(workers)} processes may hold {_wanted_bytes(workers) / 2**30:,.1f} GiB"
    return f"{workers[0].machine}: {wanted}, it has {memory}"


def _less_memory(workers: Sequence[About]) -> str:
    fitting = max(1, int(_has_bytes(workers) * 0.8 / max(1, _processes(workers))) >> 20 << 20)
    return f"set LEPTON_WORKER_MEMORY_BYTES={fitting} there and where you submit, or run fewer processes"


def _apart(fleet: Fleet) -> str:
    apart = []
    for answer in fleet.answers:
        ahead = beyond(answer.about.time, answer.asked_at, answer.received_at) if answer.about else 0.0
        if abs(ahead) > CLOCKS_APART_S:
            apart.append(f"{answer.worker} {abs(ahead):,.0f} s {'ahead' if ahead > 0 else 'behind'}")
    return ", ".join(apart)


_ANSWERS: tuple[Check[Fleet], ...] = (
    Check(
        "answers",
        _names,
        "see what became of the others, or wait longer for them (--timeout)",
        Case(
            PROBLEM,
            "",
            lambda fleet: not fleet.answers,
            "start one (`lepton up`, or celery -A workers.app worker); if one runs and is solo and busy, ask again",
        ),
        Case(PROBLEM, "there should be more", lambda fleet: len(fleet.answers) < fleet.expected),
    ),
    Check(
        "names",
        _doubles,
        "give each a name of its own: --hostname=worker1@%h",
        Case(WARNING, "several workers have this name, and only one of them is looked at"),
    ),
    Check(
        "prepared",
        lambda fleet: ", ".join(answer.worker for answer in fleet.answers if answer.about is None),
        "call lepton_celery.configure(app) where its application is made, and install one release everywhere",
        Case(PROBLEM, "it cannot run our jobs, or has another release"),
    ),
)

_POOLS: tuple[Check[Fleet], ...] = (
    Check(
        "lanes",
        lambda fleet: _unserved(fleet) or f"{', '.join(LANES)} are served",
        lambda fleet: f"start a worker with --queues={_unserved(fleet)}",
        Case(PROBLEM, "no worker serves this, so its jobs wait for ever", _unserved),
    ),
    Check(
        "pool",
        _pools,
        "start workers with --pool=prefork, the default",
        Case(WARNING, "a block that crashes or takes too long takes the whole worker along", _other_pools),
    ),
    Check(
        "fork",
        _threaded,
        "start no threads where the application is imported, and set OMP_NUM_THREADS=1 for workers",
        Case(WARNING, "the process that forks has threads, so a child may find a lock held for ever"),
    ),
    Check(
        "fork",
        lambda fleet: ", ".join(name for name in fleet.forking if fleet.abouts[name].platform == "darwin"),
        "use it for development only; for servers take Linux",
        Case(WARNING, "it forks on macOS, whose libraries may crash in a child"),
    ),
    Check(
        "shutdown",
        lambda fleet: ", ".join(name for name, about in fleet.abouts.items() if about.soft_shutdown_s <= 0),
        "set worker_soft_shutdown_timeout = 5 in the Celery application",
        Case(WARNING, "a stop cuts the batch in hand off, and its blocks wait for the end of their lease"),
    ),
)

_VERSION: Check[Difference] = Check(
    "versions",
    str,
    "install the same on all machines (one requirements.lock for all)",
    Case(PROBLEM, "pixels may differ", lambda package: package.subject in PIXEL_PACKAGES),
    Case(WARNING),
)

_SETTINGS: tuple[Check[Difference], ...] = (
    Check(
        "settings",
        lambda setting: str(setting) if setting.subject in SAME_EVERYWHERE else "",
        lambda setting: f"set LEPTON_{setting.subject.upper()} to the same value on all machines",
        Case(WARNING),
    ),
    Check(
        "ledger",
        lambda setting: str(setting) if setting.subject == "ledger" else "",
        "make sure that these are names of one server (LEPTON_LEDGER_URL)",
        Case(
            PROBLEM,
            "a job is known in its own database only",
            lambda ledger: {_database(address) for address in ledger.others} != {_database(ledger.here)},
            "name one database everywhere (LEPTON_LEDGER_URL)",
        ),
        Case(WARNING),
    ),
)

_MEMORY: Check[Sequence[About]] = Check(
    "memory",
    _memory,
    _less_memory,
    Case(WARNING, "", lambda workers: not _has_bytes(workers), "see that it has enough"),
    Case(PROBLEM, "", lambda workers: _wanted_bytes(workers) > _has_bytes(workers)),
)

_CLOCKS: Check[Fleet] = Check(
    "clocks",
    lambda fleet: _apart(fleet) or f"within {CLOCKS_APART_S:g} s of this machine's",
    "let all machines keep time (chrony): a worker that is behind looks for lost work that much later",
    Case(WARNING, "", _apart),
)
