"""The application of the package itself, outside the repository: `celery -A lepton_celery.app worker` and `flower`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import flower
import numpy as np
import psutil
import pytest
import redis
from click.testing import CliRunner
from skimage import data, filters

from lepton_celery.cli import flower as command
from lepton_celery.config import Settings
from lepton_celery.engines.celery.app import create_app
from lepton_celery.engines.celery.worker.pool_check import PoolCheckStep
from lepton_celery.jobs.local_stack import STACK_FILE
from lepton_celery.local.server import free_port
from lepton_celery.local.stack import LocalStack, Project
from tests.acceptance.commands import ROOT, environment, lepton
from tests.server.server import running_server
from tests.waiting import eventually

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the broker of a `lepton up`, and nothing else."""
    folder = tmp_path_factory.mktemp("folder")
    with LocalStack(folder / ".lepton", workers=0, flower=False):
        yield folder


@contextmanager
def celery(folder: Path, *arguments: str, ready: str, **extra: str) -> Iterator[Path]:
    """A `celery -A lepton_celery.app` process that runs in a folder, and its log."""
    log = folder / f"{arguments[0]}.log"
    command = [sys.executable, "-m", "celery", "-A", "lepton_celery.app", *arguments]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment(**extra), stdout=file, stderr=file)
    try:
        eventually(lambda: ready in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield log
    finally:
        process.terminate()
        process.wait(180)


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=180) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_worker_and_the_command_find_the_stack_of_the_folder(folder: Path) -> None:
    np.save(folder / "coins.npy", data.coins())
    with celery(folder, "worker", "-c", "1", "--loglevel=INFO", ready=" ready.") as log:
        ran = lepton("run", "coins.npy", "smooth.npy", "gaussian:sigma=2", cwd=folder)
        assert ran.returncode == 0, ran.stderr
        assert np.array_equal(np.load(folder / "smooth.npy"), filters.gaussian(data.coins(), sigma=2))
        line = (
            r"Task lepton\.process\[\S+\] succeeded in \S+s: job \w+ stage 1/1, \d+ blocks? in \d+\.\d\d s, "
            r"\d+\.\d MB read, \d+\.\d MB written; job \w+ stage 1/1 merged"
        )
        eventually(lambda: re.search(line, log.read_text()) is not None)
        assert "succeeded in" in log.read_text()
        assert ": None" not in log.read_text()


PROJECT = """
import os
from celery import Celery
from lepton_celery import configure

app = configure(Celery("project", broker=os.environ["PROJECT_BROKER"], set_as_current=False))
"""
OWN = ("celery", "-A", "lepton_celery.app", "flower")


@pytest.mark.parametrize(
    ("command", "extra", "expected"),
    [
        (OWN, {}, ({"127.0.0.1"}, 200)),
        (("lepton", "flower"), {}, ({"127.0.0.1"}, 200)),
        (("celery", "-A", "project", "flower"), {}, ({"127.0.0.1"}, 200)),
        ((*OWN, "--address=0.0.0.0"), {"LEPTON_SETTINGS": "local", "PYTHONPATH": str(ROOT)}, ({"0.0.0.0"}, 401)),
        (("lepton", "flower"), {"LEPTON_FLOWER_AUTH": "me:secret"}, ({"0.0.0.0"}, 401)),
    ],
    ids=["plain", "lepton flower", "of a project", "local but open", "with a password"],
)
def test_flower_is_never_open_to_the_network_without_a_password(
    folder: Path, command: tuple[str, ...], extra: dict[str, str], expected: tuple[set[str], int]
) -> None:
    (folder / "project.py").write_text(PROJECT)
    broker = json.loads((folder / ".lepton" / STACK_FILE).read_text())["broker_url"]
    port, log = free_port(), folder / "flower.log"
    script = [sys.executable, str(Path(sys.executable).with_name(command[0])), *command[1:]]
    port_option = ["--port", str(port)] if command[0] == "lepton" else [f"--port={port}"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*script, *port_option],
            cwd=folder,
            env=environment(PROJECT_BROKER=broker, **extra),
            stdout=file,
            stderr=file,
        )
    try:
        eventually(lambda: "Visit me at" in log.read_text() or process.poll() is not None)
        found = psutil.Process(process.pid).net_connections(kind="inet")
        listening = {one.laddr.ip for one in found if one.status == psutil.CONN_LISTEN and one.laddr.port == port}
        assert (listening - {"::"}, status(f"http://127.0.0.1:{port}/jobs")) == expected, log.read_text()
        assert status(f"http://127.0.0.1:{port}/metrics") == expected[1]
        assert status(f"http://127.0.0.1:{port}/healthcheck") == 200
        assert ("its password until it stops" in log.read_text()) == ("--address=0.0.0.0" in command)
        assert ("for this machine only" in log.read_text()) == (expected[0] == {"127.0.0.1"})
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize(
    ("file", "old", "new", "why"),
    [
        ("templates/base.html", "{% block extra_scripts %}", "{% block more_scripts %}", "no block extra_scripts"),
        ("urls.py", '(r".*", NotFoundErrorHandler),', "", "does not catch all paths"),
    ],
    ids=["without a block", "without a handler"],
)
def test_a_flower_that_has_changed_starts_without_our_pages(
    folder: Path, tmp_path: Path, file: str, old: str, new: str, why: str
) -> None:
    changed = tmp_path / "flower"
    shutil.copytree(Path(flower.__file__).parent, changed)
    text = (changed / file).read_text()
    assert text.count(old) == 1
    (changed / file).write_text(text.replace(old, new))
    port = free_port()
    with celery(folder, "flower", f"--port={port}", ready="Visit me at", PYTHONPATH=str(tmp_path)) as log:
        assert (status(f"http://127.0.0.1:{port}/tasks"), status(f"http://127.0.0.1:{port}/jobs")) == (200, 404)
        assert re.search(
            rf"Flower \d\S+ is not as expected: .*{why}.*has no Jobs tab; install a release", log.read_text()
        )


def test_a_missing_flower_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from flower.command import flower as flowers_own

    assert command.flower is flowers_own
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    ran = CliRunner().invoke(command.flower, ["--port=5555", "--help"])
    assert ran.exit_code == 1
    assert ran.output == "Error: Flower is not installed; pip install 'lepton-celery[flower]'\n"


def test_a_socket_serves_broker_chords_ledger_and_doctor(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="lepton") as short, running_server(Path(short)) as server:
        url = f"redis+socket://{server.socket}?virtual_host=2"
        np.save(tmp_path / "coins.npy", data.coins())
        with LocalStack(tmp_path / ".lepton", workers=1, broker_url=url, project=Project(cwd=tmp_path)) as stack:
            ran = lepton("run", "coins.npy", "o.npy", "gaussian:sigma=2", "--block-shape=16x16", cwd=tmp_path)
            assert ran.returncode == 0, ran.stderr
            assert np.array_equal(np.load(tmp_path / "o.npy"), filters.gaussian(data.coins(), sigma=2))
            checked = lepton("doctor", cwd=tmp_path)
            assert checked.returncode == 0, checked.stdout
            assert str(server.socket) in checked.stdout
            assert "1: lepton1@" in checked.stdout
            assert status(f"{stack.flower_url}/tasks") == 200
        with redis.Redis(unix_socket_path=str(server.socket), db=2) as client:
            assert client.exists("lepton:jobs")
        with redis.Redis(unix_socket_path=str(server.socket), db=0) as client:
            assert client.dbsize() == 0


@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
def test_a_pool_of_greenlets_that_would_serve_lanes_is_refused(pool: str) -> None:
    app = create_app(Settings())
    worker = SimpleNamespace(app=app, pool_cls=type("TaskPool", (), {"__module__": f"celery.concurrency.{pool}"}))
    step = PoolCheckStep.__new__(PoolCheckStep)
    assert step.include_if(worker)
    with pytest.raises(
        SystemExit, match=f"--pool={pool} and serves lepton.control,lepton.interactive,.*--pool=prefork"
    ):
        step.create(worker)
    app.amqp.queues.select(["of_the_project"])
    assert not step.include_if(worker)
