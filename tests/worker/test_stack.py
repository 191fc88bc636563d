import os
import signal
import stat
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from lepton_celery.errors import BrokerUnreachable
from lepton_celery.jobs.local_stack import StackInfo, read_running
from lepton_celery.ledger.processes import process_started
from lepton_celery.local import server as server_module
from lepton_celery.local.process import StackError
from lepton_celery.local.running import write_running
from lepton_celery.local.server import RedisServer, free_port
from lepton_celery.local.stack import LocalStack, Project
from tests.waiting import eventually, is_gone

pytestmark = pytest.mark.worker

APP = """
    import os, time
    from pathlib import Path
    from celery import Celery

    url = os.environ["LEPTON_BROKER_URL"]
    app = Celery("tiny", broker=url, backend=url)

    @app.task(name="environment")
    def environment(name):
        return os.environ.get(name)

    @app.task(name="slow")
    def slow(folder, seconds):
        Path(folder, "begun").touch()
        time.sleep(seconds)
        Path(folder, "done").touch()
"""
OWNER = """
    import signal, sys
    from pathlib import Path
    from lepton_celery.local.stack import LocalStack, Project

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored when the tests run in the background
    workers, flower = int(sys.argv[1]), sys.argv[2] == "flower"
    with LocalStack(Path("state"), workers=workers, flower=flower, project=Project(app="tiny")) as stack:
        stack.stop_on_signals()
        stack.wait()
"""


def send(broker_url: str, task: str, *arguments: object) -> None:
    with Celery(broker=broker_url) as app:
        app.send_task(task, arguments)


def descendants_of_this_process() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Celery application."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "tiny.py").write_text(textwrap.dedent(APP))
    return folder


@pytest.fixture(scope="module")
def stack(project: Path) -> Iterator[LocalStack]:
    """Two workers and Flower. When they have stopped, no process of theirs is left."""
    started: list[psutil.Process] = []
    others = descendants_of_this_process()  # other tests' stacks
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")  # the workers must not inherit it
        with LocalStack(
            project / "shared", project=Project(app="tiny", cwd=project, env={"GREETING": "hello"})
        ) as stack:
            patch.undo()
            started = [process for process in descendants_of_this_process() if process not in others]
            assert len(started) >= 7  # watchman, server, two workers with a pool process each, Flower
            yield stack
    assert all(map(is_gone, started))
    assert read_running(project / "shared") is None
    assert not (project / "shared" / "stack.json").exists()
    assert stack.processes == []


def test_workers_run_tasks_with_the_environment_they_were_given(stack: LocalStack) -> None:
    names = ["LEPTON_SETTINGS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GREETING"]
    with Celery(broker=stack.broker_url, backend=stack.broker_url) as app:
        got = [app.send_task("environment", [name]).get(timeout=180) for name in names]
    assert got == ["local", "1", "1", "hello"]


def test_flower_shows_its_page(stack: LocalStack) -> None:
    assert stack.flower_url is not None
    with urllib.request.urlopen(f"{stack.flower_url}/", timeout=180) as page:
        assert page.status == 200
        assert b"Flower" in page.read()


def test_other_processes_find_the_stack(stack: LocalStack) -> None:
    info = read_running(stack.directory)
    assert info == stack.info
    assert info.pid == os.getpid()
    assert list(info.processes) == ["server", "worker-1", "worker-2", "flower"]
    assert stat.S_IMODE((stack.directory / "stack.json").stat().st_mode) == 0o600


def test_the_password_stands_in_no_command_line_log_or_description(stack: LocalStack) -> None:
    password = stack.broker_url.partition("//:")[2].partition("@")[0]
    assert len(password) >= 32
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert any("valkey-server" in command or "redis-server" in command for command in commands)
    assert not any(password in command for command in commands)
    assert not any(password in log.read_text() for log in stack.logs.iterdir())
    assert password not in stack.describe()
    assert str(stack.flower_url) in stack.describe()


def test_everything_listens_on_loopback_only(stack: LocalStack) -> None:
    listening = [
        connection.laddr.ip
        for process in descendants_of_this_process()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def test_a_second_stack_on_the_same_folder_is_refused(stack: LocalStack) -> None:
    with pytest.raises(StackError, match=rf"runs on .* already, owned by process {os.getpid()}"):
        LocalStack(stack.directory, project=Project(app="tiny")).start()
    assert read_running(stack.directory) == stack.info, "the refused stack must not remove the file of the first one"


def test_a_given_broker_is_used_and_survives_the_stack(stack: LocalStack, project: Path) -> None:
    other = LocalStack(
        project / "other", workers=0, flower=False, broker_url=stack.broker_url, project=Project(app="tiny")
    )
    with other:
        assert other.broker_url == stack.broker_url
        assert other.processes == []
        assert not (project / "other" / "valkey").exists()
    with redis.Redis.from_url(stack.broker_url) as client:
        assert client.ping()


def test_a_worker_that_cannot_start_shows_its_log_and_leaves_nothing(project: Path) -> None:
    before = descendants_of_this_process()
    stack = LocalStack(project / "bad", workers=1, flower=False, project=Project(app="no_such_module", cwd=project))
    with pytest.raises(
        StackError, match=r"worker-1 ended with code \d(.|\n)*worker-1\.log say:\n(.|\n)*no_such_module"
    ):
        stack.start()
    assert descendants_of_this_process() == before
    assert read_running(project / "bad") is None


@pytest.fixture
def own(project: Path, tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], list[psutil.Process]]]]:
    """Start another process that owns a stack on `tmp_path/state`; returns it and all processes it started."""
    (tmp_path / "tiny.py").write_text((project / "tiny.py").read_text())
    owners: list[subprocess.Popen[bytes]] = []
    everything: list[psutil.Process] = []

    def start(workers: int, flower: str) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
        owner = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(OWNER), str(workers), flower],
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        owners.append(owner)
        eventually(lambda: read_running(tmp_path / "state") or owner.poll() is not None)
        assert owner.poll() is None
        everything.extend(psutil.Process(owner.pid).children(recursive=True))
        return owner, everything

    yield start
    for owner in owners:
        owner.kill()
        owner.wait()
    for process in everything:
        if not is_gone(process):
            process.kill()


def begin_slow_task(folder: Path, seconds: float) -> StackInfo:
    info = read_running(folder / "state")
    assert info is not None
    send(info.broker_url, "slow", str(folder), seconds)
    eventually((folder / "begun").exists)
    return info


def test_nothing_outlives_a_killed_owner(
    own: Callable[..., tuple[subprocess.Popen[bytes], list[psutil.Process]]], tmp_path: Path
) -> None:
    owner, everything = own(2, "flower")
    assert len(everything) >= 7
    begin_slow_task(tmp_path, 60)
    owner.kill()
    owner.wait()
    eventually(lambda: all(map(is_gone, everything)))
    assert read_running(tmp_path / "state") is None
    assert (tmp_path / "state" / "stack.json").exists(), "the stale file stays"
    with LocalStack(tmp_path / "state", workers=0, flower=False, project=Project(app="tiny")) as stack:
        assert read_running(tmp_path / "state") == stack.info


def test_ctrl_c_lets_the_running_task_finish_and_leaves_nothing(
    own: Callable[..., tuple[subprocess.Popen[bytes], list[psutil.Process]]], tmp_path: Path
) -> None:
    owner, everything = own(1, "no flower")
    info = begin_slow_task(tmp_path, 0.5)
    # to the whole foreground group, as a terminal sends it: the workers must not be in it
    os.killpg(owner.pid, signal.SIGINT)
    assert owner.wait(180) == -signal.SIGINT
    assert (tmp_path / "done").exists()
    assert all(map(is_gone, everything))
    assert process_started(info.pid) is None
    assert not (tmp_path / "state" / "stack.json").exists()


def test_an_owner_that_asked_for_it_stops_in_order_on_sigterm(
    own: Callable[..., tuple[subprocess.Popen[bytes], list[psutil.Process]]], tmp_path: Path
) -> None:
    owner, everything = own(0, "no flower")
    owner.terminate()
    assert owner.wait(180) == 128 + signal.SIGTERM
    assert all(map(is_gone, everything))
    assert not (tmp_path / "state" / "stack.json").exists()


def test_a_second_ctrl_c_kills_workers_that_are_still_finishing(
    own: Callable[..., tuple[subprocess.Popen[bytes], list[psutil.Process]]], tmp_path: Path
) -> None:
    owner, everything = own(1, "no flower")
    begin_slow_task(tmp_path, 60)
    log = tmp_path / "state" / "logs" / "worker-1.log"
    owner.send_signal(signal.SIGINT)
    eventually(lambda: "Warm shutdown" in log.read_text())
    owner.send_signal(signal.SIGINT)
    owner.wait(180)
    eventually(lambda: all(map(is_gone, everything)))
    assert not (tmp_path / "done").exists()


def test_wait_names_the_process_that_ended(tmp_path: Path) -> None:
    with LocalStack(tmp_path, workers=0, flower=False, project=Project(app="tiny")) as stack:
        assert stack.wait(timeout_s=0) is None
        (server,) = stack.processes
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert stack.wait(timeout_s=180) is server


def test_the_data_of_the_server_survive_a_restart(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        first = server.url
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "value")
    with RedisServer(tmp_path) as server:
        assert server.url != first
        with redis.Redis.from_url(server.url) as client:
            assert client.get("key") == b"value"
            assert client.config_get("appendfsync", "maxmemory-policy", "save") == {
                "appendfsync": "everysec",
                "maxmemory-policy": "noeviction",
                "save": "",
            }


def test_the_server_requires_its_password(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        assert stat.S_IMODE((tmp_path / "server.conf").stat().st_mode) == 0o600
        client = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0))
        with client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_a_port_that_is_taken_meanwhile_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer(tmp_path / "first") as first:
        ports = iter([first.port, first.port, free_port()])
        monkeypatch.setattr(server_module, "free_port", lambda: next(ports))
        with RedisServer(tmp_path / "second") as second, redis.Redis.from_url(second.url) as client:
            assert second.port != first.port
            assert client.ping()


def test_two_servers_never_share_a_data_folder(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        with pytest.raises(BrokerUnreachable, match="another server uses the data folder"):
            RedisServer(tmp_path).start(timeout_s=0.1)
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with pytest.raises(
        BrokerUnreachable,
        match=r"ended with code 1 before it was ready; fix what the last lines of .*server\.log say:\n",
    ):
        RedisServer(tmp_path).start()


def test_a_file_of_a_dead_stack_does_not_stop_a_new_one(tmp_path: Path) -> None:
    dead = StackInfo(1, "long ago", "redis://127.0.0.1:1/0", None, "tiny", "local", {})
    write_running(tmp_path, dead)
    assert read_running(tmp_path) is None
    with LocalStack(tmp_path, workers=0, flower=False, project=Project(app="tiny")) as stack:
        assert read_running(tmp_path) == stack.info
