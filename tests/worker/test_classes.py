"""A function of every class of the catalogue, and functions of the user, on real workers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from celery import Celery
from skimage import data

import lepton_celery as lepton
from docs.catalogue_page import CLASSES, rows
from lepton_celery import graph, stores
from lepton_celery.catalogue import get_entry
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import resolve
from lepton_celery.errors import InputError
from lepton_celery.grid import Region

pytestmark = pytest.mark.worker

SAMPLES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "pointwise": {"exposure.adjust_log": {}},
    "stencil": {"filters.rank.median": {}, "filters.scharr": {}},
    "geometry": {"transform.downscale_local_mean": {"factors": (3, 2)}},
    "value": {"filters.threshold_li": {}},
    "value, then pixels": {"exposure.equalize_hist": {}},
    "labels": {"measure.label": {}},
    "table": {"measure.regionprops_table": {"properties": ("label", "area", "perimeter", "eccentricity")}},
    "in rounds": {"morphology.h_maxima": {"h": 20}},
    "reads for itself": {"segmentation.watershed": {}},
    "whole": {"restoration.denoise_tv_chambolle": {}},
}
"""Functions of each class, with their arguments."""


def image_for(name: str) -> Array:
    image: Array = data.coins()[::2, ::2].copy()
    if name in ("measure.label", "measure.regionprops_table"):
        from skimage.measure import label

        found: Array = label(image > 110) if name.endswith("table") else image > 110
        return found
    return image


def test_every_class_has_a_sample() -> None:
    kinds = {row.kind for row in rows()}
    assert kinds <= set(CLASSES)
    assert set(SAMPLES) == kinds - {"refused"}


@pytest.mark.parametrize("name", [name for found in SAMPLES.values() for name in found])
def test_the_result_of_every_class_is_that_of_the_whole_image(app: Celery, tmp_path: Path, name: str) -> None:
    options = next(found[name] for found in SAMPLES.values() if name in found)
    image = image_for(name)
    source = tmp_path / "input.npy"
    np.save(source, image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = resolve(get_entry(name).source)(image, **options)
        lazy = graph.apply(name, lepton.open(source), **options)
    output = str(tmp_path / ("out.npy" if lazy.gives == "image" else "out.csv"))
    job = lepton.submit({output: lazy}, app=app, block_shape=(40, 50))
    job.wait(180)
    if lazy.gives == "image":
        reader = stores.open_array(output)
        pixels = reader.read(Region.whole(reader.shape))
        assert pixels.dtype == expected.dtype
        np.testing.assert_array_equal(pixels, expected)
    else:
        table = stores.read_table(output)
        wanted = expected if isinstance(expected, dict) else {"value": np.atleast_1d(expected)}
        for column in wanted:
            np.testing.assert_array_equal(table[column], wanted[column])


def test_what_scikit_image_warns_of_on_workers_is_told_once(app: Celery, tmp_path: Path) -> None:
    np.save(tmp_path / "lab.npy", np.full((90, 90, 3), (0.0, 0.0, 300.0)))
    lazy = graph.apply("color.lab2xyz", lepton.open(tmp_path / "lab.npy"))
    job = lepton.submit({str(tmp_path / "xyz.npy"): lazy}, app=app, block_shape=(30, 90))
    with pytest.warns(UserWarning, match="negative Z values") as found:
        job.wait(180)
        job.wait(180)
    assert len(found) == 1 and job.warnings() == [str(found[0].message)]


def test_a_function_of_the_user_runs_where_it_is_allowed(app: Celery, tmp_path: Path) -> None:
    from scipy import ndimage

    image = image_for("")
    np.save(tmp_path / "input.npy", image)
    source = lepton.open(tmp_path / "input.npy")
    output = tmp_path / "out.npy"
    lazy = lepton.map_blocks("scipy.ndimage:median_filter", source, halo=2, size=5)
    job = lepton.submit({str(output): lazy}, app=app, block_shape=(40, 50))
    job.wait(180)
    np.testing.assert_array_equal(np.load(output), ndimage.median_filter(image, size=5))
    assert set(job.seams()) == {str(output)}
    assert 0.5 < job.seams()[str(output)] < 1.5

    with pytest.raises(InputError, match="allowed_functions"):
        lepton.submit({str(tmp_path / "no.npy"): lepton.map_blocks("numpy:negative", source)}, app=app)
    assert not (tmp_path / "no.npy").exists()
