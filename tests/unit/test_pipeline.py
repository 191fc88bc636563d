"""Pipelines given as steps on the command line, and as graphs in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import filters, measure, morphology

from lepton_celery import graph
from lepton_celery.cli.pipeline import build_steps, load_pipeline, parse_arguments
from lepton_celery.errors import InputError, StoreNotFound, UnknownOperation
from lepton_celery.jobs.compute import compute
from tests.oracle import assert_identical, picture

IMAGE = picture((30, 40), "uint16")

PARSED: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("", [], {}),
    ("2", [2], {}),
    ("sigma=2", [], {"sigma": 2}),
    ("2,mode=mirror", [2], {"mode": "mirror"}),
    ("sigma=(1,2.5),truncate=3", [], {"sigma": (1, 2.5), "truncate": 3}),
    ("[2,98]", [[2, 98]], {}),
    ("properties=label+area", [], {"properties": ["label", "area"]}),
    ("label+area+bbox", [["label", "area", "bbox"]], {}),
    ("1+2", [[1, 2]], {}),
    ("+3", [3], {}),
    ("-1.5,1e-3", [-1.5, 1e-3], {}),
    ("true,False,none", [True, False, None], {}),
    ("otsu", ["otsu"], {}),
    ("'a b',x=\"c\"", ["a b"], {"x": "c"}),
    ("out_range=(0, 255)", [], {"out_range": (0, 255)}),
    (" sigma = 2 , mode = nearest ", [], {"sigma": 2, "mode": "nearest"}),
]


@pytest.mark.parametrize(("text", "positional", "keyword"), PARSED, ids=[t or "nothing" for t, _, _ in PARSED])
def test_arguments_are_parsed(text: str, positional: list[Any], keyword: dict[str, Any]) -> None:
    assert parse_arguments(text, text) == (positional, keyword)


def test_an_unnamed_argument_after_a_named_one_is_refused() -> None:
    with pytest.raises(InputError, match=r"step 'gaussian:sigma=2,3': '3' has no name"):
        parse_arguments("sigma=2,3", "gaussian:sigma=2,3")


@pytest.mark.parametrize("text", ["__import__('os').system('true')", "open('x')", "[].append", "1 if 1 else 2"])
def test_arguments_are_never_evaluated(text: str) -> None:
    positional, _ = parse_arguments(text, text)
    assert all(isinstance(part, str | list) for part in positional)


def test_steps_apply_one_after_the_other() -> None:
    smooth = filters.gaussian(IMAGE, sigma=2)
    mask = smooth > filters.threshold_otsu(smooth)
    found = build_steps(graph.open(IMAGE), ["gaussian:sigma=2", "threshold:otsu", "label"])
    assert_identical(compute(found, block_shape=(11, 13)), measure.label(mask))
    found = build_steps(graph.open(IMAGE), ["filters.gaussian:2", "threshold:0.5", "label:connectivity=1"])
    assert_identical(compute(found, block_shape=(11, 13)), measure.label(smooth > 0.5, connectivity=1))
    found = build_steps(graph.open(IMAGE), ["opening", "percentile:[2,98]"])
    assert_identical(compute(found, block_shape=(11, 13)), np.percentile(morphology.opening(IMAGE), [2, 98]))


def test_no_steps_give_the_image_itself() -> None:
    image = graph.open(IMAGE)
    assert build_steps(image, []) is image


def test_a_table_measures_the_input_itself() -> None:
    steps = ["threshold:30000", "label", "regionprops_table:properties=label+area+intensity_mean"]
    expected = measure.regionprops_table(
        measure.label(IMAGE > 30000), IMAGE, properties=("label", "area", "intensity_mean")
    )
    assert_identical(compute(build_steps(graph.open(IMAGE), steps), block_shape=(11, 13)), expected)


def test_a_table_without_intensities_needs_no_input_of_its_shape() -> None:
    steps = ["downscale_local_mean:(2,2)", "threshold:30000", "label", "regionprops_table:properties=label+area"]
    table = compute(build_steps(graph.open(IMAGE), steps))
    assert list(table) == ["label", "area"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["gausian"], "did you mean filters.gaussian"),
        (["gaussian:sgma=2"], "sgma"),
        (["threshold"], "threshold:otsu or a number"),
        (["threshold:1,2"], "threshold:otsu or a number"),
        (["threshold:magic"], "threshold_magic"),
        (["threshold_otsu", "label"], "step 'label' comes after one that gives a value"),
        (["label", "regionprops_table", "label"], "gives a table"),
        (["gaussian", "label"], "dtype float64"),
        (["lepton.extent"], "internal"),
    ],
)
def test_an_invalid_step_is_named(steps: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_steps(graph.open(IMAGE), steps)


def test_an_unknown_step_is_an_unknown_operation() -> None:
    with pytest.raises(UnknownOperation):
        build_steps(graph.open(IMAGE), ["nonsense"])


# ------------------------------------------------------------------------------------------------ files


def document(**outputs: int) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = [
        {"operation": "lepton.source", "arguments": {"url": "input:image"}},
        {"operation": "gaussian", "arguments": {"image": {"node": 0}, "sigma": 2}},
        {"operation": "threshold_otsu", "arguments": {"image": {"node": 1}}},
        {"operation": "greater", "arguments": {"x1": {"node": 1}, "x2": {"node": 2}}},
    ]
    return {"version": 1, "nodes": nodes, "outputs": outputs}


@pytest.fixture
def source(tmp_path: Path) -> str:
    np.save(tmp_path / "in.npy", IMAGE)
    return str(tmp_path / "in.npy")


def saved(folder: Path, content: Any) -> Path:
    (folder / "pipeline.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / "pipeline.json"


def test_a_pipeline_with_one_output_writes_the_path_given(tmp_path: Path, source: str) -> None:
    outputs = load_pipeline(saved(tmp_path, document(mask=3)), source, "out.zarr")
    assert list(outputs) == ["out.zarr"]
    smooth = filters.gaussian(IMAGE, sigma=2)
    assert_identical(compute(outputs["out.zarr"], block_shape=(11, 13)), smooth > filters.threshold_otsu(smooth))


def test_a_pipeline_with_several_outputs_writes_them_into_a_directory(tmp_path: Path, source: str) -> None:
    file = saved(tmp_path, document(**{"smooth.npy": 1, "mask.png": 3}))
    assert set(load_pipeline(file, source, str(tmp_path))) == {str(tmp_path / "smooth.npy"), str(tmp_path / "mask.png")}
    with pytest.raises(InputError, match=r"2 outputs \(smooth.npy, mask.png\); give an existing directory"):
        load_pipeline(file, source, str(tmp_path / "none"))


def test_files_that_are_no_pipelines_are_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(StoreNotFound, match="does not exist"):
        load_pipeline(tmp_path / "none.json", source, "out.zarr")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        load_pipeline(saved(tmp_path, "{nodes"), source, "out.zarr")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        load_pipeline(tmp_path, source, "out.zarr")
    with pytest.raises(InputError, match="version 'list'"):
        load_pipeline(saved(tmp_path, [1]), source, "out.zarr")
