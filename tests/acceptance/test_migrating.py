"""The code of docs/migrating.md gives the same pixels before and after, and prints what the page says."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import filters, measure

import lepton_celery as lepton
from benchmarks import migrating
from benchmarks.migrating import GUIDES, PAGE, Guide
from lepton_celery.config import set_configured
from lepton_celery.contrib.testing.stack import StackOptions, running_stack

pytestmark = [pytest.mark.acceptance, pytest.mark.worker]

SCRIPTS = ("overlap_boundaries", "overlap_proof", "parallel_seams")


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the page's modules, which this process and a worker can import."""
    folder = tmp_path_factory.mktemp("modules")
    path, loaded = list(sys.path), set(sys.modules)
    migrating.write(folder)
    try:
        yield folder
    finally:
        sys.path[:] = path
        for name in {file.stem for file in folder.glob("*.py")} - loaded:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def worker(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    options = StackOptions(queues=("celery",))
    with running_stack(tmp_path_factory.mktemp("stack"), "shop", options, modules):
        yield
    set_configured(None)


def whole(guide: Guide, image: NDArray[np.uint8]) -> NDArray[Any]:
    """What scikit-image gives on the whole image."""
    if guide.function == "find_ink":
        found: NDArray[Any] = image < filters.threshold_local(image, block_size=35, offset=10)
        return found
    smoothed = filters.gaussian(image, sigma=2)
    if guide.function == "find_edges":
        return np.asarray(filters.sobel(smoothed))
    return np.asarray(measure.label(smoothed > filters.threshold_otsu(smoothed)))


@pytest.mark.parametrize("guide", GUIDES, ids=[guide.title for guide in GUIDES])
def test_before_and_after_give_the_pixels_of_the_whole_image(
    guide: Guide, worker: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("run", "submit"):  # several blocks, whose borders are not those of the code before
        monkeypatch.setattr(lepton, name, partial(getattr(lepton, name), block_shape=(112, 144)), raising=False)
    monkeypatch.setattr(import_module(guide.modules[0]), "BLOCK", 96)
    image = guide.photograph()
    np.save(tmp_path / "photograph.npy", image)
    expected = whole(guide, image)
    for module in guide.modules:
        migrating.run(guide, module, tmp_path / "photograph.npy", tmp_path / f"{module}.npy")
        found = np.load(tmp_path / f"{module}.npy")
        assert found.dtype == expected.dtype, module
        assert np.array_equal(found, expected), module


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_prints_what_the_page_says(script: str, modules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = re.findall(rf"# {script}\.py\n.*?^```\n.*?^```text\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)[
        0
    ]
    runpy.run_path(str(modules / f"{script}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    for line in said.splitlines():
        assert line.removesuffix("…") in printed
    assert len(printed.splitlines()) == len(said.splitlines())


def test_every_block_of_the_page_is_run() -> None:
    blocks = re.findall(r"^```python$", PAGE.read_text(), flags=re.MULTILINE)
    used = {"shop", *SCRIPTS, *(module for guide in GUIDES for module in guide.modules)}
    assert {name.removesuffix(".py") for name in migrating.files()} == used
    assert len(blocks) == len(used)
