"""Runs thousands of small jobs, to see that nothing grows with their number: `python -m benchmarks.steady`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import click
import numpy as np
import psutil
import redis
from celery import Celery

import lepton_celery as lepton
from benchmarks import document
from benchmarks.folder import work_folder
from lepton_celery.config import load_settings
from lepton_celery.ledger.address import redis_py_url
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters, measure

_SIDE, _BLOCK = 256, 128
_SETTLING_S = 3.0
"""Seconds after which workers have removed the files of the last job."""


@dataclass(frozen=True)
class Held:
    """What is held after a number of jobs."""

    jobs: str
    seconds_per_job: float
    submitter_mb: float
    workers_mb: float
    """Memory of their own of all worker processes together."""
    descriptors: int
    """Open files of this process and the workers."""
    server_mb: float
    keys: int
    messages: int
    """In the queues of the broker."""
    files: int
    """In the folder of the outputs, beside the inputs."""


def _workers(stack: LocalStack) -> Iterator[psutil.Process]:
    for process in stack.processes:
        if process.name.startswith("worker"):
            parent = psutil.Process(process.pid)
            yield from (parent, *parent.children(recursive=True))


def held(jobs: str, seconds: float, stack: LocalStack, folder: Path) -> Held:
    """Count what is held now."""
    client = redis.Redis.from_url(redis_py_url(stack.broker_url))
    workers, here = list(_workers(stack)), psutil.Process()
    queues = sum(int(client.llen(name)) for name in client.scan_iter("lepton.*", _type="LIST"))
    return Held(
        jobs,
        seconds,
        here.memory_full_info().uss / 1e6,
        sum(process.memory_full_info().uss for process in workers) / 1e6,
        sum(process.num_fds() for process in (here, *workers)),
        int(client.info("memory")["used_memory"]) / 1e6,
        int(client.dbsize()),
        queues,
        sum(1 for path in folder.rglob("*") if path.name != "in.npy"),
    )


def submit(app: Celery, folder: Path, number: int) -> lepton.Job:
    """A job of three stages: an array, a table and a value."""
    image = lepton.open(folder / "in.npy")
    labels = measure.label(image > filters.threshold_otsu(image))
    outputs = {
        f"{number}.npy": labels,
        f"{number}.csv": measure.regionprops_table(labels, properties=("label", "area")),
    }
    return lepton.submit(
        {str(folder / name): node for name, node in outputs.items()}, app=app, block_shape=(_BLOCK, _BLOCK)
    )


def end(job: lepton.Job, folder: Path, number: int) -> None:
    """Wait for a job, forget it and remove its outputs."""
    job.wait(120)
    job.forget()
    for suffix in ("npy", "csv"):
        (folder / f"{number}.{suffix}").unlink()


def measured(count: int, at_once: int, work: Path) -> Iterator[Held]:
    """What is held after each fifth of `count` jobs in sequence, and after `at_once` jobs at once."""
    np.save(work / "in.npy", np.random.default_rng(0).integers(0, 255, (_SIDE, _SIDE), np.uint8))
    with LocalStack(work.parent / "stack", workers=2, flower=False, project=Project(settings="local")) as stack:
        app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": stack.broker_url}))
        for number in range(20):  # the first jobs load libraries
            end(submit(app, work, number), work, number)
        time.sleep(_SETTLING_S)
        yield held("20, warm", 0.0, stack, work)
        step = max(1, count // 5)
        for first in range(0, count, step):
            begun = time.monotonic()
            for number in range(first, first + step):
                end(submit(app, work, number), work, number)
            seconds = (time.monotonic() - begun) / step
            time.sleep(_SETTLING_S)
            yield held(f"{first + step:,}", seconds, stack, work)
        begun = time.monotonic()
        jobs = [submit(app, work, number) for number in range(at_once)]
        for number, job in enumerate(jobs):
            end(job, work, number)
        seconds = (time.monotonic() - begun) / at_once
        time.sleep(_SETTLING_S)
        yield held(f"and {at_once} at once", seconds, stack, work)


def section(found: list[Held]) -> str:
    """The section of the document."""
    head = [item.name.replace("_", " ") for item in fields(Held)]
    rows = [
        tuple(f"{value:.3g}" if isinstance(value, float) else str(value) for value in astuple(one)) for one in found
    ]
    return "\n".join(
        [
            "## What thousands of small jobs leave",
            "",
            f"Jobs of three stages on {_SIDE} × {_SIDE} pixels, one after the other and forgotten when done, on two",
            "workers. Each row is what is held then: memory, open files, the server's keys and messages, and files beside",
            "the outputs.",
            "",
            *document.table(head, rows),
        ]
    )


@click.command(help="Run thousands of small jobs, and count what is held.")
@click.option("--jobs", type=click.IntRange(5), default=2000, show_default=True, help="Jobs in sequence.")
@click.option("--at-once", type=click.IntRange(1), default=100, show_default=True, help="Jobs at once, afterwards.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(jobs: int, at_once: int, out: Path) -> None:
    found: list[Held] = []
    with work_folder() as work:
        folder = work / "jobs"
        folder.mkdir()
        for one in measured(jobs, at_once, folder):
            found.append(one)
            click.echo(" ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in astuple(one)))
    document.replace_section(out / "benchmarks.md", "steady", section(found))


if __name__ == "__main__":
    main()
