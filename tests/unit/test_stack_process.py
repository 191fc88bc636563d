import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lepton_celery.local.guard import Guard
from lepton_celery.local.process import ManagedProcess, StackError
from tests.waiting import eventually, is_gone

SHELL = "/bin/sh"


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard()
    yield guard
    guard.close()


@pytest.fixture
def run(tmp_path: Path, guard: Guard) -> Iterator[Callable[[str], ManagedProcess]]:
    started: list[ManagedProcess] = []

    def start(script: str) -> ManagedProcess:
        process = ManagedProcess("child", [SHELL, "-c", script], log=tmp_path / "child.log", guard=guard)
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()


def pids_in(log: Path, count: int) -> list[int]:
    eventually(lambda: log.exists() and len(log.read_text().split()) >= count)
    return [int(word) for word in log.read_text().split()]


def test_stop_sends_sigterm_first_and_returns_the_exit_code(run: Callable[[str], ManagedProcess]) -> None:
    process = run("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done")
    process.wait_for_line("^ready", timeout_s=60)
    assert process.stop(timeout_s=60) == 7
    assert process.poll() == 7


def test_a_process_that_ignores_sigterm_is_killed_with_its_group(run: Callable[[str], ManagedProcess]) -> None:
    process = run("trap '' TERM; sleep 60 & echo $!; wait; sleep 60")
    (grandchild,) = pids_in(process.log, 1)
    assert process.stop(timeout_s=0.1) == -signal.SIGKILL
    eventually(lambda: is_gone(grandchild))


def test_stop_kills_the_rest_of_the_process_group(
    run: Callable[[str], ManagedProcess],
) -> None:
    process = run("trap 'exit 0' TERM; (trap '' TERM; sleep 60) & echo $!; while :; do sleep 0.01; done")
    (straggler,) = pids_in(process.log, 1)
    assert process.stop(timeout_s=60) == 0
    eventually(lambda: is_gone(straggler))


def test_ctrl_c_in_the_terminal_does_not_reach_the_child(run: Callable[[str], ManagedProcess]) -> None:
    process = run("sleep 60")
    assert process.pid is not None
    assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid


def test_a_process_that_ends_too_early_shows_the_end_of_its_log(run: Callable[[str], ManagedProcess]) -> None:
    process = run("echo no such module; exit 3")
    with pytest.raises(StackError, match=r"child ended with code 3 .*child\.log say:\nno such module"):
        process.wait_for_line("ready", timeout_s=60)


def test_a_process_that_is_never_ready_is_an_error(run: Callable[[str], ManagedProcess]) -> None:
    process = run("echo still waiting; sleep 60")
    process.wait_for_line("still", timeout_s=60)
    with pytest.raises(StackError, match=r"child was not ready after 0\.05 s(.|\n)*still waiting"):
        process.wait_for_line("ready", timeout_s=0.05)


def test_a_line_written_just_before_the_end_counts(run: Callable[[str], ManagedProcess]) -> None:
    process = run("echo ready")
    eventually(lambda: not process.is_running)
    process.wait_for_line("ready", timeout_s=0)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path, guard: Guard) -> None:
    process = ManagedProcess("server", ["/no/such/program"], log=tmp_path / "log", guard=guard)
    with pytest.raises(StackError, match=r"server: cannot execute '/no/such/program' in .*: No such file"):
        process.start()
    assert process.stop(timeout_s=1) is None


def test_the_log_of_the_previous_run_is_kept(run: Callable[[str], ManagedProcess]) -> None:
    run("echo first").wait_for_line("first", timeout_s=60)
    second = run("echo second")
    second.wait_for_line("second", timeout_s=60)
    assert second.log_tail() == "second"
    assert second.log.with_name("child.log.1").read_text() == "first\n"


def test_the_watchman_ends_with_the_last_process(run: Callable[[str], ManagedProcess], guard: Guard) -> None:
    process = run("sleep 60")
    assert guard._process is not None
    watchman = guard._process.pid
    process.stop(timeout_s=60)
    guard.close()
    assert is_gone(watchman)


def test_closing_the_watchman_ends_the_watched_processes(run: Callable[[str], ManagedProcess], guard: Guard) -> None:
    process = run("sleep 60")
    closing = threading.Thread(target=guard.close)
    closing.start()
    eventually(lambda: not process.is_running)
    closing.join()


OWNER = """
    import sys, threading, time
    from pathlib import Path
    from lepton_celery.local.guard import Guard
    from lepton_celery.local.process import ManagedProcess

    guard = Guard()
    child = ManagedProcess("child", ["/bin/sh", "-c", "trap '' HUP INT TERM; sleep 60 & echo $!; wait"],
                           log=Path(sys.argv[1]), guard=guard)
    if sys.argv[2] == "main thread":
        child.start()
    else:
        thread = threading.Thread(target=child.start)
        thread.start()
        thread.join()
    child.wait_for_line("[0-9]", timeout_s=60)
    print(child.pid, guard._process.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[str], list[int]]]]:
    """Start an owner of a child and a grandchild; returns it and the pids of child, watchman and grandchild."""
    owners: list[subprocess.Popen[str]] = []
    pids: list[int] = []

    def start(thread: str) -> tuple[subprocess.Popen[str], list[int]]:
        log = tmp_path / "child.log"
        argv = [sys.executable, "-c", textwrap.dedent(OWNER), str(log), thread]
        owner = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        owners.append(owner)
        assert owner.stdout is not None
        pids.extend(int(word) for word in owner.stdout.readline().split())
        pids.extend(pids_in(log, 1))
        return owner, pids

    yield start
    for owner in owners:
        owner.kill()
        owner.communicate()
    for pid in pids:
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("thread", ["main thread", "a thread that ended"])
def test_nothing_outlives_a_killed_owner(
    own: Callable[[str], tuple[subprocess.Popen[str], list[int]]], thread: str
) -> None:
    owner, pids = own(thread)
    assert len(pids) == 3
    assert not any(map(is_gone, pids))
    owner.kill()
    eventually(lambda: all(map(is_gone, pids)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can signal a child when its parent dies")
def test_the_child_dies_with_its_owner_even_without_the_watchman(
    own: Callable[[str], tuple[subprocess.Popen[str], list[int]]],
) -> None:
    owner, (child, watchman, _) = own("main thread")
    os.kill(watchman, signal.SIGKILL)
    eventually(lambda: is_gone(watchman))
    owner.kill()
    eventually(lambda: is_gone(child))
