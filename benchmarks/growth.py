"""Measures how time and memory grow with the image and with the number of blocks: `python -m benchmarks.growth`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import redis

import lepton_celery as lepton
from benchmarks import arrays, document, plot
from benchmarks.cases import Case, Task
from benchmarks.folder import work_folder
from benchmarks.processes import Parts, available_bytes, children
from benchmarks.runner import Measured, Runner
from benchmarks.systems.base import WORKERS
from benchmarks.workloads import WORKLOADS, workload_of
from lepton_celery.config import Settings, load_settings
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.execution.manifest import JobOptions
from lepton_celery.jobs.prepare import prepare
from lepton_celery.ledger.address import redis_py_url
from lepton_celery.local.server import RedisServer
from lepton_celery.local.stack import LocalStack
from lepton_celery.planning.options import PlanOptions
from lepton_celery.skimage import util

_BLOCK = 1024
_SIDES = (2048, 4096, 8192, 16384, 32768)
_TINY = 16
"""Side of the blocks in the jobs of many blocks, in pixels."""
_COUNTS = (10, 32, 100, 316, 1000)
"""Blocks along each of the two axes."""
_BATCH = 1000
"""Largest number of blocks per task of the batched pool."""
_SINGLE = 10**5
"""Largest number of blocks for systems with a task or call for each block."""

_WHOLE_BYTES = 28
"""Bytes per pixel that scikit-image needs on the whole image, mostly for three float64 arrays at a time."""
_FILE_BYTES = 5
"""Bytes per pixel of the files in memory (tmpfs): the input, and the outputs that are compared."""

PARTS = {"submitter": "submitter", "worker": "worker", "child": "child", "broker": "broker and ledger"}


@dataclass(frozen=True)
class Submitted:
    """The time and memory to plan and submit a job of many blocks."""

    blocks: int
    plan_s: float
    submit_s: float
    """Includes planning."""
    before_bytes: int
    """Peak resident memory of the submitting process before the submission."""
    after_bytes: int
    """Peak resident memory of the submitting process after the submission."""
    broker_bytes: int
    """Growth of the broker's memory."""


@dataclass(frozen=True)
class Done:
    """The time of a job of many blocks on two workers, and the memory of each component in bytes."""

    blocks: int
    seconds: float
    """From `submit` to the end of the job."""
    grown: dict[str, int]
    """The peak less the memory before the job."""
    peak: dict[str, int]
    is_right: bool
    """Whether every pixel is right."""


def by_side(sides: Sequence[int], available: int) -> list[Case]:
    """One filter on images of growing size, for the systems that have enough memory."""
    block = (min(_BLOCK, sides[0] // 2),) * 2
    cases = []
    for side in sides:
        systems = ("a", "f", "lepton") if (_WHOLE_BYTES + _FILE_BYTES) * side**2 < 0.9 * available else ("f", "lepton")
        cases.append(Case(f"{side}²", "G1", (side, side), block, systems))
    return cases


def by_blocks(counts: Sequence[int]) -> list[Case]:
    """One cheap function on a growing number of tiny blocks, for the pool and the inline engine."""
    return [
        Case(
            f"{count**2:,} blocks",
            "G2",
            (count * _TINY,) * 2,
            (_TINY, _TINY),
            ("fb", "f", "inline") if count**2 <= _SINGLE else ("fb",),
            batch=max(1, min(_BATCH, count**2 // (8 * WORKERS))),
        )
        for count in counts
    ]


def submit(count: int, folder: Path, broker_url: str) -> Submitted:
    """Plan and submit a job of count × count blocks to a broker without workers. Call it in a new process."""
    source, sink = folder / f"{count}.npy", folder / f"{count}-out.npy"
    arrays.create(source, (count * _TINY,) * 2, np.uint8, (_TINY, _TINY))
    server = redis.Redis.from_url(redis_py_url(broker_url))
    app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": broker_url}))
    lazy = util.invert(lepton.open(source))
    # warm up, so that lazy imports are not measured
    lepton.submit({str(folder / "first.npy"): lazy}, app=app).cancel()
    before, broker = _largest(), int(server.info("memory")["used_memory"])
    begun = time.perf_counter()
    prepare({str(sink): lazy}, PlanOptions(block_shape=(_TINY, _TINY)), JobOptions(), Settings())
    planned = time.perf_counter()
    job = lepton.submit({str(sink): lazy}, app=app, block_shape=(_TINY, _TINY))
    ended = time.perf_counter()
    after, used = _largest(), int(server.info("memory")["used_memory"])
    job.cancel()
    source.unlink()
    return Submitted(count**2, planned - begun, ended - planned, before, after, used - broker)


def _largest() -> int:
    """Peak resident memory of this program; that of `getrusage` begins with its parent's memory at the fork."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) << 10


def do(count: int, folder: Path) -> Done:
    """Run a job of count × count blocks on a stack of its own. Call it in a new process."""
    (case,) = by_blocks([count])
    out = folder / f"out-{count}"
    out.mkdir()
    task, first = Task(case, folder, out), Task(case.tiny(), folder, out / "first")
    first.out.mkdir()
    for made in (task, first):
        workload_of(made).make(made)
    with LocalStack(folder / f"stack-{count}", workers=WORKERS, flower=False) as stack:
        app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": stack.broker_url}))
        publisher_of(app)
        lepton.submit(workload_of(first).graph(first), app=app, block_shape=case.block, workers=WORKERS).wait(60)
        server, *workers = [process.pid for process in stack.processes if process.pid is not None]
        groups = {
            "submitter": [os.getpid()],
            "worker": workers,
            "child": [child for worker in workers for child in children(worker)],
            "broker": [server],
        }
        graph = workload_of(task).graph(task)
        with Parts(groups, every_s=0.05) as parts:
            begun = time.perf_counter()
            lepton.submit(graph, app=app, block_shape=case.block, workers=WORKERS).wait(1800)
            seconds = time.perf_counter() - begun
    wanted, found = arrays.opened(task.source), arrays.opened(task.output("pixels"))
    rows = range(0, case.shape[0], 1024)
    is_right = all(np.array_equal(255 - wanted[at : at + 1024], found[at : at + 1024]) for at in rows)
    return Done(case.blocks, seconds, {name: parts.grown(name) for name in groups}, parts.peak, is_right)


def _apart(what: str, count: int, folder: Path, broker_url: str = "") -> str:
    """Call `submit` or `do` in a new process, so that its memory is of this job alone; the answer as JSON."""
    command = [sys.executable, "-m", "benchmarks.growth", "--only", what, "--counts", str(count), "--out", str(folder)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
    env |= {"PYTHONPATH": str(Path(__file__).parents[1]), "GROWTH_BROKER": broker_url, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()[-1]


def section(sides: Runner, blocks: Runner, jobs: Sequence[Done], submitted: Sequence[Submitted], name: str) -> str:
    """The section of the document."""
    lines = [
        "## How it grows",
        "",
        f"Measured on {document.machine()}.",
        "",
        f"![time and memory against the picture and the number of blocks]({name})",
        "",
        *_with_the_picture(sides),
        "",
        *_with_the_blocks(blocks, jobs),
        "",
        *_components(jobs),
        "",
        *_submitting(submitted),
    ]
    return "\n".join(lines)


def _with_the_picture(sides: Runner) -> list[str]:
    """Seconds and memory of three systems by the size of the image."""
    names = ("a", "f", "lepton")
    head = ("picture", *(f"{name} s" for name in names), "lepton × f", *(f"{name} MB" for name in names), "outputs")
    rows = []
    for case in sides.cases:
        found = [sides.results[case.name].get(name, Measured()) for name in names]
        over = f"{found[2].median / found[1].median:.2f}" if found[1].seconds and found[2].seconds else "-"
        verdicts = dict.fromkeys(verdict for measured in found for verdict in measured.verdicts if verdict != "-")
        rows.append((case.name, *map(_seconds, found), over, *map(_memory, found), "; ".join(verdicts)))
    return [
        f"**With the size of the image**: {WORKLOADS['G1'].title}, blocks of {_BLOCK}². Seconds, and memory of all",
        "processes of a system together; a is scikit-image on the whole image, f the hand-written pool. A missing figure",
        "of a means that it would need more memory than the machine has: it computes in float64 and needs about",
        f"{_WHOLE_BYTES} bytes per pixel.",
        "",
        *document.table(head, rows),
    ]


def _with_the_blocks(blocks: Runner, jobs: Sequence[Done]) -> list[str]:
    """Seconds in all and per block of four systems by the number of blocks."""
    names = ("fb", "f", "inline")
    head = ("blocks", "lepton s", *(f"{name} s" for name in names), "lepton × fb")
    head = (*head, "lepton µs a block", *(f"{name} µs a block" for name in names), "output")
    rows = []
    for case, job in zip(blocks.cases, jobs, strict=True):
        found = [blocks.results[case.name].get(name, Measured()) for name in names]
        each = [f"{one.median / case.blocks * 1e6:.0f}" if one.seconds else "-" for one in found]
        over = f"{job.seconds / found[0].median:.2f}" if found[0].seconds else "-"
        own = f"{job.seconds / case.blocks * 1e6:.0f}"
        right = "identical" if job.is_right else "**wrong**"
        rows.append((f"{case.blocks:,}", f"{job.seconds:.2f}", *map(_seconds, found), over, own, *each, right))
    return [
        f"**With the number of blocks**: {WORKLOADS['G2'].title.partition(',')[0]} on uint8 blocks of {_TINY}², so small",
        f"that only their number counts: 10^6 of them are an image of 16,000². fb is the pool with up to {_BATCH} blocks",
        f"per task; f (one block per task) and inline are measured up to {_SINGLE:,} blocks.",
        "",
        *document.table(head, rows),
    ]


def _components(jobs: Sequence[Done]) -> list[str]:
    """Memory of each component by the number of blocks."""
    rows = [(f"{job.blocks:,}", *(_part(job, part) for part in PARTS)) for job in jobs]
    return [
        "Memory of each component of lepton_celery during these jobs, in the process that uses most: megabytes more than",
        "before the job, and in brackets the total. None may grow with the number of blocks, except for one bit per block",
        "in the ledger.",
        "",
        *document.table(("blocks", *(f"{words} MB" for words in PARTS.values())), rows),
    ]


def _submitting(submitted: Sequence[Submitted]) -> list[str]:
    """Time and memory to plan and submit by the number of blocks."""
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
    return [
        "The cost of planning and submitting, for the program that submits. The first batches go to the broker; the rest",
        "of the job is a cursor in the ledger. Resident memory of the submitter; used memory of the broker.",
        "",
        *document.table(("blocks", "plan ms", "submit ms", "submitter MB", "broker kB"), rows),
    ]


def _part(job: Done, part: str) -> str:
    return f"{job.grown[part] / 2**20:.1f} ({job.peak[part] / 2**20:.0f})"


def _seconds(measured: Measured) -> str:
    return f"{measured.median:.2f}" if measured.seconds else measured.failure or "-"


def _memory(measured: Measured) -> str:
    return f"{max(measured.memory) / 2**20:.0f}" if measured.memory else "-"


def draw(path: Path, sides: Runner, blocks: Runner, jobs: Sequence[Done]) -> None:
    """Plot four panels: time and memory, against the size of the image and against the number of blocks."""
    plt = plot.pyplot()
    figure, axes = plt.subplots(2, 2, figsize=(10.5, 7), layout="constrained")
    colours = {"a": plot.REFERENCE, "f": plot.OTHER, "lepton": plot.OURS}
    for panel, title, what in ((axes[0][0], "seconds", "median"), (axes[0][1], "MB, all processes", "memory")):
        lines = {}
        for name in colours:
            there = [(case.shape[0], sides.results[case.name].get(name)) for case in sides.cases]
            points = [(side**2 / 1e6, m) for side, m in there if m is not None and m.seconds]
            lines[name] = [(x, m.median if what == "median" else max(m.memory) / 2**20) for x, m in points]
        _curves(panel, lines, colours, f"{title}, against megapixels")
    times = {"lepton": [(job.blocks, job.seconds / job.blocks * 1e6) for job in jobs]}
    for name in ("fb", "f", "inline"):
        found = [(case.blocks, blocks.results[case.name].get(name)) for case in blocks.cases]
        times[name] = [(n, m.median / n * 1e6) for n, m in found if m is not None and m.seconds]
    colours = {"lepton": plot.OURS, "inline": plot.OURS, "fb": plot.REFERENCE, "f": plot.OTHER}
    _curves(axes[1][0], times, colours, "µs a block, against blocks")
    parts = {words: [(job.blocks, job.peak[part] / 2**20) for job in jobs] for part, words in PARTS.items()}
    _curves(
        axes[1][1], parts, dict(zip(parts, (plot.OTHER, plot.REFERENCE, plot.OURS, "#444444"), strict=True)),
        "MB of each component of lepton_celery, against blocks",
    )  # fmt: skip
    axes[1][1].set_ylim(1, None)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _curves(
    panel: Any, lines: Mapping[str, Sequence[tuple[float, float]]], colours: Mapping[str, str], title: str
) -> None:
    for name, points in lines.items():
        if points:
            panel.loglog(*zip(*points, strict=True), "o-", color=colours[name], markersize=4, linewidth=1.4)
            panel.annotate(
                name,
                points[-1],
                xytext=(6, 0),
                textcoords="offset points",
                color=colours[name],
                va="center",
                fontsize=8,
            )
    panel.set_title(title, loc="left", fontsize=10)
    panel.margins(x=0.16)


def _shown(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


@click.command(help="Measure how time and memory grow.")
@click.option("--quick", is_flag=True, help="Small pictures and few blocks: to see that everything runs.")
@click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="Runs of each.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
@click.option("--sides", default=_shown(_SIDES), show_default=True, help="Lengths of the pictures.")
@click.option("--counts", default=_shown(_COUNTS), show_default=True, help="Blocks along each axis.")
@click.option("--only", type=click.Choice(["submit", "do"]), hidden=True)
def main(quick: bool, repeat: int, out: Path, sides: str, counts: str, only: str | None) -> None:
    if only is not None:
        (count,) = _numbers(counts)
        found = submit(count, out, os.environ["GROWTH_BROKER"]) if only == "submit" else do(count, out)
        click.echo(json.dumps(asdict(found)))
        return
    along = (4, 10) if quick else _numbers(counts)
    with work_folder() as work:
        runners = []
        for chosen in (by_side((256, 512) if quick else _numbers(sides), available_bytes()), by_blocks(along)):
            systems = tuple(dict.fromkeys(system for case in chosen for system in case.systems))
            runner = Runner(chosen, systems, work, limit_s=600, say=click.echo, keep=False)
            runner.run(repeat, 3600)
            runners.append(runner)
        jobs = []
        for count in along:
            jobs.append(Done(**json.loads(_apart("do", count, work))))
            click.echo(f"{jobs[-1].blocks:,} blocks: {jobs[-1].seconds:.2f} s")
        with RedisServer(work / "broker", log=work / "broker.log") as server:
            submitted = [Submitted(**json.loads(_apart("submit", count, work, server.url))) for count in along]
    by_size, by_number = runners
    name = "growth.svg"
    out.mkdir(parents=True, exist_ok=True)
    draw(out / name, by_size, by_number, jobs)
    text = section(by_size, by_number, jobs, submitted, name)
    document.replace_section(out / "benchmarks.md", "growth", text)
    click.echo(text)


if __name__ == "__main__":
    main()
