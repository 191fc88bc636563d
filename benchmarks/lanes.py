"""Runs small jobs beside a large one, and large ones side by side: `python -m benchmarks.lanes`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from celery import Celery

import lepton_celery as lepton
from benchmarks import document
from benchmarks.folder import work_folder
from lepton_celery.config import load_settings
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import exposure, filters, measure

_BLOCK = 256
_LARGE = (72, 70)
"""Blocks of the large job along each axis: 5,040."""
SMALL = 512
"""Side of the image of a small job, in pixels."""
_WARM_RUNS = 5
_PERIOD_S = 5.0
_FEWER_ROWS = 24


@contextmanager
def running(work: Path, workers: int) -> Iterator[Celery]:
    """The application of a stack on this machine."""
    with LocalStack(work.parent / "stack", workers=workers, flower=False, project=Project(settings="local")) as stack:
        yield application(stack.broker_url)


def application(broker_url: str) -> Celery:
    """An application with the settings of a local stack."""
    return lepton.create_app(load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": broker_url}))


def submit_small(app: Celery, image: Path, labels_path: str, table_path: str, lane: str) -> lepton.Job:
    """Submit a job of five stages on the image in a file."""
    scaled = exposure.rescale_intensity(lepton.open(image), out_range=(0.0, 1.0))
    smooth = filters.gaussian(scaled, sigma=2)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    outputs = {labels_path: labels, table_path: measure.regionprops_table(labels)}
    return lepton.submit(outputs, app=app, block_shape=(_BLOCK, _BLOCK), priority=lane)


class Jobs:
    """Submits the jobs of this benchmark."""

    def __init__(self, app: Celery, folder: Path) -> None:
        self._app, self._folder, self._number = app, folder, 0
        generator = np.random.default_rng(0)
        np.save(folder / "small.npy", generator.integers(0, 255, (SMALL, SMALL), np.uint8))
        large = np.lib.format.open_memmap(
            folder / "large.npy", mode="w+", dtype=np.uint8, shape=tuple(n * _BLOCK for n in _LARGE)
        )
        for row in range(0, large.shape[0], _BLOCK):
            large[row : row + _BLOCK] = generator.integers(0, 255, (_BLOCK, large.shape[1]), np.uint8)

    def _name(self, suffix: str) -> str:
        self._number += 1
        return str(self._folder / f"{self._number}.{suffix}")

    def small(self, lane: str) -> lepton.Job:
        """Submit a job of five stages on 512² pixels."""
        return submit_small(self._app, self._folder / "small.npy", self._name("npy"), self._name("csv"), lane)

    def large(self, lane: str, rows: int = _LARGE[0], tenant: str = "") -> lepton.Job:
        """A job of one stage and thousands of blocks."""
        image = lepton.open(self._folder / "large.npy")[: rows * _BLOCK]
        smooth = filters.median(filters.gaussian(image, sigma=4), footprint=np.ones((5, 5)))
        outputs = {self._name("npy"): smooth}
        return lepton.submit(outputs, app=self._app, block_shape=(_BLOCK, _BLOCK), priority=lane, tenant=tenant)


@dataclass(frozen=True)
class Waits:
    """Seconds from the submission of small jobs to their end."""

    beside: str
    seconds: Sequence[float]

    @property
    def row(self) -> tuple[str, ...]:
        ordered = sorted(self.seconds)
        parts = (ordered[int(part * len(ordered))] for part in (0.95, 0.99))
        figures = (statistics.median(ordered), *parts, ordered[-1])
        return (self.beside, str(len(ordered)), *(f"{figure:.2f}" for figure in figures))


def waits(beside: str, lane: str, count: int, jobs: Jobs, large: lepton.Job | None = None) -> Waits:
    """Run small jobs, one after the other, for as long as the large one runs."""
    seconds: list[float] = []
    while len(seconds) < count and (large is None or large.info().state.is_open):
        begun = time.perf_counter()
        jobs.small(lane).wait(120)
        seconds.append(time.perf_counter() - begun)
    return Waits(beside, seconds)


def shares(jobs: Jobs, seconds: float, others: Sequence[str], late: str) -> list[float]:
    """The share of a job in the blocks that are done in each period.

    Args:
        seconds: how long to watch.
        others: the tenant of each job that runs before and beside it.
        late: its own tenant.
    """
    rows = _LARGE[0] // len(others)
    running = [jobs.large("default", rows, tenant) for tenant in others]
    time.sleep(_PERIOD_S)
    running.append(jobs.large("default", tenant=late))
    found: list[float] = []
    done = [job.info().blocks_done for job in running]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(_PERIOD_S)
        now = [job.info().blocks_done for job in running]
        fresh = [late - early for late, early in zip(now, done, strict=True)]
        found.append(fresh[-1] / max(1, sum(fresh)))
        done = now
    for job in running:
        job.cancel()
    time.sleep(1.0)
    return found


@dataclass(frozen=True)
class Loss:
    """What small jobs cost a large one."""

    alone_s: float
    """Seconds that the large job takes alone."""
    beside_s: float
    """Seconds that it takes beside small ones."""
    small_jobs: int
    """Number of small jobs that ran beside it."""
    small_s: float
    """Seconds that a small one takes alone."""

    def ratio(self, workers: int) -> float:
        """What it takes beside them, in multiples of what it takes alone and their work takes."""
        return self.beside_s / (self.alone_s + self.small_jobs * self.small_s / workers)


def loss(jobs: Jobs, small_s: float) -> Loss:
    """Run a large job alone and beside small ones, three times in turn."""
    found: list[tuple[float, float, int]] = []
    for _ in range(3):
        begun = time.perf_counter()
        jobs.large("batch", _FEWER_ROWS).wait(300)
        alone = time.perf_counter() - begun
        begun, count = time.perf_counter(), 0
        job = jobs.large("batch", _FEWER_ROWS)
        while job.info().state.is_open:
            jobs.small("interactive").wait(60)
            count += 1
            time.sleep(1.0)
        created, finished = job.info().created_at, job.info().finished_at
        assert finished is not None
        found.append((alone, finished - created, count))
    alone, beside, count = sorted(found, key=lambda one: one[1] / one[0])[1]
    return Loss(alone, beside, count, small_s)


@dataclass(frozen=True)
class Lanes:
    """What was measured."""

    waits: Sequence[Waits]
    equal: Sequence[float]
    """The share of the second of two equal jobs in each period."""
    of_ten: Sequence[float]
    """The share of one tenant's job beside ten of another tenant."""
    loss: Loss


def measured(count: int, workers: int, work: Path) -> Lanes:
    """Measure all of this on a stack of its own."""
    with running(work, workers) as app:
        jobs = Jobs(app, work)
        waits("", "interactive", _WARM_RUNS, jobs)
        found = [waits("nothing", "interactive", count, jobs)]
        for small, large in (("interactive", "batch"), ("default", "batch"), ("batch", "batch")):
            job = jobs.large(large)
            time.sleep(3.0)
            found.append(waits(f"a {large} job, from `{small}`", small, count, jobs, job))
            job.cancel()
            time.sleep(1.0)
        equal = shares(jobs, 30.0, ["lab"], "lab")
        of_ten = shares(jobs, 30.0, ["a"] * 10, "b")
        return Lanes(found, equal, of_ten, loss(jobs, statistics.median(found[0].seconds)))


def _percent(found: Sequence[float]) -> str:
    return ", ".join(f"{100 * share:.0f} %" for share in found)


def section(found: Lanes, workers: int) -> str:
    """The section of the document."""
    head = ("beside", "jobs", "median (s)", "p95 (s)", "p99 (s)", "longest (s)")
    loss = found.loss
    return "\n".join(
        [
            "## Small jobs beside a large one",
            "",
            f"Seconds from the submission of a job of five stages on {SMALL} × {SMALL} pixels to its end, on {workers}",
            f"workers, while a job of {_LARGE[0] * _LARGE[1]:,} blocks runs. The last row has both in one lane.",
            "",
            *document.table(head, [one.row for one in found.waits]),
            "",
            "Two equal jobs in one lane, the second submitted while the first runs: in each period of",
            f"{_PERIOD_S:g} s the second gets {_percent(found.equal)} of the blocks done. One job of a tenant beside ten of",
            f"another one, likewise: it gets {_percent(found.of_ten)}.",
            "",
            f"A job of {_FEWER_ROWS * _LARGE[1]:,} blocks takes {loss.alone_s:.1f} s alone, and {loss.beside_s:.1f} s",
            f"beside {loss.small_jobs} interactive jobs of that kind, one every second. That is",
            f"{loss.ratio(workers):.3f} times what it and they take alone.",
        ]
    )


@click.command(help="Measure how long small jobs wait beside large ones, and how equal jobs share a lane.")
@click.option("--count", type=click.IntRange(1), default=100, show_default=True, help="Small jobs in each row.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Worker processes.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(count: int, workers: int, out: Path) -> None:
    with work_folder() as work:
        folder = work / "jobs"
        folder.mkdir()
        text = section(measured(count, workers, folder), workers)
    click.echo(text)
    document.replace_section(out / "benchmarks.md", "lanes", text)


if __name__ == "__main__":
    main()
