"""`lepton doctor` with real workers, with and without problems."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner

from lepton_celery.cli import lepton
from lepton_celery.engines.celery.worker.inspection import COMMAND, ask_workers
from lepton_celery.local.stack import LocalStack, Project
from tests.server.server import running_server
from tests.stacks import short_lived
from tests.worker.conftest import app_of

pytestmark = pytest.mark.worker


def doctor(stack: LocalStack, *arguments: str, workers: int = 1, **environment: str) -> tuple[int, dict[str, Any]]:
    """The exit code of `lepton doctor`, and its findings."""
    inherited = {name: None for name in os.environ if name.startswith("LEPTON_")}
    given = {**inherited, "LEPTON_SETTINGS": "local", "LEPTON_BROKER_URL": stack.broker_url, **environment}
    done = CliRunner().invoke(
        lepton, ["doctor", "--json", "--workers", str(workers), "--timeout", "30", *arguments], env=given
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, json.loads(done.stdout)


def told(found: dict[str, Any], verdict: str) -> dict[str, str]:
    """The checks with this verdict, and their findings."""
    return {finding["name"]: finding["found"] for finding in found["findings"] if finding["verdict"] == verdict}


def test_a_local_stack_is_ok(tmp_path: Path) -> None:
    project = Project(settings="local")
    with short_lived(LocalStack(tmp_path / "state", workers=2, flower=False, project=project)) as stack:
        code, found = doctor(stack, "--path", str(tmp_path), workers=2)
        logs = "".join((stack.logs / f"worker-{number}.log").read_text() for number in (1, 2))
    assert (code, told(found, "problem"), told(found, "warning")) == (0, {}, {})
    good = told(found, "ok")
    assert good["answers"].startswith("2: lepton1@")
    assert "2 of 2 workers read and write it" in good["shared"]
    assert not list(tmp_path.glob(".lepton-probe*"))
    assert "WARNING" not in logs  # a server of the stack is persistent, so no warning is due


def test_an_answer_is_small_and_holds_no_password(workers: LocalStack, app: Celery) -> None:
    replies = app.control.broadcast(COMMAND, reply=True, timeout=30.0, limit=2)
    assert replies is not None
    assert len(replies) == 2
    password = workers.broker_url.partition(":")[2].partition("@")[0].lstrip("/:")
    for reply in replies:
        text = json.dumps(reply)
        assert len(text) < 2000
        assert password not in text
    abouts = [answer.about for answer in ask_workers(app, probes={}, timeout_s=30.0, expected=2)]
    assert len(abouts) == 2
    for about in abouts:
        assert about is not None
        assert about.pool is not None
        assert (about.pool.kind, about.pool.processes, about.pool.start_method) == ("prefork", 1, "fork")
        assert about.pool.parent_threads == 1
        assert sorted(about.queues) == ["lepton.batch", "lepton.control", "lepton.default", "lepton.interactive"]
        assert about.soft_shutdown_s == 5.0


def test_problems_and_warnings_are_found(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    other = {
        "LEPTON_ALLOWED_ROOTS": str(tmp_path / "data"),
        "LEPTON_LEASE_S": "20",
        "LEPTON_WORKER_MEMORY_BYTES": str(1 << 40),
    }
    with running_server(tmp_path) as forgetful:
        stack = LocalStack(
            tmp_path / "state",
            workers=1,
            flower=False,
            broker_url=forgetful.url,
            project=Project(settings="local", env=other),
        )
        with short_lived(stack):
            app = app_of(stack)
            serves = "lepton.batch"
            while "lepton.batch" in serves:  # a starting worker may add all queues after the cancellation
                app.control.cancel_consumer("lepton.batch", reply=True, timeout=30.0, limit=1)
                serves = str(app.control.inspect(timeout=30.0, limit=1).active_queues())
            code, found = doctor(stack, "--path", str(tmp_path), "--path", str(tmp_path / "data"))
            log = (stack.logs / "worker-1.log").read_text()
    assert code == 1
    problems, warnings = told(found, "problem"), told(found, "warning")
    assert set(problems) == {"lanes", "memory", "shared"}
    assert "lepton.batch" in problems["lanes"]
    assert "outside this worker's allowed_roots" in problems["shared"]
    assert str(tmp_path / "data") in told(found, "ok")["shared"]
    assert set(warnings) == {"persistence", "settings"}
    assert "the ledger's server: persistence: appendonly no" in log


def test_a_pool_of_threads_is_named(tmp_path: Path) -> None:
    # the pool is Celery's own setting, so it comes from the environment of a small application
    (tmp_path / "threaded.py").write_text(
        "from lepton_celery import create_app\n"
        "from lepton_celery.config import load_settings\n"
        "app = create_app(load_settings())\n"
        "app.conf.worker_pool = 'threads'\n"
    )
    stack = LocalStack(
        tmp_path / "state", workers=1, flower=False, project=Project(settings="", app="threaded", cwd=tmp_path)
    )
    with short_lived(stack):
        code, found = doctor(stack, "--path", str(tmp_path), LEPTON_SETTINGS="")
    assert code == 0
    assert "(threads)" in told(found, "warning")["pool"]


def test_threads_where_a_worker_forks_are_named(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(
        "import threading\n"
        "from lepton_celery import create_app\n"
        "from lepton_celery.config import load_settings\n"
        "app = create_app(load_settings())\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    project = Project(settings="", app="busy", cwd=tmp_path)
    with short_lived(LocalStack(tmp_path / "state", workers=1, flower=False, project=project)) as stack:
        code, found = doctor(stack, "--path", str(tmp_path), LEPTON_SETTINGS="")
    assert code == 0
    assert "(2)" in told(found, "warning")["fork"]


def test_workers_of_another_application_are_named(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        "import os\nfrom celery import Celery\napp = Celery(broker=os.environ['LEPTON_BROKER_URL'])\n"
    )
    stack = LocalStack(
        tmp_path / "state", workers=1, flower=False, project=Project(settings="", app="plain", cwd=tmp_path)
    )
    with short_lived(stack):
        code, found = doctor(stack, "--path", str(tmp_path))
    assert code == 1
    assert "cannot run jobs" in told(found, "problem")["prepared"]


# ------------------------------------------------------------------------------------------------ without workers


def doctor_alone(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    inherited = {name: None for name in os.environ if name.startswith("LEPTON_")}
    given = {**inherited, "LEPTON_STATE": str(folder / "state"), **environment}
    done = CliRunner().invoke(lepton, ["doctor", "--path", str(folder), *arguments], env=given)
    return done.exit_code, done.stdout


def test_without_a_broker_it_says_so_and_checks_the_rest(tmp_path: Path) -> None:
    code, text = doctor_alone(tmp_path)
    assert code == 1
    assert "none is configured" in text
    assert "lepton up" in text
    assert "visibility timeout" in text
    assert "GB free" in text
    assert "1 problem in" in text


def test_a_broker_that_does_not_answer_is_a_problem(tmp_path: Path) -> None:
    code, text = doctor_alone(tmp_path, "--json", LEPTON_BROKER_URL="redis://:s3cret@127.0.0.1:1/0")
    found = json.loads(text)
    assert (code, found["problems"]) == (1, 1)
    assert found["findings"][0]["name"] == "broker, ledger"
    assert "s3cret" not in text


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    code, text = doctor_alone(tmp_path, "--path", str(tmp_path / "missing"))
    assert code == 1
    assert "create it, mount it" in text


def test_a_server_without_workers_is_a_problem(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        code, text = doctor_alone(tmp_path, "--timeout", "0.2", LEPTON_BROKER_URL=server.url)
    assert code == 1
    assert "no worker answered within 0.2 s" in text
    assert "1 problem, 1 warning in" in text  # the server is not persistent either
