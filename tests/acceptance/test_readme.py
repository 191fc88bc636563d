"""Every code block of the README works in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_celery.jobs.local_stack import read_running
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LEPTON_", "CELERY_"))}
    return own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which `lepton up` runs, started as in the README."""
    folder = tmp_path_factory.mktemp("readme")
    [up] = [block for block in blocks("sh") if block.startswith("lepton up")]
    stack = subprocess.Popen(shlex.split(up), cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: stack.poll() is not None or read_running(folder / ".lepton") is not None)
        assert stack.poll() is None, "lepton up ended"
        yield folder
    finally:
        stack.send_signal(signal.SIGINT)
        assert stack.wait(180) == 0


def test_the_python_blocks_run_one_after_the_other(folder: Path) -> None:
    program = "\n".join(blocks("python"))
    assert len(blocks("python")) >= 4
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "(303, 384)" in done.stdout
    assert "stage 1/" in done.stdout
    assert (folder / "cells.csv").exists()


def test_the_shell_blocks_run(folder: Path) -> None:
    [submit] = [block for block in blocks("sh") if "lepton run" in block]
    done = subprocess.run(["sh", "-e", "-c", submit], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "labels.zarr").is_dir()
    assert (folder / "coins.csv").read_text().startswith("label,area\n")
    assert "done" in done.stdout


def test_all_blocks_are_tested() -> None:
    """Every block is run or compared by a test: CI runs `make test`, and `test_cli` the demonstration."""
    for block in blocks("sh"):
        assert block.startswith(("make run", "lepton up", "python -c")), block
    languages = re.findall(r"^```(\w+)$", README, flags=re.MULTILINE)
    assert set(languages) == {"sh", "python", "text"}
    assert languages.count("text") == 1  # the map of the layers, which `tests/unit/test_layers.py` compares


def test_the_named_make_targets_exist() -> None:
    for target in re.findall(r"`?make ([a-z-]+)", README):
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_the_links_exist() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_the_first_program_begins_within_thirty_lines() -> None:
    assert README.split("\n").index("```python") < 30
