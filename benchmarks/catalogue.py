"""Compares each function of the catalogue with its library on the whole image: `python -m benchmarks.catalogue`."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import geometric_mean
from typing import Any, Self

import click
import numpy as np

from benchmarks import document
from lepton_celery.catalogue import get_entry, load_kernels, public_names
from lepton_celery.config import load_settings
from lepton_celery.proving import samples
from lepton_celery.proving.subjects import CatalogueFunction, Trial

SIZES = {1: ((1 << 22,), (1 << 18,)), 2: ((2048, 2048), (512, 512)), 3: ((128, 128, 256), (64, 64, 64))}
"""Shape of the image and of the blocks by number of axes: 16 blocks, or 32 for a volume."""

DTYPES = {
    **dict.fromkeys(("measure.label", "morphology.label", "ndimage.label", "ndimage.distance_transform_edt"), "bool"),
    **dict.fromkeys(("morphology.skeletonize", "morphology.thin", "measure.euler_number", "measure.perimeter"), "bool"),
    **dict.fromkeys(("morphology.convex_hull_image", "morphology.convex_hull_object"), "bool"),
    **dict.fromkeys(("measure.intersection_coeff", "measure.manders_coloc_coeff"), "bool"),
    "numpy.bincount": "uint16",
}
"""The dtype of the image where it is not the first of `USUAL` that the function takes."""

USUAL = ("uint8", "uint16", "float32", "bool")

SMALLER = 4
"""Divides the lengths of the image where the library takes more time on the whole image than the limit."""

TINY = 32
"""Divides the lengths of the image to see that everything runs."""

SLOW = 1.5
"""Ratio above which the document counts a function as slow."""

LEAST_S = 0.1
"""Seconds that a function takes on the whole image, from which it is listed."""

RUNS_S = 0.3
"""Seconds for repetitions of a run, of which the fastest counts; there are three at most."""


@dataclass(frozen=True)
class Timed:
    """Seconds of processor time of one function."""

    name: str
    image: str
    """Dtype and shape of the image."""
    whole: float
    """Of the library, on the whole image."""
    blocks: float
    """Of lepton_celery, in blocks; infinite if the time ran out."""

    @property
    def ratio(self) -> float:
        return self.blocks / self.whole

    @property
    def row(self) -> tuple[str, ...]:
        """The cells of the document's table."""
        blocks, ratio = (f"{value:.3g}" if np.isfinite(value) else "not done" for value in (self.blocks, self.ratio))
        return (f"`{self.name}`", self.image, f"{self.whole:.3g}", blocks, ratio)

    @classmethod
    def from_row(cls, line: str) -> Self:
        """The inverse of `row`, from a line of the table."""
        name, image, whole, blocks, _ = (cell.strip() for cell in line.strip("| \n").split("|"))
        return cls(name.strip("`"), image, float(whole), float(blocks) if blocks != "not done" else np.inf)


def trial_of(name: str, scale: int = 1) -> Trial:
    """The image on which a function is measured; `scale` divides the length of its axes."""
    entry = get_entry(name)
    declared = entry.declared_dtypes()
    usual = [dtype for dtype in USUAL if dtype in declared]
    ndim = next(ndim for ndim in (2, 3, 1) if not entry.ndims or ndim in entry.ndims)
    shape, block = (tuple(n // scale for n in lengths) for lengths in SIZES[ndim])
    return Trial(samples.TYPICAL, DTYPES.get(name, (usual or list(declared))[0]), shape, block, seed=1)


def measure(name: str, trial: Trial, report: Callable[[float], None]) -> None:
    """Report the seconds of the library on the whole image, then those in blocks."""
    function = CatalogueFunction(get_entry(name), {})
    few = trial_of(name, TINY)
    function.split(function.images(few), few)[0]()  # imports modules, which is not counted
    images = function.images(trial)
    in_blocks, _ = function.split(images, trial)
    with np.errstate(all="ignore"):
        report(fastest(lambda: function.whole(images)))
        report(fastest(in_blocks))


def fastest(run: Callable[[], Any]) -> float:
    """The least seconds of processor time of a few runs."""
    times: list[float] = []
    while len(times) < 3 and sum(times) < RUNS_S:
        begun = time.process_time()
        run()
        times.append(time.process_time() - begun)
    return max(min(times), 0.001)  # a coarse clock may show 0


def measure_within(name: str, limit: int, scale: int = 1) -> Timed | str:
    """A function's times, from a process of its own with `limit` seconds of processor time; words if there are none."""
    trial = trial_of(name, scale)
    context = multiprocessing.get_context("fork")  # children share the kernels that this process has loaded
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_measure_into, args=(sender, name, trial, limit))
    child.start()
    sender.close()
    found = []
    try:
        while True:
            found.append(receiver.recv())
    except EOFError:
        pass
    finally:
        child.kill()
        child.join()
    words = [text for text in found if isinstance(text, str)]
    if words or not found:
        return words[0] if words else too_slow(limit)
    image = f"{trial.dtype} {' × '.join(map(str, trial.shape))}"
    return Timed(name, image, found[0], found[1] if len(found) > 1 else np.inf)


def too_slow(limit: int) -> str:
    """Why a function is not measured whose library does not end in time."""
    return f"the library alone takes more than {limit} s"


def _measure_into(sender: Connection, name: str, trial: Trial, limit: int) -> None:
    warnings.simplefilter("ignore")
    used = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + limit, int(used) + limit))
    try:
        measure(name, trial, sender.send)
    except Exception as error:
        sender.send(f"{type(error).__name__}: {error}".splitlines()[0])


HEAD = ("function", "image", "whole s", "blocks s", "ratio")


def page(timed: Sequence[Timed], failures: dict[str, str], least: float = LEAST_S) -> str:
    """The document."""
    listed = sorted((one for one in timed if one.whole >= least), key=lambda one: -one.ratio)
    slow = [one for one in listed if one.ratio > SLOW]
    done = [one.ratio for one in listed if np.isfinite(one.ratio)]
    mean = f"{geometric_mean(done):.2f}" if done else "-"
    lines = [
        "# The catalogue's speed",
        "",
        "<!-- written by `make bench-catalogue` -->",
        "",
        "Processor time of `lepton.compute` in one process and one thread, in 16 blocks of 512² (32 of 64³ for what takes",
        "volumes only), divided by that of scikit-image, SciPy or NumPy on the whole image of 2048² (128 × 128 × 256), both",
        "with one thread. Arguments are those with which the prover proves a function. The picture has bright objects about",
        f"15 pixels wide, with noise. Only functions that take {least} s or more on the whole image are listed.",
        "`python -m benchmarks.catalogue filters.gaussian ndimage` measures some of them again; the option",
        "`--limit` ends the measurement of a function after some seconds of processor time; if the library does not end in",
        f"time, an image with lengths of 1/{SMALLER} is measured. Rows may be of several runs.",
        f"Measured on {document.machine()}.",
        "",
        f"**{len(listed)} functions; the geometric mean of their ratios is {mean}, and {len(slow)} are above {SLOW}.**",
        "",
        *document.table(HEAD, [one.row for one in listed]),
    ]
    if failures:
        rows = [(f"`{name}`", words.replace("|", "\\|")) for name, words in sorted(failures.items())]
        lines += ["", "## Not measured", "", *document.table(("function", "why"), rows)]
    return "\n".join(lines) + "\n"


def measured_before(path: Path) -> list[Timed]:
    """The times in the document."""
    if not path.exists():
        return []
    _, _, rest = path.read_text(encoding="utf-8").partition("| " + " | ".join(HEAD) + " |\n")
    return [Timed.from_row(line) for line in rest.partition("\n\n")[0].splitlines()[1:]]


def chosen(names: Sequence[str]) -> list[str]:
    """The functions of these names or modules; all if there are none."""
    entries = {name: get_entry(name) for name in public_names()}
    split = [
        name for name, e in entries.items() if e.images and not e.is_refused and (not e.ndims or {*e.ndims} & {*SIZES})
    ]
    found = [name for name in split if not names or any(name == n or name.startswith(f"{n}.") for n in names)]
    if not found:
        raise click.UsageError(f"no function or module is called {' or '.join(names)}; try filters.gaussian or ndimage")
    return found


@click.command(help="Measure functions of the catalogue (names or modules; all unless given).")
@click.argument("names", nargs=-1)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    help="Processor seconds per function.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("docs"), show_default=True, help="Where to write.")
@click.option("--tiny", is_flag=True, help="Small pictures, to see that everything runs.")
def main(names: tuple[str, ...], limit: int, out: Path, tiny: bool) -> None:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    if load_settings().kernels:
        load_kernels()
    path, failures = out / "benchmarks-catalogue.md", {}
    timed = {one.name: one for one in measured_before(path)} if names else {}
    for name in chosen(names):
        found = measure_within(name, limit, scale=TINY if tiny else 1)
        if found == too_slow(limit) and not tiny:
            found = measure_within(name, limit, SMALLER)
        if isinstance(found, str):
            failures[name] = found
        else:
            timed[name] = found
        click.echo(f"{name:50} {' '.join(found.row[2:]) if isinstance(found, Timed) else found}")
        path.write_text(page(list(timed.values()), failures, 0 if tiny else LEAST_S), encoding="utf-8")


if __name__ == "__main__":
    main()
