"""`python -m benchmarks.recipes`: times the recipes beside their peers; writes docs/recipes.md and its pictures."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import click
import numpy as np

import lepton_celery as lepton
from benchmarks.folder import work_folder
from benchmarks.recipes import document, pictures
from benchmarks.recipes.in_dask import RECIPES as IN_DASK
from benchmarks.recipes.sources import FOLDER, NAMES, flat, images_of, lazy_recipe, save, saved, small_sample
from benchmarks.runner import ROOT
from lepton_celery.config import load_settings
from lepton_celery.graph.nodes import Node
from lepton_celery.local.stack import LocalStack
from lepton_celery.proving.compare import difference

WORKERS = 2
LIMIT_S = 1200.0
"""Seconds that one run may take."""

SIDES = {
    "background": 2048,
    "contrast": 4096,
    "nuclei": 4096,
    "nuclei_3d": 256,
    "own_segmenter": 4096,
    "projection": 640,
    "registration": 2048,
    "spots": 4096,
    "stitching": 8192,
    "texture": 3072,
    "tissue": 4096,
    "vessels": 2048,
}
"""Side of the image with which a recipe is measured, in pixels."""


LARGE = (12_000, 9_000)
"""Columns and rows of the large image of nuclei."""


@dataclass
class Measured:
    """The runs of a recipe on one image."""

    name: str
    shape: tuple[int, ...] = ()
    images: int = 1
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of each run by system: `lepton`, `whole` and `dask`."""
    differences: list[str] = field(default_factory=list)
    """Where the results of the workers differ from those of the whole image."""

    def best(self, system: str) -> float | None:
        return min(self.seconds.get(system, []), default=None)


@click.command(help="Time the recipes beside scikit-image on the whole image, and Dask where it can do them.")
@click.argument("names", nargs=-1)
@click.option("--side", type=click.IntRange(64), help="Side of the image; each recipe has its own unless given.")
@click.option("--rows", type=click.IntRange(64), help="Rows of the image; as many as columns unless given.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Runs of each system.")
@click.option("--large", is_flag=True, help="Also nuclei in 12,000 × 9,000 pixels, which takes 15 GB and some minutes.")
@click.option("--no-document", is_flag=True, help="Print the figures only.")
def main(
    names: tuple[str, ...], side: int | None, rows: int | None, rounds: int, large: bool, no_document: bool
) -> None:
    if unknown := set(names) - set(NAMES):
        raise click.BadParameter(f"{', '.join(unknown)}: there are {', '.join(NAMES)}")
    started = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"{time.monotonic() - started:6.1f} s  {line}")

    with work_folder() as folder, Recipes(folder, say) as recipes:
        measured = [recipes.measure(name, side or SIDES[name], rows, rounds) for name in names or NAMES]
        if large:
            measured.append(recipes.measure("nuclei", *LARGE, rounds))
    if not no_document:
        document.write(measured)
        for name in names or NAMES:
            pictures.draw(name)
    if any(found.differences for found in measured):
        sys.exit(1)


class Recipes:
    """Runs recipes on workers of their own."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        os.environ["LEPTON_ALLOWED_FUNCTIONS"] = "own_segmenter:*"
        os.environ["PYTHONPATH"] = os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")])
        self._stack = LocalStack(folder / "stack", workers=WORKERS, flower=False)

    def __enter__(self) -> Self:
        self._stack.start()
        settings = {**os.environ, "LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": self._stack.broker_url}
        self._app = lepton.create_app(load_settings(settings))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.stop()

    def measure(self, name: str, side: int, rows: int | None, rounds: int) -> Measured:
        """Time a recipe on an image; the systems take turns."""
        module = lazy_recipe(name)
        images = tuple(image if rows is None else image[:rows] for image in images_of(module.sample(side)))
        source, small = self._folder / "images", self._folder / "small"
        save(images, source)
        save(small_sample(module), small)
        measured = Measured(name, images[0].shape, len(images))
        del images
        self._run_lepton(name, small)
        expected: dict[str, Any] = {}
        systems = ["whole", "lepton", *(["dask"] if name in IN_DASK else [])]
        for number in range(rounds):
            for system in systems:
                if system == "lepton":
                    seconds, results = self._run_lepton(name, source)
                    if not number:
                        measured.differences = [
                            f"{key}: {what}"
                            for key in expected
                            if (what := difference(results.get(key), expected[key]))
                        ]
                else:
                    seconds, results = self._run_other(system, name, source)
                    expected = results if system == "whole" else expected
                measured.seconds.setdefault(system, []).append(seconds)
                self._say(f"{name:14} {system:7} {seconds:7.2f} s")
        ratio = (measured.best("lepton") or 0) / (measured.best("whole") or 1)
        self._say(f"{name:14} {ratio:.2f} of scikit-image; {'; '.join(measured.differences) or 'identical'}")
        return measured

    def _run_lepton(self, name: str, source: Path) -> tuple[float, dict[str, Any]]:
        """The seconds from submission to result on the workers, and the arrays of the results."""
        with TemporaryDirectory(dir=self._folder) as out:
            begun = time.perf_counter()
            nodes = lazy_recipe(name).recipe(*map(lepton.open, saved(source)))
            paths = {str(Path(out) / file): node for file, node in nodes.items()}
            job = lepton.submit(paths, app=self._app, workers=WORKERS)
            job.wait(LIMIT_S)
            seconds = time.perf_counter() - begun
            results = {Path(path).name: _computed(result) for path, result in job.result().items()}
            return seconds, flat(results)

    def _run_other(self, system: str, name: str, source: Path) -> tuple[float, dict[str, Any]]:
        with TemporaryDirectory(dir=self._folder) as out:
            command = [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "benchmarks.recipes.driver",
                system,
                name,
                str(source),
                out,
            ]
            done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S)
            with np.load(Path(out) / "results.npz") as arrays:
                return float(done.stdout.split()[-1]), dict(arrays)


def _computed(result: Any) -> Any:
    return lepton.compute(result) if isinstance(result, Node) else result


if __name__ == "__main__":
    main()
