"""Runs small jobs beside a large one, and two equal jobs side by side: `python -m benchmarks.lanes`."""

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
_SMALL = 512
_WARM_RUNS = 5
_PERIOD_S = 5.0


@contextmanager
def running(work: Path, workers: int) -> Iterator[Celery]:
    """The application of a stack on this machine."""
    with LocalStack(work.parent / "stack", workers=workers, flower=False, project=Project(settings="local")) as stack:
        yield lepton.create_app(load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": stack.broker_url}))


class Jobs:
    """Submits the jobs of this benchmark."""

    def __init__(self, app: Celery, folder: Path) -> None:
        self._app, self._folder, self._number = app, folder, 0
        generator = np.random.default_rng(0)
        np.save(folder / "small.npy", generator.integers(0, 255, (_SMALL, _SMALL), np.uint8))
        large = np.lib.format.open_memmap(
            folder / "large.npy", mode="w+", dtype=np.uint8, shape=tuple(n * _BLOCK for n in _LARGE)
        )
        for row in range(0, large.shape[0], _BLOCK):
            large[row : row + _BLOCK] = generator.integers(0, 255, (_BLOCK, large.shape[1]), np.uint8)

    def _name(self, suffix: str) -> str:
        self._number += 1
        return str(self._folder / f"{self._number}.{suffix}")

    def small(self, lane: str) -> lepton.Job:
        """A job of five stages on 512² pixels."""
        image = exposure.rescale_intensity(lepton.open(self._folder / "small.npy"), out_range=(0.0, 1.0))
        smooth = filters.gaussian(image, sigma=2)
        labels = measure.label(smooth > filters.threshold_otsu(smooth))
        outputs = {self._name("npy"): labels, self._name("csv"): measure.regionprops_table(labels)}
        return lepton.submit(outputs, app=self._app, block_shape=(_BLOCK, _BLOCK), priority=lane)

    def large(self, lane: str, rows: int = _LARGE[0]) -> lepton.Job:
        """A job of one stage and thousands of blocks."""
        image = lepton.open(self._folder / "large.npy")[: rows * _BLOCK]
        smooth = filters.median(filters.gaussian(image, sigma=4), footprint=np.ones((5, 5)))
        return lepton.submit({self._name("npy"): smooth}, app=self._app, block_shape=(_BLOCK, _BLOCK), priority=lane)


@dataclass(frozen=True)
class Waits:
    """Seconds from the submission of small jobs to their end."""

    beside: str
    seconds: Sequence[float]

    @property
    def row(self) -> tuple[str, ...]:
        ordered = sorted(self.seconds)
        figures = (statistics.median(ordered), ordered[int(0.95 * len(ordered))], ordered[-1])
        return (self.beside, str(len(ordered)), *(f"{figure:.2f}" for figure in figures))


def waits(beside: str, lane: str, count: int, jobs: Jobs, large: lepton.Job | None = None) -> Waits:
    """Run small jobs, one after the other, for as long as the large one runs."""
    seconds: list[float] = []
    while len(seconds) < count and (large is None or large.info().state.is_open):
        begun = time.perf_counter()
        jobs.small(lane).wait(120)
        seconds.append(time.perf_counter() - begun)
    return Waits(beside, seconds)


@dataclass(frozen=True)
class Shares:
    """How two equal jobs share a lane."""

    seconds: Sequence[float]
    """Length of each period."""
    shares: Sequence[float]
    """The second job's share of the blocks done in each period."""


def shares(jobs: Jobs, seconds: float) -> Shares:
    """Start one job while another runs, and watch both."""
    first = jobs.large("default")
    time.sleep(_PERIOD_S)
    second = jobs.large("default")
    found: list[float] = []
    done = [job.info().blocks_done for job in (first, second)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(_PERIOD_S)
        now = [job.info().blocks_done for job in (first, second)]
        fresh = [late - early for late, early in zip(now, done, strict=True)]
        found.append(fresh[1] / max(1, sum(fresh)))
        done = now
    for job in (first, second):
        job.cancel()
    return Shares([_PERIOD_S] * len(found), found)


def measured(count: int, workers: int, work: Path) -> tuple[list[Waits], Shares, float, float]:
    """The waits, the shares, and the seconds of the large job alone and beside small ones, small ones' work subtracted."""
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
        shared = shares(jobs, 30.0)
        time.sleep(1.0)
        rows = 24
        alone, beside = [], []
        for _ in range(3):
            begun = time.perf_counter()
            jobs.large("batch", rows).wait(300)
            alone.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            job = jobs.large("batch", rows)
            while job.info().state.is_open:
                jobs.small("interactive").wait(60)
                time.sleep(1.0)
            beside.append(job.info().finished_at - job.info().created_at)  # type: ignore[operator]  # it has ended
    return found, shared, statistics.median(alone), statistics.median(beside)


def section(found: Sequence[Waits], shared: Shares, alone: float, beside: float, workers: int) -> str:
    """The section of the document."""
    head = ("beside", "jobs", "median (s)", "p95 (s)", "longest (s)")
    spread = ", ".join(f"{100 * share:.0f} %" for share in shared.shares)
    return "\n".join(
        [
            "## Small jobs beside a large one",
            "",
            f"Seconds from the submission of a job of five stages on {_SMALL} × {_SMALL} pixels to its end, on {workers}",
            f"workers, while a job of {_LARGE[0] * _LARGE[1]:,} blocks runs. The last row has both in one lane.",
            "",
            *document.table(head, [one.row for one in found]),
            "",
            "Two equal jobs in one lane, the second submitted while the first runs: in each period of",
            f"{_PERIOD_S:g} s the second gets {spread} of the blocks done.",
            "",
            f"A job of {24 * _LARGE[1]:,} blocks takes {alone:.1f} s alone, and {beside:.1f} s while an interactive job of",
            "that kind is submitted every second.",
        ]
    )


@click.command(help="Measure how long small jobs wait beside large ones, and how equal jobs share a lane.")
@click.option("--count", type=click.IntRange(1), default=60, show_default=True, help="Small jobs in each row.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Worker processes.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(count: int, workers: int, out: Path) -> None:
    with work_folder() as work:
        folder = work / "jobs"
        folder.mkdir()
        text = section(*measured(count, workers, folder), workers)
    click.echo(text)
    document.replace_section(out / "benchmarks.md", "lanes", text)


if __name__ == "__main__":
    main()
