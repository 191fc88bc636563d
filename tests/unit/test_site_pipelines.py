"""Pipelines of a site: what their last step gives is their result, whatever it is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage

import lepton_celery as lepton
from lepton_celery.errors import InputError
from lepton_celery.web.pipelines import Pipeline, check_steps, pipeline_from_text, results_of

LABELS = "smooth=gaussian\nmask=threshold:otsu\n"


@pytest.mark.parametrize(
    ("last", "output", "name"),
    [
        ("label", "result.tif", "result"),
        ("cells=label", "result.tif", "cells"),
        ("cells,count=label:return_num=true", "result.tif", "cells"),
        ("_,count=label:return_num=true", "result.json", "count"),
        ("label\n@smooth", "result.tif", "smooth"),
        ("label\nregionprops_table", "result.csv", "result"),
        ("label\ntable=regionprops_table", "result.csv", "table"),
    ],
)
def test_the_last_step_gives_the_result(last: str, output: str, name: str) -> None:
    document = pipeline_from_text(LABELS + last)
    assert document["outputs"] == {output: name}
    assert set(check_steps(document)) == {output}


def test_offered_pipelines_may_name_their_last_step() -> None:
    assert Pipeline("Cells", ("smooth=gaussian", "edges=sobel")).document == {
        "version": 1,
        "steps": ["smooth=gaussian", "edges=sobel"],
        "outputs": {"result.tif": "edges"},
    }


def test_a_last_step_that_is_not_understood_is_told() -> None:
    with pytest.raises(InputError, match="step"):
        pipeline_from_text("gaussian\n:::")


@pytest.mark.parametrize("channels", [0, 3, 4])
def test_images_in_colours_become_grey_before_the_first_step(channels: int, tmp_path: Path) -> None:
    shape = (20, 30, channels) if channels else (20, 30)
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    np.save(tmp_path / "image.npy", pixels)
    pipeline = Pipeline("Smooth", ("smooth=gaussian:sigma=2",), as_gray=True)
    nodes = results_of(pipeline.document, tmp_path / "image.npy", "image.npy", as_gray=pipeline.as_gray)
    grey = skimage.color.rgb2gray(skimage.color.rgba2rgb(pixels) if channels == 4 else pixels) if channels else pixels
    result = lepton.compute(nodes["result.tif"])
    np.testing.assert_array_equal(result, skimage.filters.gaussian(grey, sigma=2))


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_pipeline_of_a_user_reads_no_image_but_his_own(scheme: str, tmp_path: Path) -> None:
    for name in ("mine.npy", "of_another.npy"):
        np.save(tmp_path / name, np.zeros((8, 8), np.uint8))
    nodes = [{"operation": "lepton.source", "arguments": {"url": f"{scheme}{tmp_path / 'of_another.npy'}"}}]
    document = {"version": 1, "nodes": nodes, "outputs": {"result.tif": 0}}
    with pytest.raises(InputError, match="input:"):
        results_of(document, tmp_path / "mine.npy", "mine.npy")
