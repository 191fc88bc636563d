"""What the workers said, compared with each other and with this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lepton_celery.config import LANES, Settings
from lepton_celery.doctor.about import About
from lepton_celery.doctor.finding import Finding, ok, problem, warning
from lepton_celery.doctor.server import CLOCKS_APART_S, beyond

GROUP = "workers"

_PIXELS = ("lepton-celery", "numpy", "scipy", "scikit-image")
"""Packages whose versions decide about pixels."""
_MUST_AGREE = ("lease_s", "sweep_s", "max_attempts", "visibility_timeout_s", "allowed_roots", "allowed_functions")


@dataclass(frozen=True, slots=True)
class Answer:
    """One worker's answer."""

    worker: str
    about: About | None
    """None: it answered, but not to this question."""
    asked_at: float
    """This machine's clock when the question was sent …"""
    received_at: float
    """… and when the answer came."""


def check_workers(
    answers: Sequence[Answer],
    here: About,
    settings: Settings,
    *,
    queue_of: Callable[[str], str],
    timeout_s: float,
    expected: int | None = None,
) -> list[Finding]:
    """All findings about workers.

    Args:
        answers: of all workers that answered.
        here: what this process says of itself.
        settings: of this process.
        queue_of: the queue of a lane.
        timeout_s: how long was waited for answers.
        expected: how many workers there should be; None: any.
    """
    if not answers:
        return [
            problem(
                GROUP,
                "answers",
                f"no worker answered within {timeout_s:g} s",
                "start one (`lepton up`, or celery -A workers.app worker); if one runs and is solo and busy, ask again",
            )
        ]
    names = [answer.worker for answer in answers]
    abouts = {answer.worker: answer.about for answer in answers if answer.about is not None}
    strangers = sorted({answer.worker for answer in answers if answer.about is None})
    findings = [_answers(sorted(names), expected, timeout_s)]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        findings.append(
            warning(
                GROUP,
                "names",
                f"several workers are called {', '.join(doubles)}: only one of them is looked at",
                "give each a name of its own: --hostname=worker1@%h",
            )
        )
    if strangers:
        findings.append(
            problem(
                GROUP,
                "prepared",
                f"{', '.join(strangers)} cannot run our jobs or has another release",
                "call lepton_celery.configure(app) where its application is made, and install one release everywhere",
            )
        )
    if abouts:
        findings += [
            *_lanes(abouts, queue_of),
            *_versions(abouts, here),
            *_settings(abouts, here),
            *_pools(abouts),
            *_memory(abouts),
            *_shutdown(abouts, settings),
            _clocks(answers),
        ]
    return findings


def _answers(names: Sequence[str], expected: int | None, timeout_s: float) -> Finding:
    found = f"{len(names)}: {', '.join(names)}"
    if expected is not None and len(names) < expected:
        advice = f"see what became of the others; only answers within {timeout_s:g} s count"
        return problem(GROUP, "answers", f"{found}; there should be {expected}", advice)
    return ok(GROUP, "answers", found)


def _lanes(abouts: Mapping[str, About], queue_of: Callable[[str], str]) -> list[Finding]:
    served = {queue for about in abouts.values() for queue in about.queues}
    missing = [queue_of(lane) for lane in LANES if queue_of(lane) not in served]
    if missing:
        return [
            problem(
                GROUP,
                "lanes",
                f"nobody serves {', '.join(missing)}: such jobs wait for ever",
                f"start a worker with --queues={','.join(missing)}",
            )
        ]
    return [ok(GROUP, "lanes", f"{', '.join(LANES)} are served")]


def _versions(abouts: Mapping[str, About], here: About) -> list[Finding]:
    findings = []
    for package in here.versions:
        others = _different(
            {name: about.versions.get(package) for name, about in abouts.items()}, here.versions[package]
        )
        if not others:
            continue
        found = f"{package} {here.versions[package]} here, {others}"
        if package in _PIXELS:
            advice = "install the same on all machines: pixels may differ (one requirements.lock for all)"
            findings.append(problem(GROUP, "versions", found, advice))
        else:
            findings.append(warning(GROUP, "versions", found, "better install the same on all machines"))
    if findings:
        return findings
    shown = ", ".join(f"{name} {here.versions[name]}" for name in ("numpy", "scipy", "scikit-image", "celery"))
    return [ok(GROUP, "versions", f"{shown}: the same on all workers and here")]


def _settings(abouts: Mapping[str, About], here: About) -> list[Finding]:
    findings = []
    for setting in _MUST_AGREE:
        mine = here.settings[setting]
        if others := _different({name: about.settings.get(setting) for name, about in abouts.items()}, mine):
            findings.append(
                warning(
                    GROUP,
                    "settings",
                    f"{setting} is {_shown(mine)} here, {others}",
                    f"set LEPTON_{setting.upper()} alike on all machines",
                )
            )
    ledgers = {name: str(about.settings.get("ledger")) for name, about in abouts.items()}
    mine = str(here.settings["ledger"])
    if others := _different(ledgers, mine):
        found = f"the ledger is at {mine} here, {others}"
        if any(ledger.rpartition("/")[2] != mine.rpartition("/")[2] for ledger in ledgers.values()):
            advice = "name one database everywhere (LEPTON_LEDGER_URL): a job is known in its own only"
            findings.append(problem(GROUP, "ledger", found, advice))
        else:
            findings.append(
                warning(GROUP, "ledger", found, "make sure that these are names of one server (LEPTON_LEDGER_URL)")
            )
    return findings or [ok(GROUP, "settings", "alike on all workers and here")]


def _different(values: Mapping[str, object], mine: object) -> str:
    """Which workers have another value, in words; empty when none has."""
    by_value: dict[str, list[str]] = {}
    for worker, value in sorted(values.items()):
        if value != mine:
            by_value.setdefault(_shown(value), []).append(worker)
    return "; ".join(f"{value} on {', '.join(workers)}" for value, workers in by_value.items())


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "empty"
    return "unknown" if value is None else str(value)


def _pools(abouts: Mapping[str, About]) -> list[Finding]:
    findings = []
    pools = {name: about.pool for name, about in abouts.items() if about.pool is not None}
    if others := sorted(f"{name} ({pool.kind})" for name, pool in pools.items() if pool.kind != "prefork"):
        findings.append(
            warning(
                GROUP,
                "pool",
                f"{', '.join(others)}: a block that crashes or takes too long takes the whole worker along",
                "start workers with --pool=prefork, the default",
            )
        )
    forking = {name: pool for name, pool in pools.items() if pool.kind == "prefork" and pool.start_method == "fork"}
    if threaded := sorted(
        f"{name} ({pool.parent_threads})" for name, pool in forking.items() if pool.parent_threads > 1
    ):
        findings.append(
            warning(
                GROUP,
                "fork",
                f"the process that forks has threads: {', '.join(threaded)}; a child may find a lock held for ever",
                "start no threads where the application is imported, and set OMP_NUM_THREADS=1 for workers",
            )
        )
    if macs := sorted(name for name in forking if abouts[name].platform == "darwin"):
        findings.append(
            warning(
                GROUP,
                "fork",
                f"{', '.join(macs)} forks on macOS, whose libraries may crash in a child",
                "use it for development only; for servers take Linux",
            )
        )
    if findings or not pools:
        return findings
    processes = sum(pool.processes for pool in pools.values())
    return [ok(GROUP, "pool", f"prefork, {processes} processes at most, no threads where they fork")]


def _memory(abouts: Mapping[str, About]) -> list[Finding]:
    """Workers on one machine share its memory."""
    findings = []
    for machine in sorted({about.machine for about in abouts.values()}):
        there = [about for about in abouts.values() if about.machine == machine]
        has = min(about.memory_bytes for about in there)
        processes = sum(about.pool.processes for about in there if about.pool is not None)
        wanted = sum(
            about.pool.processes * int(about.settings.get("worker_memory_bytes", 0))
            for about in there
            if about.pool is not None
        )
        found = f"{machine}: {processes} processes may hold {wanted / 2**30:,.1f} GiB, it has {has / 2**30:,.1f}"
        if not has:
            findings.append(warning(GROUP, "memory", f"{machine}: its memory is unknown", "see that it has enough"))
        elif wanted > has:
            fit = max(1, int(has * 0.8 / max(1, processes)) >> 20 << 20)
            advice = f"set LEPTON_WORKER_MEMORY_BYTES={fit} there and where you submit, or run fewer processes"
            findings.append(problem(GROUP, "memory", found, advice))
        else:
            findings.append(ok(GROUP, "memory", found))
    return findings


def _shutdown(abouts: Mapping[str, About], settings: Settings) -> Iterable[Finding]:
    if hasty := sorted(name for name, about in abouts.items() if about.soft_shutdown_s <= 0):
        yield warning(
            GROUP,
            "shutdown",
            f"{', '.join(hasty)}: a stop cuts the batch in hand off; its blocks wait {settings.lease_s:g} s for others",
            "set worker_soft_shutdown_timeout = 5 in the Celery application",
        )


def _clocks(answers: Sequence[Answer]) -> Finding:
    apart = []
    for answer in answers:
        ahead = beyond(answer.about.time, answer.asked_at, answer.received_at) if answer.about else 0.0
        if abs(ahead) > CLOCKS_APART_S:
            apart.append(f"{answer.worker} {abs(ahead):,.0f} s {'ahead' if ahead > 0 else 'behind'}")
    if apart:
        return warning(
            GROUP,
            "clocks",
            f"{', '.join(apart)} of this machine",
            "let all machines keep time (chrony): a worker that is behind looks for lost work that much later",
        )
    return ok(GROUP, "clocks", f"within {CLOCKS_APART_S:g} s of this machine's")
