"""Pipelines in files, and the outputs of a command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import filters

from lepton_celery.cli.pipeline import requested_outputs
from lepton_celery.errors import InputError, StoreError, StoreNotFound
from lepton_celery.graph.nodes import Node
from lepton_celery.jobs.compute import compute
from tests.oracle import assert_identical, picture

IMAGE = picture((30, 40), "uint16")


def load_pipeline(file: Path, source: str, output: str, **saved: str) -> dict[str, Node]:
    return requested_outputs(source, output, (), file, (), [f"{name}={path}" for name, path in saved.items()])


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


def test_each_output_of_a_pipeline_may_have_a_path(tmp_path: Path, source: str) -> None:
    file = saved(tmp_path, document(smooth=1, mask=3))
    assert set(load_pipeline(file, source, "unused", smooth="a.npy", mask="b.npy")) == {"a.npy", "b.npy"}
    assert set(load_pipeline(file, source, str(tmp_path), smooth="a.npy")) == {"a.npy", str(tmp_path / "mask")}
    with pytest.raises(InputError, match="has no such output; it has smooth, mask"):
        load_pipeline(file, source, "unused", labels="a.npy")


def test_a_pipeline_may_be_steps_in_toml(tmp_path: Path, source: str) -> None:
    file = tmp_path / "pipeline.toml"
    file.write_text('version = 1\nsteps = ["gaussian:sigma=2", "threshold:otsu"]\n')
    smooth = filters.gaussian(IMAGE, sigma=2)
    found = load_pipeline(file, source, "mask.npy")["mask.npy"]
    assert_identical(compute(found), smooth > filters.threshold_otsu(smooth))


def test_files_that_are_no_pipelines_are_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(StoreNotFound, match="does not exist"):
        load_pipeline(tmp_path / "none.json", source, "out.zarr")
    with pytest.raises(StoreError, match="cannot be read: Is a directory"):
        load_pipeline(tmp_path, source, "out.zarr")
    for text in ("{nodes", "", "[" * 100_000):
        with pytest.raises(InputError, match="cannot be read as JSON"):
            load_pipeline(saved(tmp_path, text), source, "out.zarr")
    for content in ([1], 1, None, "null", {"version": [1]}):
        with pytest.raises(InputError, match="has version"):
            load_pipeline(saved(tmp_path, content), source, "out.zarr")
    (tmp_path / "bad.toml").write_text("steps = [")
    (tmp_path / "latin.json").write_bytes(b'{"version": "\xff"}')
    for name in ("bad.toml", "latin.json"):
        with pytest.raises(InputError, match="cannot be read as"):
            load_pipeline(tmp_path / name, source, "out.zarr")


@pytest.mark.parametrize("nodes", [1, [1], [{}], [{"operation": 1, "arguments": {}}], [{"operation": "median"}]])
def test_pipelines_of_a_wrong_form_are_refused(tmp_path: Path, source: str, nodes: Any) -> None:
    with pytest.raises(InputError):
        load_pipeline(saved(tmp_path, {"version": 1, "nodes": nodes, "outputs": {"a": 0}}), source, "out.zarr")


# ------------------------------------------------------------------------------------------------ steps


def requested(source: str, *steps: str, inputs: tuple[str, ...] = (), saved: tuple[str, ...] = ()) -> dict[str, Node]:
    return requested_outputs(source, "out.npy", steps, None, inputs, saved)


def test_named_results_are_saved_too(source: str) -> None:
    found = requested(source, "smooth=gaussian:sigma=2", "threshold:otsu", saved=("smooth=smooth.npy",))
    assert list(found) == ["out.npy", "smooth.npy"]
    assert_identical(compute(found["smooth.npy"]), filters.gaussian(IMAGE, sigma=2))


def test_steps_use_several_inputs(source: str) -> None:
    found = requested(source, "subtract:@other", inputs=(f"other={source}",))
    assert_identical(compute(found["out.npy"]), IMAGE - IMAGE)


@pytest.mark.parametrize(
    ("inputs", "saved", "message"),
    [
        (("other",), (), "--input 'other' is not NAME=PATH"),
        (("=a.npy",), (), "is not NAME=PATH"),
        (("image=a.npy",), (), "--input image=… is not possible"),
        (("a=a.npy", "a=b.npy"), (), "gives 'a' twice"),
        (("other=missing.npy",), (), "is used by no step; write @other"),
        ((), ("smooth=a.npy",), "no input has the name 'smooth'"),
        ((), ("image=out.npy",), "two outputs are written to out.npy"),
    ],
)
def test_inputs_and_saved_results_are_checked(
    source: str, inputs: tuple[str, ...], saved: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        requested(source, "median", inputs=inputs, saved=saved)
