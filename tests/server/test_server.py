"""The server of these tests never outlives them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import eventually, is_gone


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can signal a child when its parent dies")
def test_the_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from tests.server.server import Server\n"
        f"server = Server(pathlib.Path({str(tmp_path)!r})).__enter__()\n"
        "print(server.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    eventually(lambda: is_gone(pid))
