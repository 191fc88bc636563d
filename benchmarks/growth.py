"""How time and memory grow with the picture and with the number of blocks: `python -m benchmarks.growth`."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import redis

import lepton_celery as lepton
from benchmarks import arrays, document
from benchmarks.cases import Case
from benchmarks.folder import work_folder
from benchmarks.functions import SIGMA
from benchmarks.runner import Measured, Runner
from lepton_celery import client
from lepton_celery.config import load_settings
from lepton_celery.ledger.address import redis_py_url
from lepton_celery.skimage import filters
from lepton_celery.stack.server import RedisServer

_BLOCK = 1024
_SIDES = (2048, 4096, 8192, 16384)
_TINY = 16
"""Side of the blocks where only their number counts."""
_DONE = (10, 32, 100, 316)
_SUBMITTED = (10, 100, 1000)
"""Blocks along each of two axes."""


@dataclass(frozen=True)
class Submitted:
    """What it took to plan and submit a job of many blocks."""

    blocks: int
    plan_s: float
    submit_s: float
    """Planning included."""
    before_bytes: int
    """Largest resident memory of the process before it had the job."""
    after_bytes: int
    """The same afterwards."""
    broker_bytes: int
    """Memory of the broker, more than before."""


def by_side(sides: tuple[int, ...]) -> list[Case]:
    """The same filter on larger and larger pictures."""
    block = (min(_BLOCK, sides[0] // 2),) * 2
    return [Case(f"{side}²", "W1", (side, side), block, ("a", "f", "lepton")) for side in sides]


def by_blocks(counts: tuple[int, ...]) -> list[Case]:
    """The same light function on more and more tiny blocks."""
    return [
        Case(f"{count**2:,} blocks", "W5", (count * _TINY,) * 2, (_TINY, _TINY), ("f", "lepton", "inline"))
        for count in counts
    ]


def submit(count: int, folder: Path, broker_url: str) -> Submitted:
    """Plan and submit a job of count × count blocks to a broker without workers; in a process of its own."""
    source, sink = folder / f"{count}.npy", folder / f"{count}-out.npy"
    arrays.create(source, (count * _TINY,) * 2, np.uint8, (_TINY, _TINY))
    server = redis.Redis.from_url(redis_py_url(broker_url))
    app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": broker_url}))
    lazy = filters.gaussian(lepton.open(source), sigma=SIGMA)
    # once before, so that what is loaded when first used is not counted
    lepton.submit({str(folder / "first.npy"): lazy}, app=app).cancel()
    before, broker = _largest(), int(server.info("memory")["used_memory"])
    begun = time.perf_counter()
    client.prepare({str(sink): lazy}, block_shape=(_TINY, _TINY))
    planned = time.perf_counter()
    job = lepton.submit({str(sink): lazy}, app=app, block_shape=(_TINY, _TINY))
    ended = time.perf_counter()
    after, used = _largest(), int(server.info("memory")["used_memory"])
    job.cancel()
    source.unlink()
    return Submitted(count**2, planned - begun, ended - planned, before, after, used - broker)


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _submitted(count: int, folder: Path, broker_url: str) -> Submitted:
    """`submit`, in a new process, whose largest memory is then of this job alone."""
    command = [sys.executable, "-m", "benchmarks.growth", "--submit", str(count), "--out", str(folder)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "GROWTH_BROKER": broker_url}
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    return Submitted(**json.loads(done.stdout.splitlines()[-1]))


def section(sides: Runner, blocks: Runner, submitted: list[Submitted]) -> str:
    """The section of the document."""
    lines = [
        "## How it grows",
        "",
        f"With the picture: gaussian(sigma={SIGMA}), float32, blocks of {_BLOCK}². Seconds, and memory of all processes of",
        "a system together; a is scikit-image on the whole image, f the hand-written pool.",
        "",
    ]
    names = ("a", "f", "lepton")
    head = ("picture", *(f"{name} s" for name in names), "lepton × f", *(f"{name} MB" for name in names))
    rows = []
    for case in sides.cases:
        found = sides.results[case.name]
        over = found["lepton"].median / found["f"].median
        seconds, memory = [_seconds(found[name]) for name in names], [_memory(found[name]) for name in names]
        rows.append((case.name, *seconds, f"{over:.2f}", *memory))
    lines += [*document.table(head, rows), ""]
    names = ("f", "lepton", "inline")
    lines += [
        f"With the number of blocks: sqrt(x) * 0.5 + 0.25 on blocks of {_TINY}², where nothing but their number counts.",
        "",
    ]
    head = ("blocks", *(f"{name} s" for name in names), *(f"{name} µs a block" for name in names), "lepton MB")
    rows = []
    for case in blocks.cases:
        found = blocks.results[case.name]
        each = [f"{found[name].median / case.blocks * 1e6:.0f}" if found[name].seconds else "-" for name in names]
        rows.append((f"{case.blocks:,}", *(_seconds(found[name]) for name in names), *each, _memory(found["lepton"])))
    lines += [*document.table(head, rows), ""]
    lines += [
        "Planning and submitting only: what a program pays that submits, for a job of so many blocks. Its first window goes",
        "to the broker, the rest is a cursor in the ledger. Resident memory of the submitter; used memory of the broker.",
        "",
    ]
    rows = [
        (
            f"{s.blocks:,}",
            f"{1000 * s.plan_s:.1f}",
            f"{1000 * s.submit_s:.0f}",
            f"{s.before_bytes / 2**20:.0f} -> {s.after_bytes / 2**20:.0f}",
            f"{s.broker_bytes / 1000:.0f}",
        )
        for s in submitted
    ]
    return "\n".join([*lines, *document.table(("blocks", "plan ms", "submit ms", "submitter MB", "broker kB"), rows)])


def _seconds(measured: Measured) -> str:
    return f"{measured.median:.2f}" if measured.seconds else measured.failure


def _memory(measured: Measured) -> str:
    return f"{max(measured.memory) / 2**20:.0f}" if measured.memory else "-"


def _shown(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


@click.command(help="Measure how time and memory grow.")
@click.option("--quick", is_flag=True, help="Small pictures and few blocks: to see that everything runs.")
@click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="Runs of each.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
@click.option("--sides", default=_shown(_SIDES), show_default=True, help="Lengths of the pictures.")
@click.option("--counts", default=_shown(_DONE), show_default=True, help="Blocks along each axis.")
@click.option("--submit", "count", type=int, hidden=True)
def main(quick: bool, repeat: int, out: Path, sides: str, counts: str, count: int | None) -> None:
    if count is not None:
        click.echo(json.dumps(vars(submit(count, out, os.environ["GROWTH_BROKER"]))))
        return
    with work_folder() as work:
        runners = []
        pictures = by_side((256, 512) if quick else _numbers(sides))
        for chosen in (pictures, by_blocks((4, 10) if quick else _numbers(counts))):
            systems = tuple(dict.fromkeys(system for case in chosen for system in case.systems))
            runner = Runner(chosen, systems, work, limit_s=300, say=click.echo)
            runner.run(repeat, 3600)
            runners.append(runner)
        with RedisServer(work / "broker", log=work / "broker.log") as server:
            submitted = [_submitted(count, work, server.url) for count in ((10, 30) if quick else _SUBMITTED)]
    by_size, by_number = runners
    text = section(by_size, by_number, submitted)
    document.replace_section(out / "benchmarks.md", "growth", text)
    click.echo(text)


if __name__ == "__main__":
    main()
