"""Submits a hundred small jobs at once from ten processes, beside a job of 10^5 blocks: `python -m benchmarks.crowd`."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import click
import numpy as np
import redis
from celery import Celery
from skimage import exposure, filters, measure

import lepton_celery as lepton
from benchmarks import document, lanes
from benchmarks.folder import work_folder
from lepton_celery.ledger.address import redis_py_url
from lepton_celery.skimage import filters as lepton_filters

_PROCESSES, _JOBS = 10, 10
"""Processes that submit, and the jobs that each submits."""
_BLOCK = 64
"""Pixels of a block of the large job along each axis."""
_SUBMIT_AFTER_S = 10.0
"""Seconds for which the large job has run when the small ones are submitted."""


@dataclass(frozen=True)
class Ended:
    """A small job that ended."""

    submit_s: float
    """Seconds that `submit` took."""
    wait_s: float
    """Seconds from the common start until it had ended."""
    is_right: bool
    """Whether its outputs are those of scikit-image on the whole image."""


@dataclass(frozen=True)
class Crowd:
    """What was measured."""

    ended: Sequence[Ended]
    large_blocks: int
    large_s: float
    """Seconds that the large job took, small ones included."""
    small_work_s: float
    """Seconds of slots that the small jobs took."""
    script_s: float
    """Seconds that the ledger's scripts took on the server, all jobs together."""
    server_s: float
    """Processor seconds of the server, which is also the broker."""


def submit_small(app: Celery, folder: Path, number: int) -> lepton.Job:
    """Submit a small job on the image of a folder."""
    labels, table = (str(folder / f"{number}.{suffix}") for suffix in ("npy", "csv"))
    return lanes.submit_small(app, folder / "in.npy", labels, table, "default")


def submit_many(broker_url: str, folder: Path, seed: int, start: Barrier, ended: Queue[list[Ended]]) -> None:
    """Submit the jobs of one process once all processes are ready, wait for them, and compare their outputs."""
    image = np.random.default_rng(seed).integers(0, 255, (lanes.SMALL, lanes.SMALL), np.uint8)
    np.save(folder / "in.npy", image)
    smooth = filters.gaussian(exposure.rescale_intensity(image, out_range=(0.0, 1.0)), sigma=2)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    app = lanes.application(broker_url)
    start.wait()
    begun = time.perf_counter()
    jobs, submitted = [], []
    for number in range(_JOBS):
        before = time.perf_counter()
        jobs.append(submit_small(app, folder, number))
        submitted.append(time.perf_counter() - before)
    found = []
    for number, job in enumerate(jobs):
        job.wait(600)
        info = job.info()
        assert info.finished_at is not None
        wait_s = submitted[number] + info.finished_at - info.created_at
        made = np.load(folder / f"{number}.npy")
        rows = (folder / f"{number}.csv").read_text(encoding="utf-8").count("\n") - 1
        is_right = made.dtype == labels.dtype and np.array_equal(made, labels) and rows == int(labels.max())
        found.append(Ended(submitted[number], wait_s, is_right))
    assert time.perf_counter() - begun < 600
    ended.put(found)


def submit_large(app: Celery, folder: Path, blocks: int) -> lepton.Job:
    """Submit a job of one stage and very many blocks, in the lane `batch`."""
    side = round(blocks**0.5) * _BLOCK
    pixels = np.lib.format.open_memmap(folder / "large.npy", mode="w+", dtype=np.uint8, shape=(side, side))
    generator = np.random.default_rng(0)
    for row in range(0, side, _BLOCK):
        pixels[row : row + _BLOCK] = generator.integers(0, 255, (_BLOCK, side), np.uint8)
    image = lepton.open(folder / "large.npy")
    smooth = lepton_filters.median(lepton_filters.gaussian(image, sigma=4), footprint=np.ones((5, 5)))
    outputs = {str(folder / "large-out.npy"): smooth}
    return lepton.submit(outputs, app=app, block_shape=(_BLOCK, _BLOCK), priority="batch")


def _spent(client: Any) -> tuple[float, float]:
    """Seconds of the server's scripts, and its processor seconds."""
    scripts = client.info("commandstats").get("cmdstat_evalsha", {"usec": 0})
    cpu = client.info("cpu")
    return scripts["usec"] / 1e6, cpu["used_cpu_sys"] + cpu["used_cpu_user"]


def measured(work: Path, blocks: int, workers: int) -> Crowd:
    """Run the large job, and the small ones beside it."""
    with lanes.running(work, workers) as app:
        broker_url = app.conf["lepton"].broker_url
        client = redis.Redis.from_url(redis_py_url(broker_url))
        np.save(
            work / "in.npy", np.zeros((lanes.SMALL, lanes.SMALL), np.uint8) + np.arange(lanes.SMALL, dtype=np.uint8)
        )
        for number in range(4):  # the first jobs load libraries
            submit_small(app, work, number).wait(120)
        context = multiprocessing.get_context("spawn")
        start, ended = context.Barrier(_PROCESSES + 1), context.Queue()
        folders = [work / f"process-{number}" for number in range(_PROCESSES)]
        processes = []
        for number, folder in enumerate(folders):
            folder.mkdir()
            arguments = (broker_url, folder, number, start, ended)
            processes.append(context.Process(target=submit_many, args=arguments, daemon=True))
            processes[-1].start()
        before = _spent(client)
        large = submit_large(app, work, blocks)
        time.sleep(_SUBMIT_AFTER_S)
        start.wait(120)
        found = [one for _ in processes for one in ended.get(timeout=900)]
        large.wait(3600)
        after = _spent(client)
        info = large.info()
        assert info.finished_at is not None
        small_s = 0.0
        for small in lepton.list_jobs(limit=_PROCESSES * _JOBS, settings=app.conf["lepton"]):
            small_s += sum(stats.get("batch_s", 0.0) for stats in small.stage_stats.values())
        return Crowd(
            found,
            info.blocks_total,
            info.finished_at - info.created_at,
            small_s,
            *(late - early for late, early in zip(after, before, strict=True)),
        )


def section(crowd: Crowd, workers: int) -> str:
    """The section of the document."""
    waits, submits = sorted(one.wait_s for one in crowd.ended), sorted(one.submit_s for one in crowd.ended)
    right, count = sum(one.is_right for one in crowd.ended), len(crowd.ended)
    slots_s = workers * crowd.large_s
    head = ("of the small jobs", "median (s)", "p95 (s)", "longest (s)")
    rows = [
        (name, *(f"{value:.2f}" for value in (statistics.median(values), values[int(0.95 * count)], values[-1])))
        for name, values in (("`submit`", submits), ("from `submit` to the end", waits))
    ]
    return "\n".join(
        [
            "## A hundred jobs at once beside 10^5 blocks",
            "",
            f"{_PROCESSES} processes submit {_JOBS} jobs each at the same moment, of five stages on",
            f"{lanes.SMALL} × {lanes.SMALL} pixels, in the lane `default`. A job of {crowd.large_blocks:,} blocks of",
            f"{_BLOCK} × {_BLOCK} pixels runs in the lane `batch` on the same {workers} workers. Of {count} small jobs,",
            f"{right} gave the pixels and the table",
            "of scikit-image on the whole image.",
            "",
            *document.table(head, rows),
            "",
            f"The large job took {crowd.large_s:.0f} s, the small ones {crowd.small_work_s:.1f} s of the workers' time. The",
            f"ledger's scripts took {crowd.script_s:.1f} s of the server, {100 * crowd.script_s / slots_s:.2f} % of the",
            "workers' time. The server, which is the broker too, used a processor for",
            f"{crowd.server_s:.1f} s, {100 * crowd.server_s / slots_s:.2f} %.",
        ]
    )


@click.command(help="Submit a hundred small jobs at once from ten processes, beside a job of 10^5 blocks.")
@click.option("--blocks", type=click.IntRange(1), default=100_000, show_default=True, help="Of the large job.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Worker processes.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(blocks: int, workers: int, out: Path) -> None:
    with work_folder() as work:
        folder = work / "jobs"
        folder.mkdir()
        text = section(measured(folder, blocks, workers), workers)
    click.echo(text)
    document.replace_section(out / "benchmarks.md", "crowd", text)


if __name__ == "__main__":
    main()
