"""`lepton worker`: the celery command that it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lepton_celery.cli import lepton as lepton_command
from lepton_celery.local.worker_command import app_module


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    monkeypatch.setattr(os, "execve", lambda path, argv, env: found.update(argv=argv, env=env))
    monkeypatch.chdir(tmp_path)
    for name in ("REMAP_SIGTERM", "OMP_NUM_THREADS", "LEPTON_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LEPTON_BROKER_URL", "redis://127.0.0.1:1/0")
    return found


def start(*arguments: str) -> Result:
    return CliRunner().invoke(lepton_command, ["worker", *arguments])


def test_it_starts_a_worker_of_all_lanes(ran: dict[str, Any]) -> None:
    done = start("--concurrency", "2", "--app", "mine.app")
    assert done.exit_code == 0, done.output
    expected = "-A mine.app worker --hostname=worker@%h --concurrency=2 --prefetch-multiplier=1 --loglevel=INFO"
    assert " ".join(ran["argv"][1:]) == f"-m celery {expected} --without-mingle --without-gossip"
    assert f"REMAP_SIGTERM=SIGQUIT celery {expected}" in done.stderr
    assert ran["env"]["REMAP_SIGTERM"] == "SIGQUIT"
    assert ran["env"]["OMP_NUM_THREADS"] == "1"


def test_lanes_become_queues_and_limits_those_of_celery(ran: dict[str, Any]) -> None:
    assert start("--lanes", "batch,default", "--autoscale", "1,4", "--hostname", "night@%h").exit_code == 0
    assert {"--queues=lepton.default,lepton.batch", "--autoscale=4,1", "--hostname=night@%h"} <= set(ran["argv"])


def test_targets_and_settings_of_celery_are_passed_on(ran: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_TARGET_WAIT", "batch=9m")
    options = ("--autoscale", "1,4", "--target-wait", "batch=5s")
    done = start(*options, "--", "worker_soft_shutdown_timeout=3", "worker_concurrency=2")
    assert done.exit_code == 0, done.output
    assert ran["argv"][-3:] == ["--", "worker_soft_shutdown_timeout=3", "worker_concurrency=2"]
    assert ran["env"]["LEPTON_TARGET_WAIT"] == "batch=5s"
    assert "LEPTON_TARGET_WAIT=batch=5s celery -A" in done.stderr


def test_without_a_broker_it_says_what_to_do(ran: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEPTON_BROKER_URL")
    done = start()
    assert done.exit_code == 4 and "no broker is configured; set LEPTON_BROKER_URL" in done.stderr
    assert not ran
    assert start("--app", "mine.app").exit_code == 0, "it may know its broker itself"


def test_another_package_of_that_name_is_no_application(
    ran: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib" / "workers").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "lib")])
    monkeypatch.delitem(sys.modules, "workers", raising=False)
    assert app_module() == "lepton_celery.app"
    (tmp_path / "lib" / "workers" / "app.py").touch()
    assert app_module() == "workers.app"


def test_what_is_set_already_stays(ran: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMAP_SIGTERM", "")
    monkeypatch.setenv("LEPTON_BROKER_URL", "amqp://127.0.0.1:1//")
    monkeypatch.setenv("LEPTON_RESULT_BACKEND", "redis://127.0.0.1:1/0")
    assert start().exit_code == 0
    assert ran["env"]["REMAP_SIGTERM"] == ""
    assert not any("prefetch" in item for item in ran["argv"])  # on RabbitMQ a worker holds some messages of each lane


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lanes", "fast"], "there is no lane 'fast'; give some of interactive, default, batch"),
        (["--autoscale", "4,1"], "the first number is the fewest processes"),
        (["--autoscale", "4"], "is not MIN,MAX; give two numbers such as 1,4"),
        (["--autoscale", "0,0"], "the most, from 1 on"),
        (["--autoscale", "1,4", "--concurrency", "2"], "not both"),
        (["--concurrency", "0"], "is not in the range"),
        (["--target-wait", "batch=5s"], "give --autoscale MIN,MAX too"),
        (["--autoscale", "1,4", "--target-wait", "batch=soon"], "'soon' is no duration"),
        (["--autoscale", "1,4", "--target-wait", "batch=5s", "--lanes", "default"], "of no lane that is served"),
        (["--loglevel", "loud"], "is not one of"),
    ],
)
def test_wrong_options_are_refused(ran: dict[str, Any], arguments: list[str], message: str) -> None:
    done = start(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not ran
