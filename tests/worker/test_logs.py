"""The logs of workers, Flower and the autoscaler as JSON: one object a line, with the job, the stage and the blocks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lepton_celery as lepton
from lepton_celery.errors import JobFailed
from lepton_celery.local.stack import LocalStack, Project
from lepton_celery.skimage import filters
from tests.faults.traced import FOLDER
from tests.stacks import short_lived
from tests.waiting import eventually
from tests.worker.conftest import app_of
from tests.worker.dark_images import mapped, submit

pytestmark = pytest.mark.worker

JSON = {"LEPTON_LOG_FORMAT": "json"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A worker of two processes that traces and logs JSON."""
    directory = tmp_path_factory.mktemp("stack")
    project = Project("tests.faults.traced", "test", {**JSON, FOLDER: str(directory)})
    with short_lived(LocalStack(directory, workers=1, concurrency=2, flower=True, project=project)) as started:
        yield started


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, each of which is a JSON object."""
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.usefixtures("dark")
def test_each_line_of_a_worker_is_json_and_has_the_fields_of_its_job(stack: LocalStack, tmp_path: Path) -> None:
    log = stack.logs / "worker-1.log"
    app = app_of(stack)
    image = lepton.open(tmp_path / "input.npy")
    job = submit(tmp_path, app, image > filters.threshold_otsu(image), title='x\n{"level": "FORGED"}\x1b[31m')
    job.wait(180)
    fails = submit(tmp_path, app, mapped(tmp_path, "raises"), overwrite=True)
    with pytest.raises(JobFailed):
        fails.wait(180)
    dies = submit(tmp_path, app, mapped(tmp_path, "dies_twice", log=str(tmp_path / "runs")), overwrite=True)
    dies.wait(180)
    eventually(lambda: any("succeeded" in line["message"] and line.get("job") == dies.id for line in lines_of(log)))
    lines = lines_of(log)
    assert all({"time", "level", "logger", "message", "process"} <= line.keys() for line in lines)
    assert not any(line["level"] == "FORGED" for line in lines)
    for one in (job, fails, dies):
        about = [line for line in lines if one.id in json.dumps(line)]
        assert about and all(line.get("job") == one.id for line in about), one.id
    done = [line for line in lines if line.get("job") == job.id and "succeeded" in line["message"]]
    assert {line["stage"] for line in done} >= {"1/2"} and all(line["task_id"] for line in done)
    received = [line for line in lines if line.get("job") == job.id and "received" in line["message"]]
    assert all(re.fullmatch(r"\d/2", line["stage"]) for line in received) and any("blocks" in line for line in received)
    [failed, *_] = [
        line for line in lines if line.get("job") == fails.id and "a bright pixel" in str(line.get("exception"))
    ]
    assert failed["blocks"].isdecimal() and failed["stage"] == "1/1" and failed["level"] == "WARNING"
    assert re.fullmatch("[0-9a-f]{32}", failed["trace_id"]) and re.fullmatch("[0-9a-f]{16}", failed["span_id"])
    assert any(
        line.get("job") == dies.id and line["level"] == "ERROR" and "SIGKILL" in json.dumps(line) for line in lines
    )


def test_flower_logs_json(stack: LocalStack) -> None:
    log = stack.logs / "flower.log"
    eventually(lambda: "Visit me" in log.read_text())
    found = [line for line in log.read_text().splitlines() if line.startswith("{")]
    assert any("Visit me" in json.loads(line)["message"] for line in found)


@pytest.mark.usefixtures("dark")
def test_a_title_forges_no_line_of_a_text_log(workers: LocalStack, app: Any, tmp_path: Path) -> None:
    title = "\nFORGED line\r[2026-01-01 00:00:00,000: ERROR/MainProcess] FORGED"
    job = submit(tmp_path, app, mapped(tmp_path, "raises"), title=title)
    with pytest.raises(JobFailed):
        job.wait(180)
    for path in workers.logs.glob("worker-*.log"):
        assert not re.search(r"^\s*(FORGED|\[.*\] FORGED)", path.read_text(), re.MULTILINE)


def test_the_autoscaler_logs_json(stack: LocalStack, tmp_path: Path) -> None:
    environment = {**os.environ, **JSON, "LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": stack.broker_url}
    command = [str(Path(sys.executable).with_name("lepton")), "autoscale", "--export", "--port", "0"]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        eventually(lambda: "the desired workers of each lane" in log.read_text(), timeout_s=60)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    lines = lines_of(log)
    assert {"time", "level", "logger", "message", "process"} <= lines[0].keys() and lines[0]["level"] == "INFO"
