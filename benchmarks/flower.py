"""Measures Flower's pages for jobs: memory, cost, first paint, and input: `python -m benchmarks.flower`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import redis
from celery import Celery

import lepton_celery as lepton
from benchmarks import crowd, document, lanes
from benchmarks.flower_pages import Latency, Paint, Readers, chromium, first_paints, input_latency, opened
from benchmarks.folder import work_folder
from lepton_celery.engines.celery.sending.canvas import send_alone
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.address import redis_py_url
from lepton_celery.ledger.history import Work
from lepton_celery.ledger.info import Description
from lepton_celery.local.stack import LocalStack, Project

_WORKERS = 2
_TINY = 8
"""Pixels of a tiny block along each axis."""
_AT_A_TIME = 2000
_COUNTED = ("lepton.process", "lepton.close", "lepton.tidy")


@dataclass(frozen=True)
class Flood:
    """Flower before and after a job."""

    events: bool
    blocks: int
    before_bytes: int
    """Resident memory once its pages are open."""
    after_bytes: int
    tasks: int
    """Tasks of jobs in Flower's store at the end."""
    own: bool
    """Whether a task that was sent before the job is still there."""


@dataclass(frozen=True)
class Spent:
    """Processor seconds of a job."""

    server_s: float
    workers_s: float
    flower_s: float
    took_s: float


@contextmanager
def running(folder: Path, workers: int = _WORKERS, **environment: str) -> Iterator[tuple[LocalStack, Celery]]:
    """A stack with Flower, and the application that submits to it."""
    project = Project(settings="local", env=environment)
    with LocalStack(folder, workers=workers, project=project) as stack:
        yield stack, lanes.application(stack.broker_url)


def tiny_job(app: Celery, folder: Path, blocks: int) -> lepton.Job:
    """Submit a job of tiny blocks."""
    side = round(blocks**0.5) * _TINY
    pixels = np.lib.format.open_memmap(folder / "tiny.npy", mode="w+", dtype=np.uint8, shape=(side, side))
    pixels[::_TINY, ::_TINY] = 7
    outputs = {str(folder / "tiny-out.npy"): lepton.open(folder / "tiny.npy") + 1}
    return lepton.submit(outputs, app=app, block_shape=(_TINY, _TINY), title="tiny blocks", priority="batch")


def flood(work: Path, blocks: int, *, events: bool) -> Flood:
    """Run a job each of whose blocks is a message of its own, as blocks of half a second are."""
    work.mkdir()
    with (
        running(work / "stack", LEPTON_TASK_EVENTS=str(int(events)), FLOWER_UNAUTHENTICATED_API="1") as (stack, app),
        chromium() as browser,
    ):
        tiny_job(app, work, 100).wait(120)  # loads libraries
        app.send_task("celery.accumulate", args=(1,), queue="lepton.default", ignore_result=True)
        (work / "tiny-out.npy").unlink()
        job = tiny_job(app, work, blocks)
        with opened(browser, str(stack.flower_url), job.id):
            time.sleep(3)
            flower = psutil.Process(stack.info.processes["flower"])
            before = flower.memory_info().rss
            for first in range(0, blocks, _AT_A_TIME):
                send_alone(app, job.info(), map(Place, range(first, min(blocks, first + _AT_A_TIME))))
            client = redis.Redis.from_url(redis_py_url(stack.broker_url))
            while client.llen("lepton.batch"):
                time.sleep(0.5)
            job.wait(600)
            time.sleep(3)
            names = [task["name"] for task in Readers(str(stack.flower_url)).get("/api/tasks").values()]
            return Flood(
                events,
                blocks,
                before,
                flower.memory_info().rss,
                sum(name in _COUNTED for name in names),
                "celery.accumulate" in names,
            )


def large_map(work: Path, side: int, loads: int) -> list[Paint]:
    """Load the page of a job of `side` x `side` blocks, half of which are done, in a new browser."""
    work.mkdir()
    with running(work / "stack", workers=0) as (stack, app):
        job = tiny_job(app, work, side * side)
        ledger = open_ledger(app.conf["lepton"].ledger)
        half_done(ledger, job.id, side * side)
        time.sleep(3)
        with chromium() as browser:
            return first_paints(browser, f"{stack.flower_url}/job/{job.id}", loads)


def half_done(ledger: Ledger, job: str, blocks: int) -> None:
    """Record receipts of half of a job's blocks, as eight workers would."""
    generator, at = np.random.default_rng(0), 0
    ledger.dispatch(job, StageNumber(0), count=blocks * 7 // 10)
    while at < blocks // 2:
        count = int(generator.integers(300, 800))
        work = Work(f"celery@machine/{generator.integers(8)}", f"{at}-{at + count - 1}", 0.4, 0.3, 0.05, 0.05)
        places = map(Place, range(at, at + count))
        ledger.commit(job, StageNumber(0), places, owner="somebody", stats={"seconds": 0.4}, work=work)
        at += count


def running_page(work: Path, blocks: int) -> Latency:
    """Use the page of a job of many blocks while it runs."""
    work.mkdir()
    with running(work / "stack") as (stack, app), chromium() as browser:
        job = crowd.submit_large(app, work, blocks)
        found = input_latency(browser, f"{stack.flower_url}/job/{job.id}")
        job.cancel()
        return found


def costs(work: Path, blocks: int, old: int, pairs: int) -> tuple[list[Spent], list[Spent]]:
    """What a job costs without and with three pages open, in turn; `old` jobs have been done before."""
    work.mkdir()
    without, with_pages = [], []
    with running(work / "stack") as (stack, app):
        ledger = open_ledger(app.conf["lepton"].ledger)
        for number in range(old):
            name = f"old-{number}"
            about = Description(f"the job before, number {number}", "")
            ledger.create(name, {"graph": []}, lane="batch", description=about, stages=[1.0], blocks=1)
            ledger.cancel(name)
        _timed(stack, app, work, blocks, None)  # loads libraries
        for _ in range(pairs):
            without.append(_timed(stack, app, work, blocks, None))
            with_pages.append(_timed(stack, app, work, blocks, Readers(str(stack.flower_url))))
    return without, with_pages


def _timed(stack: LocalStack, app: Celery, work: Path, blocks: int, readers: Readers | None) -> Spent:
    for path in work.glob("large*"):
        path.unlink()
    client: Any = redis.Redis.from_url(redis_py_url(stack.broker_url))
    begun, before = time.perf_counter(), _processor_s(stack, client)
    job = crowd.submit_large(app, work, blocks)
    if readers is not None:
        readers.start(job.id)
    job.wait(600)
    if readers is not None:
        readers.stop()
    after = _processor_s(stack, client)
    server_s, workers_s, flower_s = (late - early for late, early in zip(after, before, strict=True))
    return Spent(server_s, workers_s, flower_s, time.perf_counter() - begun)


def _processor_s(stack: LocalStack, client: Any) -> tuple[float, float, float]:
    """Processor seconds of the server, the workers, and Flower."""
    found = client.info("cpu")
    pids = stack.info.processes
    workers = [pid for name, pid in pids.items() if name.startswith("worker")]
    return (
        found["used_cpu_sys"] + found["used_cpu_user"],
        sum(_with_children(pid) for pid in workers),
        _with_children(pids["flower"]),
    )


def _with_children(pid: int) -> float:
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def flood_lines(floods: Sequence[Flood]) -> list[str]:
    """The part about Flower's memory."""
    head = (
        "events of blocks",
        "before (MB)",
        "after (MB)",
        "tasks of blocks in its store",
        "a task from before the job",
    )
    rows = [
        (
            "on (`LEPTON_TASK_EVENTS=1`)" if one.events else "off, as shipped",
            f"{one.before_bytes / 1e6:.0f}",
            f"{one.after_bytes / 1e6:.0f}",
            f"{one.tasks:,}",
            "is there" if one.own else "was pushed out",
        )
        for one in floods
    ]
    return [
        "### Memory of Flower",
        "",
        "The resident memory of Flower, with the pages Jobs, Job and Fleet open in Chromium, before and after a job of",
        f"{floods[0].blocks:,} blocks, each a message of its own.",
        "",
        *document.table(head, rows),
    ]


def cost_lines(without: Sequence[Spent], with_pages: Sequence[Spent], blocks: int, old: int) -> list[str]:
    """The part about what open pages cost."""

    def median(spent: Sequence[Spent], name: str) -> float:
        return float(statistics.median(getattr(one, name) for one in spent))

    def spread(spent: Sequence[Spent], name: str) -> str:
        values = sorted(getattr(one, name) for one in spent)
        return f"{statistics.median(values):.2f} ({values[0]:.2f} .. {values[-1]:.2f})"

    slots_s = _WORKERS * median(without, "took_s")
    more_s = median(with_pages, "server_s") - median(without, "server_s")
    names = {"server_s": "the server", "workers_s": "the workers", "flower_s": "Flower"}
    rows = [(title, spread(without, name), spread(with_pages, name)) for name, title in names.items()]
    return [
        "### What open pages cost",
        "",
        f"Processor seconds of a job of {blocks:,} blocks on {_WORKERS} workers, with {old:,} older jobs in the ledger,",
        "while nobody looks, and while a program asks for what the pages Jobs, Job and Fleet ask for. Medians of",
        f"{len(without)} runs of each, in turn, and their extremes.",
        "",
        *document.table(("of", "without pages (s)", "with three pages (s)"), rows),
        "",
        f"The pages cost the server {more_s:.2f} s, {100 * more_s / slots_s:.2f} % of the workers' time.",
    ]


def page_lines(paints: Sequence[Paint], side: int, latency: Latency, blocks: int) -> list[str]:
    """The part about what a user feels."""
    later = [paint.drawn_ms for paint in paints[1:]]
    return [
        "### The page of a job",
        "",
        f"From navigation until the map of {side * side:,} blocks is painted: {paints[0].drawn_ms:.0f} ms for the first",
        f"page of a new Flower in a new Chromium, then {statistics.median(later):.0f} ms ({min(later):.0f} ..",
        f"{max(later):.0f}) in new windows without a cache. The answer with the states of all blocks has",
        f"{paints[-1].states_bytes:,} bytes.",
        "",
        f"A job of {blocks:,} blocks runs, and the pointer moves over its map, clicks and zooms, {latency.inputs} inputs",
        "in all. From an input until the frame that shows its effect, as the browser measures it, 95 % took at most",
        f"{latency.p95_ms:.0f} ms, and the slowest {latency.longest_ms:.0f} ms. Chromium draws without a GPU, on the",
        "processors of the workers.",
    ]


@click.command(help="Measure Flower's pages for jobs.")
@click.option("--blocks", type=click.IntRange(100), default=100_000, show_default=True, help="Of the flood.")
@click.option("--cost-blocks", type=click.IntRange(100), default=10_000, show_default=True, help="Of the other jobs.")
@click.option("--pairs", type=click.IntRange(1), default=8, show_default=True, help="Runs without and with pages.")
@click.option("--old", type=click.IntRange(0), default=1000, show_default=True, help="Older jobs in the ledger.")
@click.option("--side", type=click.IntRange(10), default=1000, show_default=True, help="Blocks of a side of the map.")
@click.option("--only", type=click.Choice(["memory", "cost", "page"]), help="Measure only this, and write nothing.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(blocks: int, cost_blocks: int, pairs: int, old: int, side: int, only: str | None, out: Path) -> None:
    lines: list[str] = []
    with work_folder() as work:
        if only in (None, "cost"):
            lines += ["", *cost_lines(*costs(work / "cost", cost_blocks, old, pairs), cost_blocks, old)]
        if only in (None, "page"):
            paints = large_map(work / "map", side, 6)
            lines += ["", *page_lines(paints, side, running_page(work / "page", cost_blocks), cost_blocks)]
        if only in (None, "memory"):
            floods = [flood(work / f"flood{events:d}", blocks, events=events) for events in (False, True)]
            lines += ["", *flood_lines(floods)]
    text = "\n".join(["## Flower's pages", *lines])
    click.echo(text)
    if only is None:
        document.replace_section(out / "benchmarks.md", "flower", text)


if __name__ == "__main__":
    main()
