"""The guide for Flask, as it is written: in a new virtual environment with the wheel, and with the tests of its page."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import skimage
import tifffile
from flask import Flask
from skimage import data, filters, measure

from lepton_celery.config import set_configured
from lepton_celery.local.server import free_port
from tests.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.worker]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "flask.md").read_text()
COINS = Path(skimage.__file__).parent / "data" / "coins.png"
UV = [sys.executable, "-m", "uv"]


def written(folder: Path, *names: str) -> None:
    for name in names:
        [block] = re.findall(rf"^```python\n# {re.escape(name)}[^\n]*\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
        (folder / name).write_text(block)


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def in_background(folder: Path, *command: object) -> Iterator[Path]:
    """Run a command until the `with` block is done; give the file with what it says."""
    names = ("LEPTON_", "CELERY_", "FLASK_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    log = folder / f"{Path(str(command[1])).name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, env=environ, stdout=file, stderr=file)
    try:
        yield log
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_the_ten_lines_count_coins_in_a_new_virtual_environment(tmp_path: Path) -> None:
    run(*UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path / "dist", ROOT, cwd=tmp_path)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    run(*UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    constraints = tmp_path / "versions.txt"
    constraints.write_text(locked())
    python = tmp_path / "venv" / "bin" / "python"
    run(*UV, "pip", "install", "-q", "--python", python, "-c", constraints, f"{wheel}[flask,local]", cwd=tmp_path)
    site, commands = tmp_path / "site", python.parent
    site.mkdir()
    written(site, "app.py")
    port = free_port()
    assert "```sh\nlepton up\n```" in PAGE and "```sh\nflask run\n```" in PAGE
    with ExitStack() as running:
        up = running.enter_context(in_background(site, commands / "lepton", "up"))
        eventually(lambda: (site / ".lepton" / "stack.json").exists() or "Error" in up.read_text(), "the broker")
        running.enter_context(in_background(site, commands / "flask", "run", "--port", port))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, follow_redirects=True) as client:
            eventually(lambda: answers(client), f"the site; {up.read_text()}", 60)
            page = client.post("/", files={"image": ("coins.png", COINS.read_bytes())})
            assert page.status_code == 200 and "<lepton-job" in page.text, page.text
            job = page.url.path.removeprefix("/jobs/")
            eventually(lambda: state_of(client, job) == "done", f"the job; {up.read_text()}", 60)
            found = tifffile.imread(io.BytesIO(client.get(f"/lepton/jobs/{job}/results/result.tif").content))
    smooth = filters.gaussian(data.coins(), sigma=2)
    assert (found == measure.label(smooth > filters.threshold_otsu(smooth))).all()


def state_of(client: httpx.Client, job: str) -> str:
    return str(client.get(f"/lepton/jobs/{job}").json()["summary"]["state"])


def locked() -> str:
    """The versions of this environment, which the machine has downloaded."""
    frozen = run(*UV, "pip", "freeze", "--quiet", "--python", sys.executable, cwd=ROOT)
    return "".join(f"{line}\n" for line in frozen.splitlines() if "==" in line)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 200
    except httpx.TransportError:
        return False


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    written(tmp_path, "app.py", "conftest.py", "test_app.py")
    run(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:cloudcoil",
        "-p",
        "no:schemathesis",
        cwd=tmp_path,
    )


def test_the_application_factory_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "shop.py")
    monkeypatch.syspath_prepend(tmp_path)
    import shop  # type: ignore[import-not-found]

    app: Flask = shop.create_app()
    assert app.test_client().get("/lepton/jobs").status_code == 401
    assert app.extensions["celery"].conf.task_ignore_result
    set_configured(None)
