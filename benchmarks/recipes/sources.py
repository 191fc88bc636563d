"""The recipes as modules: as they are written, and with scikit-image's imports in place of lepton_celery's.

A recipe is a script with `sample(side)`, which makes its image or a tuple of images, and `recipe(*images)`, which returns
what `lepton.submit` takes.
The second form proves that the imports are the only difference.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lepton_celery.stores import TABLE_SUFFIXES, as_columns

FOLDER = Path(__file__).parents[2] / "examples" / "recipes"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.py")))

_SWAPPED = {
    "from lepton_celery.skimage import": "from skimage import",
    "from lepton_celery import ndimage": "from scipy import ndimage",
    "import lepton_celery as lepton": "from benchmarks.recipes import whole as lepton",
}
"""What the recipes import, and what they would import without lepton_celery."""


def lazy_recipe(name: str) -> ModuleType:
    """The recipe as it is written, imported by its name, as workers import its functions."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return import_module(name)


def whole_recipe(name: str) -> ModuleType:
    """The recipe with scikit-image, SciPy and NumPy on the whole image."""
    source = (FOLDER / f"{name}.py").read_text()
    for ours, theirs in _SWAPPED.items():
        source = source.replace(ours, theirs)
    module = ModuleType(f"whole_{name}")
    exec(compile(source, str(FOLDER / name), "exec"), module.__dict__)
    return module


def small_sample(module: ModuleType) -> Any:
    """A small sample, with which a recipe runs once so that no import is measured; that of a volume has a shorter side."""
    return module.sample(64 if "volume" in module.recipe.__annotations__ else 256)


def images_of(sample: Any) -> tuple[Any, ...]:
    """The images of a sample, which is one image or a tuple of them."""
    return sample if isinstance(sample, tuple) else (sample,)


def save(sample: Any, folder: Path) -> None:
    """Write the images of a sample into an empty folder, from which `saved` reads their paths."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, image in enumerate(images_of(sample)):
        np.save(folder / f"{number:02}.npy", image)


def saved(folder: Path) -> list[Path]:
    """The files of a sample's images."""
    return sorted(folder.glob("*.npy"))


def flat(results: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of all results by file, those of a CSV as `file/column`."""
    arrays: dict[str, Any] = {}
    for file, result in results.items():
        if Path(file).suffix in TABLE_SUFFIXES:
            arrays |= {f"{file}/{column}": values for column, values in as_columns(result).items()}
        else:
            arrays[file] = np.asarray(result)
    return arrays
