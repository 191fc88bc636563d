"""The guide for Django, as it is written: in a new virtual environment with the wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lepton_celery.local.server import RedisServer

pytestmark = [pytest.mark.acceptance, pytest.mark.worker]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "django.md").read_text()
UV = [sys.executable, "-m", "uv"]
FILES = ("mysite/celery.py", "mysite/__init__.py", "mysite/settings.py", "mysite/urls.py")


def block(name: str) -> str:
    [found] = re.findall(rf"^```python\n# {re.escape(name)}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def run(*command: object, cwd: Path, **environ: str) -> str:
    names = ("LEPTON_", "CELERY_", "DJANGO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=kept | environ, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pasting_the_lines_of_the_guide_leads_to_a_finished_job(tmp_path: Path) -> None:
    run(*UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path / "dist", ROOT, cwd=tmp_path)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    run(*UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    commands = tmp_path / "venv" / "bin"
    frozen = run(*UV, "pip", "freeze", "--quiet", "--python", sys.executable, cwd=ROOT)
    constraints = tmp_path / "versions.txt"  # the machine has downloaded them
    constraints.write_text("".join(f"{line}\n" for line in frozen.splitlines() if "==" in line))
    install = (*UV, "pip", "install", "-q", "--python", commands / "python", "-c", constraints)
    run(*install, f"{wheel}[django,local]", cwd=tmp_path)
    run(commands / "django-admin", "startproject", "mysite", cwd=tmp_path)
    site = tmp_path / "mysite"
    for name in FILES:
        with (site / name).open("a") as file:
            file.write(block(name))
    manage = (commands / "python", "manage.py")
    with RedisServer(tmp_path / "server") as server:
        url = {"LEPTON_BROKER_URL": server.url}
        assert "no issues" in run(*manage, "check", cwd=site, **url)
        run(*manage, "migrate", cwd=site, **url)
        log = tmp_path / "worker.log"
        with log.open("wb") as file:
            worker = subprocess.Popen(
                [*map(str, manage), "lepton_worker", "--concurrency", "1"],
                cwd=site,
                env=os.environ | url,
                stdout=file,
                stderr=file,
            )
        try:
            said = run(*manage, "shell", "-c", block("shell"), cwd=site, **url)
            told = subprocess.run(
                [*map(str, manage), "lepton_doctor"], cwd=site, env=os.environ | url, capture_output=True, text=True
            )
        finally:
            worker.terminate()
            worker.wait(60)
    assert told.returncode in (0, 1) and "workers" in told.stdout, told.stdout + told.stderr
    assert "cells: coins.png (done)" in said and "result.tif" in said, said + log.read_text()
