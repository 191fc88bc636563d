"""A JupyterLab in an environment of its own, which is made once: it has more packages than this project."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from tests.waiting import eventually

TOP = Path(__file__).parents[2]
VERSION = "4.6.6"
ENVIRONMENT = TOP / ".venv-jupyter"
READY = ENVIRONMENT / f".ready-{VERSION}"
TOKEN = "a-token-of-the-tests"
"""What the server asks for. It listens on this machine only."""


def installed() -> Path:
    """The environment, whose kernels see this project's packages too; takes five seconds the first time."""
    if not READY.exists():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        uv = Path(sys.executable).with_name("uv")
        python = ENVIRONMENT / "bin" / "python"
        try:
            subprocess.run([uv, "venv", "-q", "--python", sys.executable, ENVIRONMENT], check=True)
            subprocess.run([uv, "pip", "install", "-q", "--python", python, f"jupyterlab=={VERSION}"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            message = f"JupyterLab cannot be installed: {error}"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        [packages] = ENVIRONMENT.glob("lib/python*/site-packages")
        (packages / "project.pth").write_text(f"import site; site.addsitedir({site.getsitepackages()[0]!r})\n")
        READY.touch()
    return ENVIRONMENT


@contextmanager
def running_lab(directory: Path, env: Mapping[str, str]) -> Iterator[str]:
    """A JupyterLab on the files of a directory; the address of its root."""
    bin_folder = installed() / "bin"
    state = directory / ".jupyter"
    config = state / "config" / "labconfig"
    config.mkdir(parents=True)
    off = {"@jupyterlab/apputils-extension:announcements": True}
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": off}))
    folders = {name: str(state / name.lower()) for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    (state / "config").rename(folders["CONFIG_DIR"])
    own = {f"JUPYTER_{name}": folder for name, folder in folders.items()} | {
        "JUPYTERLAB_SETTINGS_DIR": str(state / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(state / "workspaces"),
        "IPYTHONDIR": str(state / "ipython"),
    }
    token = f"--IdentityProvider.token={TOKEN}"
    command = [str(bin_folder / "jupyter-lab"), "--no-browser", "--allow-root", "--port=0", token]
    with (directory / "jupyter.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=directory, env={**os.environ, **own, **env}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        eventually(lambda: _address(Path(folders["RUNTIME_DIR"])), "JupyterLab", 120)
        address = _address(Path(folders["RUNTIME_DIR"]))
        eventually(lambda: _answers(address), "JupyterLab's answer", 120)
        yield address
    finally:
        process.terminate()  # it ends its kernels
        process.wait(60)


def _address(runtime: Path) -> str:
    for path in runtime.glob("jpserver-*.json"):
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except ValueError:  # it is being written
            return ""
        return str(found["url"])
    return ""


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}api?token={TOKEN}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def notebook(*cells: str) -> str:
    """A notebook with cells of code."""
    made: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"cell{n}", "execution_count": None, "metadata": {}, "outputs": [], "source": cell}
        for n, cell in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return json.dumps({"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})
