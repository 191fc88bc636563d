"""Times honest jobs without and with damaged entries beside them in the ledger: `python -m benchmarks.damaged`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
import redis
from celery import Celery
from skimage import data

import lepton_celery as lepton
from benchmarks import document
from benchmarks.folder import work_folder
from lepton_celery.config import load_settings
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.address import redis_py_url
from lepton_celery.ledger.info import Description
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters
from tests.faults.damage import DAMAGES, damage

_JOBS = 40
"""Honest jobs of each kind in a round, which take longer than a sweep."""
_EACH = 6
"""Damaged entries of each kind."""
_PREFIX = "damaged"


@contextmanager
def damaged_entries(broker: Any, ledger: Ledger) -> Iterator[None]:
    """Write damaged entries of running jobs into the ledger, and remove them at the end."""
    names = [f"{_PREFIX}{number}" for number in range(_EACH * len(DAMAGES))]
    for number, name in enumerate(names):
        about = Description("damaged")
        ledger.create(name, {"version": 4}, lane="default", description=about, stages=[1.0, 1.0], blocks=4)
        damage(broker, name, DAMAGES[number % len(DAMAGES)])
    try:
        yield
    finally:
        for index in ("jobs", "active", "ended"):
            broker.zrem(f"lepton:{index}", *names)
        broker.delete(*broker.scan_iter(match=f"lepton:{{{_PREFIX}*", count=10_000))


def honest_jobs(app: Celery, work: Path, source: Path) -> list[float]:
    """The seconds of some jobs, one after the other."""
    seconds = []
    for number in range(_JOBS):
        image = filters.gaussian(lepton.open(source), sigma=2)
        began = time.monotonic()
        lepton.submit({str(work / f"{number}.npy"): image}, app=app, block_shape=(128, 128), overwrite=True).wait(300)
        seconds.append(time.monotonic() - began)
    return seconds


def measure(work: Path, rounds: int) -> tuple[list[float], list[float]]:
    """The seconds of honest jobs without and with damaged entries beside them, on the same workers, in turn."""
    source = work / "input.npy"
    np.save(source, np.tile(data.camera(), (2, 2)))
    alone: list[float] = []
    beside: list[float] = []
    with LocalStack(work / "stack", workers=2, flower=False, project=Project(settings="local")) as stack:
        app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": stack.broker_url}))
        ledger = open_ledger(stack.broker_url)
        broker = redis.Redis.from_url(redis_py_url(stack.broker_url), decode_responses=True)
        honest_jobs(app, work, source)  # libraries are loaded then
        for _ in range(rounds):
            alone += honest_jobs(app, work, source)
            with damaged_entries(broker, ledger):
                beside += honest_jobs(app, work, source)
    return alone, beside


def section(alone: Sequence[float], beside: Sequence[float]) -> str:
    """The section of the document."""
    without, within = statistics.median(alone), statistics.median(beside)
    lines = [
        "## Beside damaged jobs",
        "",
        f"The same job (a gaussian of 1024² in 64 blocks) {len(alone)} times without and {len(beside)} times with",
        f"{_EACH * len(DAMAGES)} damaged entries beside it, {_EACH} of each of {len(DAMAGES)} kinds, on the same two",
        "workers, in turn. Medians, from submission to result.",
        "",
        *document.table(
            ("without s", "with s", "ratio of the medians"),
            [(_spread(alone), _spread(beside), f"{within / without:.2f}")],
        ),
    ]
    return "\n".join(lines)


def _spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.3f} ({min(seconds):.2f} .. {max(seconds):.2f})"


@click.command(help="Time honest jobs without and with damaged entries beside them.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help=f"Rounds of {_JOBS} jobs each.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
def main(rounds: int, out: Path) -> None:
    with work_folder() as work:
        text = section(*measure(work, rounds))
    document.replace_section(out / "benchmarks.md", "damaged", text)
    click.echo(text)


if __name__ == "__main__":
    main()
