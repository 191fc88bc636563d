"""What a signal leaves behind: no process, no socket, no part of a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from lepton_celery.jobs.local_stack import read_running
from tests.acceptance.commands import environment, offspring
from tests.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["lepton", *arguments],
        cwd=folder,
        env=environment(TEST_FOLDER=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until(holds: Callable[[], object], process: subprocess.Popen[str]) -> None:
    eventually(lambda: process.poll() is not None or holds())
    assert process.poll() is None, process.communicate()[0]


def said_until(words: str, process: subprocess.Popen[str]) -> str:
    """What the process says up to the line with these words, or until it ends."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            break
    return said


def has_loaded(process: subprocess.Popen[str], library: str) -> bool:
    """Whether a process has loaded a compiled library, or has ended."""
    return process.poll() is not None or library in Path(f"/proc/{process.pid}/maps").read_text()


def rest_of(process: subprocess.Popen[str]) -> str:
    """What an ending process still says."""
    assert process.stdout is not None
    with process.stdout:
        rest = process.stdout.read()
    process.wait(180)
    return rest


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ([signal.SIGTERM], 143),
        ([signal.SIGHUP], 129),
        ([signal.SIGINT, signal.SIGTERM], None),
    ],
    ids=["SIGTERM", "SIGHUP", "two at once"],
)
def test_a_signal_to_a_local_stack_leaves_nothing(
    tmp_path: Path, signals: list[signal.Signals], code: int | None
) -> None:
    process = started(tmp_path, "up", "--no-flower", "--workers", "1")
    wait_until(lambda: read_running(tmp_path / ".lepton") is not None, process)
    for number in signals:
        process.send_signal(number)
    output = rest_of(process)
    assert process.returncode == code or code is None
    assert "Traceback" not in output
    assert offspring(tmp_path) == []
    assert not (tmp_path / ".lepton" / "stack.json").exists()


def test_more_signals_while_a_local_stack_stops_leave_nothing(tmp_path: Path) -> None:
    process = started(tmp_path, "up", "--no-flower", "--workers", "1")
    output = said_until("Ctrl-C stops everything", process)
    process.send_signal(signal.SIGINT)
    output += said_until("stopping", process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    output += rest_of(process)
    assert process.returncode in (130, 143), output  # whichever of the two Python sees first
    assert "Traceback" not in output
    assert offspring(tmp_path) == []
    assert not (tmp_path / ".lepton" / "stack.json").exists()


def test_a_signal_while_a_local_stack_starts_leaves_nothing(tmp_path: Path) -> None:
    process = started(tmp_path, "up", "--no-flower")
    wait_until(lambda: (tmp_path / ".lepton" / "logs").exists(), process)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=180)[0]
    assert process.returncode == 143, output
    assert "Traceback" not in output
    assert offspring(tmp_path) == []


@pytest.mark.parametrize(
    ("signals", "code"), [([signal.SIGTERM], 143), ([signal.SIGINT], 130), ([signal.SIGINT, signal.SIGINT], 130)]
)
def test_a_signal_to_a_job_in_this_process_leaves_no_file(
    tmp_path: Path, signals: list[signal.Signals], code: int
) -> None:
    np.save(tmp_path / "large.npy", np.tile(data.camera(), (4, 4)))
    steps = ["a=median", "rolling_ball:radius=40", "--save", "a=a.zarr", "--block-shape", "64x64"]
    process = started(tmp_path, "run", "large.npy", "out.tif", *steps, "--here")
    wait_until(lambda: any(tmp_path.glob(".a.zarr.*.part/c/*/*")), process)  # the first block is stored
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)  # it may clean up by then, or be gone
    output = process.communicate(timeout=180)[0]
    assert process.returncode == code, output
    assert "Traceback" not in output
    assert "Exception ignored" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["large.npy"]


@pytest.mark.skipif(sys.platform != "linux", reason="the libraries of a process are read from /proc")
@pytest.mark.parametrize("library", ["python", "/numpy/", "/scipy/"])
def test_ctrl_c_while_libraries_are_imported_is_no_traceback(tmp_path: Path, library: str) -> None:
    process = started(tmp_path, "explain", "large.npy", "median")
    eventually(lambda: has_loaded(process, library))
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=180)[0]
    # before the command has begun, Python itself answers
    assert "Traceback" not in output or "lepton_celery/cli/process" not in output
    assert process.returncode in (130, 3, 1, -signal.SIGINT)


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        "set -o pipefail; lepton operations | head -1",
        shell=True,
        executable="/bin/bash",
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("operation")
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_output_that_nobody_reads_has_its_own_exit_code(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # before the command writes
    done = subprocess.run(
        ["lepton", "operations"], cwd=tmp_path, env=environment(), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_ctrl_c_during_the_demonstration_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        ["lepton", "demo", "--side", "3000", "--directory", str(tmp_path / "out")],
        cwd=tmp_path,
        env=environment(TEST_FOLDER=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said_until("job", process)
    os.killpg(process.pid, signal.SIGINT)
    rest = rest_of(process)
    assert process.returncode != 0
    assert "Traceback" not in rest
    assert offspring(tmp_path) == []
