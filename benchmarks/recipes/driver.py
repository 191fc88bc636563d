"""`python -m benchmarks.recipes.driver SYSTEM NAME SOURCE FOLDER`: runs a recipe once, outside the measuring process.

SYSTEM is `whole` (scikit-image on the whole image) or `dask`. The recipe runs on a small image first, so that no import is
measured. Prints the seconds from the files of the images in the folder SOURCE to the files of the results, and saves
the results to `results.npz`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from benchmarks.recipes.in_dask import RECIPES
from benchmarks.recipes.sources import flat, lazy_recipe, save, saved, small_sample, whole_recipe


def main() -> None:
    system, name, source, folder = sys.argv[1:]
    calls: dict[str, Callable[[Path], Mapping[str, Any]]] = {
        "whole": lambda images: whole_recipe(name).recipe(*(np.load(path) for path in saved(images))),
        "dask": lambda images: RECIPES[name](*saved(images)),
    }
    out = Path(folder)
    small = out / "small"
    save(small_sample(lazy_recipe(name)), small)
    calls[system](small)
    begun = time.perf_counter()
    results = calls[system](Path(source))
    for file, result in results.items():
        write(out / file, result)
    print(time.perf_counter() - begun)
    np.savez(out / "results.npz", **flat(results))


def write(path: Path, result: Any) -> None:
    """Write a result as people do it without this package."""
    if isinstance(result, Mapping):
        np.savetxt(path, np.column_stack(list(result.values())), delimiter=",", header=",".join(result), comments="")
    elif path.suffix == ".csv":
        np.savetxt(path, result, delimiter=",")
    elif path.suffix == ".json":
        path.write_text(str(np.asarray(result).tolist()))
    elif path.suffix == ".png":
        Image.fromarray(result).save(path)
    else:
        tifffile.imwrite(path.with_suffix(".tif"), result)


if __name__ == "__main__":
    main()
