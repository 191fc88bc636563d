"""The recipes give in blocks what scikit-image, SciPy and NumPy give on the whole image, with only their imports changed."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

import lepton_celery as lepton
from benchmarks.recipes import document
from benchmarks.recipes.sources import FOLDER, NAMES, flat, images_of, whole_recipe
from lepton_celery.graph.nodes import Node
from lepton_celery.proving.compare import difference

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

BLOCKS = {"projection": (20, 96, 112), "nuclei_3d": (20, 48, 32)}
"""Block shapes of the volumes; flat images have blocks of 144 × 176 pixels."""


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_gives_the_whole_images_results(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = []

    def run_in_blocks(outputs: dict[str, Any], original: Any = lepton.run) -> None:
        jobs.append(original(outputs, block_shape=BLOCKS.get(name, (144, 176))))

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)  # as Python does for a script
    monkeypatch.setattr(lepton, "run", run_in_blocks)
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    results = {file: lepton.compute(got) if isinstance(got, Node) else got for file, got in jobs[0].result().items()}
    whole = whole_recipe(name)
    expected = flat(whole.recipe(*images_of(whole.sample())))
    assert expected.keys() == flat(results).keys()
    assert [what for key, got in flat(results).items() if (what := difference(got, expected[key]))] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(results)


def test_the_page_of_recipes_shows_each() -> None:
    page = document.PATH.read_text()
    for name in NAMES:
        assert document.function((FOLDER / f"{name}.py").read_text(), "recipe") in page, f"write the page again: {name}"
        assert (document.PATH.parent / "recipes" / f"{name}.png").exists()


def test_a_recipe_is_short() -> None:
    for name in NAMES:
        source = (FOLDER / f"{name}.py").read_text()
        assert len(document.function(source, "recipe").splitlines()) <= 16, name
