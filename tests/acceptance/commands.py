"""Runs the `lepton` command in a process of its own, and finds what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without settings of lepton_celery or Celery."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LEPTON_", "CELERY_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return own | {"PATH": path, "PYTHONPATH": str(ROOT)} | extra


def lepton(*arguments: str, cwd: Path, timeout_s: float = 90, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command; its output and exit code."""
    return subprocess.run(
        ["lepton", *arguments],
        cwd=cwd,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def offspring(folder: Path) -> list[psutil.Process]:
    """Processes with the folder in their command line or environment."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        text = " ".join(process.info["cmdline"] or []) + str(process.info["environ"] or "")
        if str(folder) in text and process.pid != os.getpid():
            found.append(process)
    return found
