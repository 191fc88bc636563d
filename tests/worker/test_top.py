"""`lepton top` on a terminal, beside real workers."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery.config import load_settings
from lepton_celery.local.stack import LocalStack, Project
from tests.waiting import eventually

pytestmark = pytest.mark.worker

LEPTON = [sys.executable, "-c", "from lepton_celery.cli import main; main()"]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    project = Project(settings="test")
    with LocalStack(tmp_path_factory.mktemp("top"), workers=2, flower=False, project=project) as stack:
        yield stack


class Terminal:
    """`lepton top` on a terminal of 100 x 30."""

    def __init__(self, url: str) -> None:
        self._own, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        command = [*LEPTON, "top", "--interval", "0.2"]
        environment = {**os.environ, "LEPTON_BROKER_URL": url, "TERM": "xterm-256color"}
        self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment)
        os.close(other)
        self._text = ""

    def read(self) -> str:
        """All that was printed so far, without escape sequences."""
        while select.select([self._own], [], [], 0.1)[0]:
            try:
                self._text += os.read(self._own, 65536).decode(errors="replace")
            except OSError:  # the process has ended
                break
        return ESCAPE.sub("", self._text)

    def press(self, key: str) -> None:
        os.write(self._own, key.encode())

    def close(self) -> None:
        os.close(self._own)

    def mode(self) -> int:
        return int(termios.tcgetattr(self._own)[3])


def test_it_shows_jobs_live_and_ends_with_q(stack: LocalStack, tmp_path: Path) -> None:
    app = lepton.create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": stack.broker_url}))
    np.save(tmp_path / "in.npy", np.random.default_rng(0).integers(0, 255, (640, 896), np.uint8))
    enough = tmp_path / "enough"
    slow = lepton.map_blocks(
        "tests.faults.blocks:slow", lepton.open(tmp_path / "in.npy"), seconds=0.1, until=str(enough)
    )
    job = lepton.submit({str(tmp_path / "o.npy"): slow}, app=app, block_shape=(64, 64), title="watched")
    terminal = Terminal(stack.broker_url)
    before = terminal.mode()
    eventually(lambda: f"{job.id}" in terminal.read() and "watched" in terminal.read(), "the job", 30)
    eventually(lambda: "2 of" in terminal.read() and "slots busy" in terminal.read(), "busy slots", 30)
    assert not terminal.mode() & termios.ECHO, "keys are not echoed"
    terminal.press("s")
    eventually(lambda: "sort: remaining" in terminal.read(), "another order", 10)
    terminal.press("o")
    eventually(lambda: "those that have not ended" in terminal.read(), "open jobs only", 10)
    enough.touch()
    job.wait(60)
    eventually(lambda: "1 done" in terminal.read(), "the end of the job", 30)
    terminal.press("q")
    deadline = time.monotonic() + 10
    while terminal.process.poll() is None and time.monotonic() < deadline:
        terminal.read()
    assert terminal.process.wait(1) == 0
    assert terminal.mode() == before, "the terminal is as it was"


def test_it_ends_with_its_terminal(stack: LocalStack) -> None:
    terminal = Terminal(stack.broker_url)
    eventually(lambda: "q quit" in terminal.read(), "the screen", 30)
    terminal.close()
    terminal.process.wait(30)
