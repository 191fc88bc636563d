"""`python -m benchmarks.migrating`: times the code of docs/migrating.md, before and after, and writes the ratios there.

Both sides of a guide run on the same large image, in turns. A time counts the processor time of this process and of the
workers, which does not depend on what else the machine does, and the time on the clock, which does.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any

import click
import numpy as np
import psutil
from celery.result import AsyncResult
from numpy.typing import NDArray
from skimage import data

from benchmarks.document import machine, table
from benchmarks.folder import work_folder
from lepton_celery.contrib.testing.stack import StackOptions, running_stack

PAGE = Path(__file__).parents[1] / "docs" / "migrating.md"

LIMIT_S = 600.0
"""Seconds that one run may take."""


@dataclass(frozen=True)
class Guide:
    """A guide of the page: the same function in several modules, the first one as it was before."""

    title: str
    function: str
    modules: tuple[str, ...]
    photograph: Callable[[], NDArray[np.uint8]]
    work: str
    """What the function does, in the table of times."""


GUIDES = (
    Guide("chord", "find_coins", ("chord_before", "chord_after"), data.coins, "gaussian, Otsu's threshold, labels"),
    Guide(
        "map_overlap", "find_edges", ("overlap_before", "overlap_after", "overlap_lazy"), data.camera, "gaussian, sobel"
    ),
    Guide(
        "apply_parallel", "find_ink", ("parallel_before", "parallel_after"), data.page, "threshold_local, comparison"
    ),
)


def files() -> dict[str, str]:
    """The modules of the page: the text of each block of Python by the name in its first line."""
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    return dict(blocks)


def write(folder: Path) -> None:
    """Write the modules of the page to a folder, and let this process and its workers import them."""
    folder.mkdir(exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text)
    sys.path.insert(0, str(folder))


def run(guide: Guide, module: str, source: Path, target: Path) -> None:
    """Run the function of a module of the page, until its result is in the target."""
    result = getattr(import_module(module), guide.function)(str(source), str(target))
    if isinstance(result, AsyncResult):
        result.get(timeout=LIMIT_S)
    elif result is not None:
        result.wait(LIMIT_S)


@dataclass
class Runs:
    """The runs of one module: seconds on the clock, and of processors."""

    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


@click.command(help="Time both sides of each guide of docs/migrating.md on a large image, and write the ratios there.")
@click.option("--side", type=click.IntRange(64), default=4096, show_default=True, help="Side of the image in pixels.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Runs of each side.")
@click.option("--no-document", is_flag=True, help="Print the figures only.")
def main(side: int, rounds: int, no_document: bool) -> None:
    with work_folder() as folder:
        write(folder / "modules")
        options = StackOptions(concurrency=2, queues=("celery",))
        with running_stack(folder, "shop", options, folder / "modules") as stack:
            workers = [psutil.Process(process.pid) for process in stack.processes]
            found = [(guide, measured(guide, side, rounds, folder, workers)) for guide in GUIDES]
    lines = section(found, side, rounds)
    click.echo("\n".join(lines))
    if not no_document:
        before, begin, rest = PAGE.read_text().partition("<!-- begin times -->\n")
        _, end, after = rest.partition("<!-- end times -->\n")
        PAGE.write_text("\n".join([before + begin + fill(lines[0], 132), *lines[1:], end + after]))


def measured(guide: Guide, side: int, rounds: int, folder: Path, workers: list[psutil.Process]) -> Mapping[str, Runs]:
    """The runs of each module of a guide, which take turns; the first turn is not counted."""
    photograph = guide.photograph()
    copies = [-(-side // length) for length in photograph.shape]
    source = folder / f"{guide.title}.npy"
    np.save(source, np.tile(photograph, copies)[:side, :side])
    runs = {module: Runs() for module in guide.modules}
    results: dict[str, NDArray[Any]] = {}
    for number in range(rounds + 1):
        for module in guide.modules:
            target = folder / f"{module}.{number}.npy"
            begun, used = time.perf_counter(), _processor_s(workers)
            run(guide, module, source, target)
            clock, processor = time.perf_counter() - begun, _processor_s(workers) - used
            if number:
                runs[module].clock.append(clock)
                runs[module].processor.append(processor)
            results[module] = np.load(target)
            for left in folder.glob(f"{module}.{number}.npy*"):
                left.unlink()
            click.echo(f"{module:16} {clock:6.2f} s, processors {processor:6.2f} s")
        before, *after = (results[module] for module in guide.modules)
        if not all(found.dtype == before.dtype and np.array_equal(found, before) for found in after):
            raise click.ClickException(f"{guide.title}: before and after differ")
    return runs


def _processor_s(workers: list[psutil.Process]) -> float:
    """Seconds of processors that this process and the workers have used."""
    trees = [process for worker in workers for process in (worker, *worker.children(recursive=True))]
    return time.process_time() + sum(sum(process.cpu_times()[:2]) for process in trees)


def section(found: list[tuple[Guide, Mapping[str, Runs]]], side: int, rounds: int) -> list[str]:
    """The section of the page, as lines."""
    rows = []
    for guide, runs in found:
        before, *after = (runs[module] for module in guide.modules)
        for module, ours in zip(guide.modules[1:], after, strict=True):
            clock, processor = (
                median(ours.clock) / median(before.clock),
                median(ours.processor) / median(before.processor),
            )
            rows.append([f"`{module}`", f"`{guide.modules[0]}`", guide.work, f"**{clock:.2f}**", f"{processor:.2f}"])
    about = (
        "How long the new code takes, divided by the old: below 1, it is faster. `python -m benchmarks.migrating` "
        f"measures both in turns on an image of {side:,} × {side:,} pixels, from its file to the file of the result, and "
        f"takes medians of {rounds} runs. The chord and its successor have one worker of two processes, the others a "
        "thread for each core; lepton_celery has its compiled kernels (the extra `fast`). Time on the clock depends on "
        f"what else the machine does, processor time does not. This machine: {machine()}."
    )
    return [
        about,
        "",
        *table(["after", "before", "what is computed", "time × before", "processor time × before"], rows),
    ]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
