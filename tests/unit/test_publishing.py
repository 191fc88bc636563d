"""A job publishes nothing before its blocks are done. Then an output that fails does not cost the others their names."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery import errors
from lepton_celery.graph.nodes import Node
from lepton_celery.skimage import filters
from lepton_celery.stores import read_value
from lepton_celery.stores.publish import remove
from tests.faults.blocks import inverted

DARK = np.random.default_rng(3).integers(0, 200, (48, 60)).astype(np.uint8)
BLOCK = (16, 32)


def run_and_fail(folder: Path, nodes: dict[str, Node], kind: type[Exception], says: str, **options: Any) -> str:
    """Run a job that fails; the notes of its error."""
    with pytest.raises(kind, match=says) as caught:
        lepton.run({str(folder / name): node for name, node in nodes.items()}, block_shape=BLOCK, **options)
    hidden = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert not hidden
    return "\n".join(getattr(caught.value, "__notes__", []))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_value_that_cannot_be_found_costs_no_other_output(tmp_path: Path) -> None:
    flat = np.full((48, 60), 7, np.uint8)
    image = lepton.open(flat)
    nodes = {"o.npy": image + np.uint8(1), "threshold.csv": filters.threshold_minimum(image), "max.json": image.max()}
    notes = run_and_fail(tmp_path, nodes, errors.InputError, "finds no threshold")
    assert "this error is of the output" in notes and "written: max.json, o.npy; not written: threshold.csv" in notes
    assert names(tmp_path) == {"o.npy", "max.json"}
    assert np.array_equal(np.load(tmp_path / "o.npy"), flat + 1) and read_value(tmp_path / "max.json") == 7
    (tmp_path / "o.npy").unlink()
    with pytest.raises(errors.InputError) as caught:
        lepton.run({str(tmp_path / "threshold.csv"): nodes["threshold.csv"]})
    assert not hasattr(caught.value, "__notes__")


def test_names_that_were_taken_meanwhile_cost_no_other_output(tmp_path: Path) -> None:
    image = lepton.open(DARK)
    nodes = {
        "o.npy": image + np.uint8(1),
        "p.tif": image + np.uint8(2),
        "max.json": image.max(),
        "min.csv": image.min(),
    }

    def take(info: Any) -> None:
        for name in ("o.npy", "min.csv"):
            (tmp_path / name).write_text("precious")

    notes = run_and_fail(tmp_path, nodes, errors.OutputExists, "min.csv", on_change=take)
    assert "o.npy exists already" in notes and "written: max.json, p.tif; not written: min.csv, o.npy" in notes
    assert (tmp_path / "o.npy").read_text() == (tmp_path / "min.csv").read_text() == "precious"
    assert names(tmp_path) == set(nodes)


def test_a_job_whose_block_fails_publishes_nothing(tmp_path: Path) -> None:
    """Not even the outputs of stages that have ended."""
    image = lepton.open(DARK)
    scaled = (image * (255 / image.max())).astype(np.uint8)  # bright in the second stage only
    nodes = {
        "first.npy": lepton.map_blocks(inverted, image),
        "max.csv": image.max(),
        "second.npy": lepton.map_blocks("tests.faults.blocks:raises", scaled),
    }
    assert run_and_fail(tmp_path, nodes, ValueError, "a bright pixel") == ""
    assert names(tmp_path) == set()


def test_several_may_remove_a_folder_at_the_same_time(tmp_path: Path) -> None:
    """As whoever cancels a job, and its workers, which see that it was cancelled."""
    together = Barrier(4)

    def remove_all(_: int) -> None:
        try:
            for folder in folders:
                together.wait()
                remove(folder)
        except BaseException:
            together.abort()
            raise

    folders = [tmp_path / str(n) for n in range(400)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(remove_all, range(4)))
    assert list(tmp_path.iterdir()) == []
