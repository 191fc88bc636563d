"""Pipelines of a site: what their last step gives is their result, whatever it is called."""

from __future__ import annotations

import pytest

from lepton_celery.errors import InputError
from lepton_celery.web.pipelines import Pipeline, check_steps, pipeline_from_text

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
