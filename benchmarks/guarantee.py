"""Measures what the ledger's guarantee and signing cost, and where time goes: `python -m benchmarks.guarantee`."""

from __future__ import annotations

import os
import secrets
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from celery import Celery

import lepton_celery as lepton
from benchmarks import document, stopwatch
from benchmarks.cases import Case, Task, cases
from benchmarks.folder import work_folder
from benchmarks.stopwatch import LOG, UNGUARDED, Span
from benchmarks.systems.base import WORKERS
from benchmarks.workloads import workload_of
from lepton_celery.config import load_settings
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.signing import check_signed, signature_of, signed

_WORKLOADS = ("W1", "W3", "W4", "W5")
_KEY = "LEPTON_SECRET_KEY"


@dataclass(frozen=True)
class Flow:
    """The moments of a job in seconds since its submission, then the summed seconds of its workers."""

    submitted: float
    """`submit` returned."""
    first_block: float
    """A worker began the first block."""
    last_block: float
    """The last block was done."""
    ended: float
    """The last merge was committed."""
    seen: float
    """`wait` returned."""
    ledger_s: float
    """In calls of the ledger."""
    blocks_s: float
    """In blocks."""
    outside_s: float
    """In batches, but neither in blocks nor in the ledger."""
    merges_s: float
    """Closing waves and merging, without the ledger."""
    idle_s: float
    """Without a message, between the first message and the last merge."""


@dataclass
class Compared:
    """The seconds of one case with and without the guarantee, and signed; and where they went."""

    guarded: list[float] = field(default_factory=list)
    signed: list[float] = field(default_factory=list)
    unguarded: list[float] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)


def flow(begin: float, submitted: float, seen: float, found: Sequence[Span]) -> Flow:
    """The moments of a job, computed from the spans that its workers recorded."""
    blocks, batches, closes = ([s for s in found if s.name == name] for name in ("run_block", "process", "close"))
    messages = batches + closes
    ledger = [span for span in found if span.name.startswith("ledger.")]
    ledger_s, blocks_s = _seconds(ledger), _seconds(blocks)
    ledger_in_batches = _seconds([span for span in ledger if _inside(span, batches)])
    ended = max(span.end for span in found if span.name == "ledger.commit_merge")
    busy = sum(min(span.end, ended) - span.begin for span in messages if span.begin < ended)
    first = min(span.begin for span in messages)
    return Flow(
        submitted - begin,
        min(span.begin for span in blocks) - begin,
        max(span.end for span in blocks) - begin,
        ended - begin,
        seen - begin,
        ledger_s,
        blocks_s,
        _seconds(batches) - blocks_s - ledger_in_batches,
        _seconds(closes) - (ledger_s - ledger_in_batches),
        WORKERS * (ended - first) - busy,
    )


def _seconds(spans: Sequence[Span]) -> float:
    return sum(span.seconds for span in spans)


def _inside(span: Span, batches: Sequence[Span]) -> bool:
    return any(b.process == span.process and b.begin <= span.begin and span.end <= b.end for b in batches)


@contextmanager
def _stack(folder: Path, name: str, **env: str) -> Iterator[Celery]:
    """Start workers with the environment of `benchmarks.stopwatch`; an application that submits to them."""
    root = {"PYTHONPATH": str(Path(__file__).parents[1])}
    project = Project(app="benchmarks.stopwatch_app", settings="local", env={**root, **env})
    with LocalStack(folder / name, workers=WORKERS, flower=False, project=project) as stack:
        values = {"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": stack.broker_url, _KEY: env.get(_KEY, "")}
        app = lepton.create_app(load_settings(values))
        publisher_of(app)
        yield app


def _run(app: Celery, case: Case, work: Path) -> tuple[float, float, float]:
    """Run a job; the times before `submit`, after `submit`, and after `wait`."""
    task = Task.new(case, work)
    outputs = workload_of(task).graph(task)
    begin = time.monotonic()
    job = lepton.submit(outputs, app=app, block_shape=case.block, workers=WORKERS)
    submitted = time.monotonic()
    job.wait(300)
    seen = time.monotonic()
    time.sleep(0.2)  # the workers record the spans that were open when the job ended
    shutil.rmtree(task.out)
    return begin, submitted, seen


def measure(chosen: Sequence[Case], work: Path, repeat: int) -> dict[str, Compared]:
    """Run each case in turn on guarded, unguarded, signed and timed workers."""
    found = {case.name: Compared() for case in chosen}
    log = work / "times"
    with (
        _stack(work, "guarded") as guarded,
        _stack(work, "unguarded", **{UNGUARDED: "1"}) as unguarded,
        _stack(work, "signed", **{_KEY: secrets.token_urlsafe()}) as signing,
        _stack(work, "timed", **{LOG: str(log)}) as timed,
    ):
        for case in chosen:
            for made in (case, case.tiny()):
                task = Task(made, work, work)
                workload_of(task).make(task)
            for app in (guarded, unguarded, signing, timed):
                for _ in range(2):
                    _run(app, case.tiny(), work)
            for _ in range(repeat):
                compared = found[case.name]
                turns = [(guarded, compared.guarded), (unguarded, compared.unguarded), (signing, compared.signed)]
                for app, seconds in turns:
                    begin, _, seen = _run(app, case, work)
                    seconds.append(seen - begin)
                log.unlink(missing_ok=True)
                begin, submitted, seen = _run(timed, case, work)
                found[case.name].flows.append(flow(begin, submitted, seen, stopwatch.spans(log)))
            Task(case, work, work).source.unlink()
    return found


def section(chosen: Sequence[Case], found: dict[str, Compared], repeat: int) -> str:
    """The section of the document."""
    lines = [
        "## What the guarantee costs",
        "",
        "The same jobs on the same kind of workers, in turn: with the ledger as it is, and without claims, leases and",
        "heartbeats, so that the blocks of a lost worker would stay lost and a message that comes twice would be processed",
        "twice. Receipts and the fence of a merge remain, because they decide when a stage is over. Signed jobs have",
        f"LEPTON_SECRET_KEY: every manifest and message is signed and checked. Medians of {repeat} runs, from submission to",
        "result.",
        "",
    ]
    rows = []
    for case in chosen:
        runs = (found[case.name].guarded, found[case.name].unguarded, found[case.name].signed)
        guarded, unguarded, signed = map(statistics.median, runs)
        costs = (
            f"{100 * (slower / faster - 1):+.1f} %" for slower, faster in ((guarded, unguarded), (signed, guarded))
        )
        rows.append((case.name, *map(_spread, runs), *costs))
    head = ("workload", "guarded s", "unguarded s", "signed s", "cost of the guarantee", "cost of signing")
    message_s, manifest_s = signing_seconds()
    lines += [
        *document.table(head, rows),
        "",
        f"Signing by itself takes {1e6 * message_s:.1f} µs for a message and, with its check, {1e3 * manifest_s:.2f} ms",
        "for a manifest, which is signed twice for a job and checked by each process that works on it.",
        "",
    ]
    lines += [
        "Where the time goes, on workers that record what they do; medians, in milliseconds. The first columns are times",
        "since submission, the others are sums over the two workers.",
        "",
    ]
    names = ("submit returns", "first block", "last block", "job ends", "wait returns")
    sums = ("in blocks", "in the ledger", "else in batches", "closing, merging", "idle")
    fields = "submitted first_block last_block ended seen blocks_s ledger_s outside_s merges_s idle_s".split()
    rows = []
    for case in chosen:
        columns = ([getattr(flow, name) for flow in found[case.name].flows] for name in fields)
        rows.append((case.name, *(f"{1000 * statistics.median(values):.0f}" for values in columns)))
    return "\n".join([*lines, *document.table(("workload", *names, *sums), rows)])


def signing_seconds() -> tuple[float, float]:
    """Seconds to sign a message, and to sign and check a manifest of seven kilobytes."""
    keys = (secrets.token_urlsafe(),)
    document = {"nodes": [{"operation": "filters.gaussian", "figures": [1.5] * 20}] * 50}
    begun = time.perf_counter()
    for _ in range(1000):
        signature_of(("0123456789ab", 0, "0-15"), "lepton.process", keys)
    message = time.perf_counter()
    for _ in range(100):
        check_signed(signed(document, "manifest", keys), "manifest", keys, "the manifest")
    return (message - begun) / 1000, (time.perf_counter() - message) / 100


def _spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.3f} ({min(seconds):.2f} .. {max(seconds):.2f})"


@click.command(help="Measure what the ledger's guarantee costs.")
@click.option("--quick", is_flag=True, help="Small pictures: to see that everything runs.")
@click.option("--repeat", type=click.IntRange(1), default=5, show_default=True, help="Runs of each.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(quick: bool, repeat: int, out: Path) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    chosen = [case for case in cases(is_quick=quick) if case.name in _WORKLOADS]
    with work_folder() as work:
        found = measure(chosen, work, repeat)
    text = section(chosen, found, repeat)
    document.replace_section(out / "benchmarks.md", "guarantee", text)
    click.echo(text)


if __name__ == "__main__":
    main()
