"""The kinds of jobs, their expected outputs by scikit-image on the whole image, and a process that submits one.

python -m tests.chaos.jobs <kind> <input> <folder>
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from celery import Celery
from scipy import ndimage
from skimage import data
from skimage import filters as sk_filters
from skimage import measure as sk_measure
from skimage import morphology as sk_morphology

import lepton_celery as lepton
from lepton_celery import ndimage as lazy_ndimage
from lepton_celery import stores
from lepton_celery.grid import Region
from lepton_celery.skimage import filters, measure, morphology
from tests.oracle import assert_identical

SIDE = 832
BLOCK = (64, 64)
WORKERS = 8
"""Number of workers to plan for; it gives small batches and many messages."""

TOLD = "chaos.told"
"""The task that each job's `on_done` names, and its queue, which nobody serves."""

COLUMNS = ("label", "area", "bbox", "centroid", "intensity_mean")
SQUARE = np.ones((9, 9))


@dataclass(frozen=True)
class Kind:
    """A kind of job: its outputs by file name, as lazy nodes and as scikit-image computes them."""

    outputs: Callable[[Any, str], dict[str, Any]]
    """Called with the lazy image, and with a file in which functions may note their runs."""
    expected: Callable[[Any], dict[str, Any]]


def make_input(path: Path) -> None:
    """Write the image that all jobs read."""
    np.save(path, np.tile(data.camera(), (2, 2))[:SIDE, :SIDE])


def _fused(image: Any, runs: str) -> dict[str, Any]:
    return {"fused.npy": filters.sobel(filters.median(filters.gaussian(image, sigma=2), footprint=SQUARE)) * 2 + 1}


def _fused_whole(image: Any) -> dict[str, Any]:
    smooth = sk_filters.median(sk_filters.gaussian(image, sigma=2), footprint=SQUARE)
    return {"fused.npy": sk_filters.sobel(smooth) * 2 + 1}


def _threshold(image: Any, runs: str) -> dict[str, Any]:
    smooth = filters.median(image, footprint=SQUARE)
    return {"threshold.npy": smooth > filters.threshold_otsu(smooth)}


def _threshold_whole(image: Any) -> dict[str, Any]:
    smooth = sk_filters.median(image, footprint=SQUARE)
    return {"threshold.npy": smooth > sk_filters.threshold_otsu(smooth)}


def _regions(image: Any, runs: str) -> dict[str, Any]:
    smooth = filters.gaussian(image, sigma=1)
    labels = measure.label(smooth > filters.threshold_otsu(smooth))
    return {"labels.zarr": labels, "regions.csv": measure.regionprops_table(labels, smooth, properties=COLUMNS)}


def _regions_whole(image: Any) -> dict[str, Any]:
    smooth = sk_filters.gaussian(image, sigma=1)
    labels = sk_measure.label(smooth > sk_filters.threshold_otsu(smooth))
    return {"labels.zarr": labels, "regions.csv": sk_measure.regionprops_table(labels, smooth, properties=COLUMNS)}


def _settling(image: Any, runs: str) -> dict[str, Any]:
    return {"settled.npy": morphology.reconstruction(morphology.erosion(image, footprint=SQUARE), image)}


def _settling_whole(image: Any) -> dict[str, Any]:
    return {"settled.npy": sk_morphology.reconstruction(sk_morphology.erosion(image, footprint=SQUARE), image)}


def _tiff(image: Any, runs: str) -> dict[str, Any]:
    return {"opened.tif": morphology.opening(filters.median(image, footprint=SQUARE), footprint=SQUARE)}


def _tiff_whole(image: Any) -> dict[str, Any]:
    return {"opened.tif": sk_morphology.opening(sk_filters.median(image, footprint=SQUARE), footprint=SQUARE)}


def _own(image: Any, runs: str) -> dict[str, Any]:
    return {"own.npy": lepton.map_blocks("tests.faults.blocks:counted", image, log=runs)}


def _own_whole(image: Any) -> dict[str, Any]:
    return {"own.npy": 255 - image}


def _distance(image: Any, runs: str) -> dict[str, Any]:
    return {"distance.zarr": lazy_ndimage.distance_transform_edt(image > 60)}


def _distance_whole(image: Any) -> dict[str, Any]:
    return {"distance.zarr": ndimage.distance_transform_edt(image > 60)}


KINDS = {
    "fused": Kind(_fused, _fused_whole),
    "threshold": Kind(_threshold, _threshold_whole),
    "regions": Kind(_regions, _regions_whole),
    "settling": Kind(_settling, _settling_whole),
    "tiff": Kind(_tiff, _tiff_whole),
    "own": Kind(_own, _own_whole),
    "distance": Kind(_distance, _distance_whole),
}


def outputs_of(kind: str, source: Path, folder: Path) -> dict[str, Any]:
    """The nodes of a job by output path."""
    return {str(folder / name): node for name, node in _nodes(kind, source, folder).items()}


def _nodes(kind: str, source: Path, folder: Path) -> dict[str, Any]:
    return KINDS[kind].outputs(lepton.open(source), str(runs_file(folder)))


def runs_file(folder: Path) -> Path:
    """The file in which a job notes the runs of its blocks; it is beside the folder, which must hold outputs only."""
    return folder.with_name(f"{folder.name}.runs")


def submit(kind: str, source: Path, folder: Path, app: Celery) -> lepton.Job:
    """Submit a job that writes to `folder`, whose name is its title."""
    outputs = outputs_of(kind, source, folder)
    on_done = app.signature(TOLD, options={"queue": TOLD})
    return lepton.submit(outputs, app=app, block_shape=BLOCK, workers=WORKERS, title=folder.name, on_done=on_done)


@cache
def expected_of(kind: str, source: Path) -> Mapping[str, Any]:
    """The whole-image outputs, by file name."""
    return KINDS[kind].expected(np.load(source))


def assert_right(kind: str, source: Path, folder: Path) -> None:
    """Compare a job's outputs with the whole-image ones, to the last bit."""
    for name, expected in expected_of(kind, source).items():
        path = folder / name
        if isinstance(expected, Mapping):
            found = stores.read_table(str(path))
            assert list(found) == list(expected), (name, list(found))
            for column, values in expected.items():
                assert np.array_equal(found[column], values), f"{name}: column {column} differs"
        else:
            reader = stores.open_array(path)
            assert_identical(reader.read(Region.whole(reader.shape)), expected)


def main(kind: str, source: str, folder: str) -> None:
    """Submit a job after reading a line, so that a kill hits the submission and not the imports."""
    app = lepton.create_app()
    outputs_of(kind, Path(source), Path(folder))  # load the catalogue
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    submit(kind, Path(source), Path(folder), app)
    sys.stdout.write("submitted\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
