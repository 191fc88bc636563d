"""The fleet of a machine: it grows and shrinks with the load, no work is lost, and workers outlive their autoscaler."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from skimage import data

import lepton_celery as lepton
from lepton_celery import create_app
from lepton_celery.cli import lepton as lepton_command
from lepton_celery.config import Settings, load_settings
from lepton_celery.fleet.observe import busy_processes
from lepton_celery.fleet.policy import Finding, Limits
from lepton_celery.ledger import open_ledger
from lepton_celery.local.fleet import FleetOptions, LocalFleet, Step
from lepton_celery.local.process import StackError
from lepton_celery.local.server import RedisServer
from lepton_celery.local.worker_command import WorkerOptions, worker_command
from lepton_celery.local.workers import FleetWorkers
from tests.waiting import eventually, is_gone

pytestmark = pytest.mark.worker

ROOT = Path(__file__).parents[2]
TARGETS = {"interactive": 1.0, "default": 1.0, "batch": 1.0}
LEPTON = [sys.executable, "-c", "from lepton_celery.cli import main; main()"]


@pytest.fixture(scope="module")
def environment(broker: RedisServer) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LEPTON_", "CELERY_"))}
    own = {"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": broker.url, "REMAP_SIGTERM": "", "OMP_NUM_THREADS": "1"}
    return {
        **inherited,
        **own,
        "LEPTON_SWEEP_S": "5",
        "LEPTON_LEASE_S": "10",
    }  # nothing is repeated as processes are late


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return load_settings(environment)


@pytest.fixture(autouse=True)
def _no_worker_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    if (tmp_path / "fleet.json").exists() and (tmp_path / "logs").exists():
        left = FleetWorkers(tmp_path, [], {}, ROOT, "1")
        for worker in left.record.workers:  # of a test that failed
            left.kill(worker, "the test failed")


def limits(maximum: int = 3) -> Limits:
    return Limits(minimum=1, maximum=maximum, reserved=0, period_s=0.3, hold_s=0.6)


def local_fleet(
    folder: Path,
    settings: Settings,
    environment: dict[str, str],
    command: Sequence[str] | None = None,
    *,
    start_s: float = 120.0,
) -> tuple[LocalFleet, FleetWorkers]:
    arguments, _ = worker_command(WorkerOptions("workers.app", hostname="{name}", concurrency=1))
    command = command or [sys.executable, "-m", "celery", *arguments]
    workers = FleetWorkers(folder, command, environment, ROOT, "1")
    options = FleetOptions(limits(), TARGETS, start_s=start_s)
    return LocalFleet(open_ledger(settings.ledger), workers, options, folder), workers


def is_ready(fleet: LocalFleet, workers: FleetWorkers, count: int) -> bool:
    fleet.step()
    return sum(worker.ready for worker in workers.record.workers) == count


def has_few(fleet: LocalFleet, workers: FleetWorkers) -> bool:
    fleet.step()
    return len(workers.record.workers) == 1


def test_it_grows_with_the_load_and_shrinks_after_it_and_ends_no_work(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    ledger = open_ledger(settings.ledger)
    fleet, workers = local_fleet(tmp_path, settings, environment)
    with fleet:
        eventually(lambda: is_ready(fleet, workers, 1), "the first worker")
        assert len(workers.record.workers) == 1

        np.save(tmp_path / "input.npy", np.tile(data.camera(), (4, 4)))
        source = lepton.open(tmp_path / "input.npy")
        enough = str(tmp_path / "enough")
        lazy = lepton.map_blocks("tests.faults.blocks:slow", source, seconds=0.05, until=enough)
        app = create_app(settings)
        job = lepton.submit({str(tmp_path / "output.npy"): lazy}, app=app, block_shape=(64, 64), workers=16)
        eventually(lambda: job.info().blocks_done, "the first batch, which tells what a block takes")
        fleet.step()
        fleet.step()
        assert len(workers.record.workers) == 3, "it grows to the maximum within two periods"
        eventually(lambda: is_ready(fleet, workers, 3), "all workers")
        eventually(lambda: ledger.loads.read(["default"])["default"].jobs[0].slots == 3, "all at work")
        assert fleet.step().decision.desired == 3

        logs = [Path(worker.log) for worker in workers.record.workers]
        Path(enough).touch()
        info = job.wait(180)
        assert info.blocks_done == info.blocks_total == 1024
        eventually(lambda: has_few(fleet, workers), "the minimum")
    assert workers.record.workers == []
    text = "".join(log.read_text() for log in logs)
    assert "WorkerLost" not in text and "sent again" not in text
    assert np.array_equal(np.load(tmp_path / "output.npy"), 255 - np.load(tmp_path / "input.npy"))
    assert info.stats["write_bytes"] == 2048 * 2048, "a block was done twice"
    decisions = ledger.decisions.last(500)
    assert {each["desired"] for each in decisions} >= {1, 3}
    assert ledger.decisions.said() == {}


def test_a_worker_that_is_to_stop_finishes_the_batch_that_it_has(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    ledger = open_ledger(settings.ledger)
    fleet, workers = local_fleet(tmp_path, settings, environment)
    np.save(tmp_path / "input.npy", np.zeros((512, 512), np.uint8))
    lazy = lepton.map_blocks("tests.faults.blocks:slow", lepton.open(tmp_path / "input.npy"), seconds=0.1)
    outputs = {str(tmp_path / "output.npy"): lazy}
    with fleet:
        eventually(lambda: is_ready(fleet, workers, 1), "the worker")
        job = lepton.submit(outputs, app=create_app(settings), block_shape=(64, 64), workers=16)
        eventually(lambda: ledger.loads.read(["default"])["default"].jobs[0].slots, "a batch")
        [worker] = workers.record.workers
        assert busy_processes(ledger, ["default"]) & {(socket.gethostname(), pid) for pid in worker.processes()}
    info = job.info()
    assert info.blocks_done > 0
    [load] = ledger.loads.read(["default"])["default"].jobs
    assert load.slots == load.in_hand == 0, "a lease is left of a batch that was cut short"
    text = Path(worker.log).read_text()
    assert text.count(" received") == text.count("] succeeded in ") > 0, "a message was handed back"
    assert "WorkerLost" not in text and "Restoring" not in text
    assert job.cancel()


def test_two_autoscaling_workers_share_a_backlog(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    """They have together what the work needs, and not each of them."""
    ledger = open_ledger(settings.ledger)
    words = ["worker", "--autoscale", "1,8", "--target-wait", "default=60s", "--hostname"]
    logs = [tmp_path / f"{name}.log" for name in "ab"]
    workers = []
    for log in logs:
        with log.open("wb") as output:
            command = [*LEPTON, *words, f"{log.stem}@%h"]
            workers.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output))

    def slots() -> int:
        return sum(worker.slots for worker in ledger.workers().values())

    try:
        eventually(lambda: slots() == len(ledger.workers()) == 2, "both workers")
        np.save(tmp_path / "input.npy", np.zeros((3072, 2560), np.uint8))
        enough = str(tmp_path / "enough")
        source = lepton.open(tmp_path / "input.npy")
        lazy = lepton.map_blocks("tests.faults.blocks:slow", source, seconds=0.05, until=enough)
        outputs = {str(tmp_path / "output.npy"): lazy}
        job = lepton.submit(outputs, app=create_app(settings), block_shape=(64, 64), workers=16)
        eventually(lambda: slots() > 2, "growing")
        eventually(lambda: job.info().blocks_done > 200, "work")
        needs = [int(need) for log in logs for need in re.findall(r"of work .* need (\d+) to be done", log.read_text())]
        assert 3 <= slots() <= max(needs) + 1 <= 8, "half of what two would have that do not know each other"
        told = [one for one in ledger.decisions.last(100) if one["by"].partition("@")[0] in ("a", "b")]
        grown = next(one for one in reversed(told) if one["desired"] > 2)  # the first
        assert "of work" in grown["reason"] and any(lane["blocks"] for lane in grown["seen"]["lanes"])
        assert re.fullmatch(r"[ab]@\S+ has \d processes, after 1", grown["events"][0])
        Path(enough).touch()
        job.wait(60)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def autoscale(environment: dict[str, str], folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (folder / "autoscale.log").open("ab") as log:
        return subprocess.Popen(
            [*LEPTON, "autoscale", "--period", "300ms", *arguments],
            cwd=ROOT,
            env={**environment, "LEPTON_STATE": str(folder)},
            stdout=log,
            stderr=log,
        )


def test_workers_outlive_their_autoscaler_and_the_next_takes_them_over(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    ledger = open_ledger(settings.ledger)
    log = tmp_path / "autoscale.log"
    first = autoscale(environment, tmp_path, "--max", "1")
    try:
        eventually(lambda: any(name.startswith("fleet-") for name in ledger.workers()), "the worker")
        second = autoscale(environment, tmp_path, "--max", "1")
        assert second.wait(180) == 1
        assert f"an autoscaler runs on {tmp_path} already, process {first.pid}" in log.read_text()
    finally:
        first.kill()
        first.wait()
    [worker] = FleetWorkers(tmp_path, [], {}, ROOT, "1").record.workers
    assert psutil.pid_exists(worker.pid)

    third = autoscale(environment, tmp_path, "--max", "1")
    try:
        eventually(lambda: f"{worker.name} is taken over, process {worker.pid}" in log.read_text(), "taking over")
        eventually(lambda: ledger.decisions.said(), "a decision")
        shown = subprocess.run(
            [*LEPTON, "autoscale", "status"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert f"process {third.pid}" in shown.stdout and worker.name in shown.stdout
        assert "1 slot (worker processes) takes work" in shown.stdout
    finally:
        third.send_signal(signal.SIGTERM)
        assert third.wait(180) == 143
    assert is_gone(worker.pid)
    assert FleetWorkers(tmp_path, [], {}, ROOT, "1").record.workers == []


def test_workers_that_die_one_after_the_other_are_not_started_for_ever(
    settings: Settings, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lepton_celery.local.fleet._LONGEST_BACKOFF_S", 0.2)
    failing = [sys.executable, "-c", "raise SystemExit('{name} has no disk')"]
    fleet, workers = local_fleet(tmp_path, settings, environment, failing)
    seen: list[Step] = []

    def is_open() -> bool:
        seen.append(fleet.step())
        return Finding.CRASH_LOOP in seen[-1].decision.findings

    with fleet:
        eventually(is_open, "the breaker")
        assert len(workers.record.deaths) == workers.record.started == 3
        assert any("has no disk" in event for step in seen for event in step.events)
        for _ in range(5):
            fleet.step()
        assert workers.record.started == 3


def test_a_worker_that_never_takes_work_is_killed_and_counts_as_one_that_died(
    settings: Settings, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lepton_celery.local.fleet._LONGEST_BACKOFF_S", 0.2)
    hanging = [sys.executable, "-c", "import time; print('{name} waits for a licence', flush=True); time.sleep(600)"]
    fleet, workers = local_fleet(tmp_path, settings, environment, hanging, start_s=1.0)
    seen: list[Step] = []
    pids: set[int] = set()

    def is_open() -> bool:
        seen.append(fleet.step())
        pids.update(worker.pid for worker in workers.record.workers)
        return Finding.CRASH_LOOP in seen[-1].decision.findings

    with fleet:
        eventually(is_open, "the breaker")
        assert len(workers.record.deaths) == workers.record.started == 3
    events = [event for step in seen for event in step.events]
    assert sum("did not take work within 1 s, and was killed" in event for event in events) == 3
    assert any("waits for a licence" in event for event in events)
    assert len(pids) == 3 and all(map(is_gone, pids))


def test_a_worker_is_found_whose_autoscaler_died_while_it_started_it(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    waiting = [sys.executable, "-c", "import time; time.sleep(60)", "{name}"]
    dying = f"""
import os, signal
from pathlib import Path
from lepton_celery.local import workers
workers.process_started = lambda pid: os.kill(os.getpid(), signal.SIGKILL)
workers.FleetWorkers(Path({str(tmp_path)!r}), {waiting!r}, dict(os.environ), Path("/"), "1").start()
"""
    assert subprocess.run([sys.executable, "-c", dying], env=environment).returncode == -signal.SIGKILL
    fleet, workers = local_fleet(tmp_path, settings, environment, waiting)
    [unknown] = workers.record.workers
    assert unknown.pid == 0
    workers.record.workers.append(replace(unknown, name="fleet-that-was-never-started"))
    workers.save()
    with fleet:
        [found] = workers.record.workers
        assert found.is_alive and psutil.Process(found.pid).cmdline()[-1] == found.name == unknown.name
        assert fleet.adopt() == [f"{found.name} is taken over, process {found.pid}"]
    assert is_gone(found.pid)


def test_a_worker_that_hangs_as_it_stops_is_killed_and_its_work_is_done(
    settings: Settings,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is frozen with a batch in hand: it renews no lease, hands in nothing, and reacts to no signal."""
    monkeypatch.setattr("lepton_celery.local.fleet._HUNG_S", 1.0)
    environment = {**environment, "LEPTON_LEASE_S": "3", "LEPTON_SWEEP_S": "1"}
    ledger = open_ledger(settings.ledger)
    np.save(tmp_path / "input.npy", np.tile(data.camera(), (2, 2)))
    enough = tmp_path / "enough"
    source = lepton.open(tmp_path / "input.npy")
    lazy = lepton.map_blocks("tests.faults.blocks:slow", source, seconds=0.2, until=str(enough))
    fleet, workers = local_fleet(tmp_path, settings, environment)
    with fleet:
        eventually(lambda: is_ready(fleet, workers, 1), "the worker")
        job = lepton.submit({str(tmp_path / "output.npy"): lazy}, app=create_app(settings), block_shape=(128, 128))
        eventually(lambda: ledger.loads.read(["default"])["default"].jobs[0].slots, "a batch")
        frozen = [pid for worker in workers.record.workers for pid in worker.processes()]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
    assert workers.record.workers == [] and all(map(is_gone, frozen))
    assert "did not stop within 1 s without any work, and was killed" in caplog.text
    assert ledger.loads.read(["default"])["default"].jobs[0].slots == 0, "it was killed while it held a lease"
    enough.touch()
    with fleet:
        eventually(
            lambda: is_ready(fleet, workers, len(workers.record.workers)) and job.info().state == "done", "the job"
        )
    assert np.array_equal(np.load(tmp_path / "output.npy"), 255 - np.load(tmp_path / "input.npy"))


def test_without_a_ledger_it_holds_what_it_has(environment: dict[str, str], tmp_path: Path) -> None:
    gone = Settings(broker_url="redis://127.0.0.1:1/0")
    waiting = [sys.executable, "-c", "import time; time.sleep(60)", "{name}"]
    fleet, workers = local_fleet(tmp_path, gone, environment, waiting)
    with fleet:
        held = workers.start()
        steps = [fleet.step(), fleet.step()]
        assert [step.decision.findings for step in steps] == [(Finding.MISSING,)] * 2
        assert all("does not answer" in step.events[0] for step in steps)
        assert workers.record.workers == [held] and held.is_alive and held.draining_since is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--min", "3", "--max", "2"], "--min 3 is more than --max 2"),
        (["--concurrency", "4", "--max", "2"], "a worker of 4 processes is more than --max 2"),
        (["--lanes", "fast"], "there is no lane 'fast'"),
        (["--target-wait", "fast=2s"], "is the target of no lane that is served"),
        (["--target-wait", "batch=soon"], "'soon' is no duration"),
        (["--period", "0s"], "'0s' is no duration"),
    ],
)
def test_wrong_options_are_refused(
    environment: dict[str, str], arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner(env=environment).invoke(lepton_command, ["autoscale", *arguments])
    assert done.exit_code == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_fault_of_the_autoscaler_ends_no_worker(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    waiting = [sys.executable, "-c", "import time; time.sleep(60)", "{name}"]
    fleet, workers = local_fleet(tmp_path, settings, environment, waiting)
    with pytest.raises(ZeroDivisionError), fleet:
        held = workers.start()
        raise ZeroDivisionError
    assert held.is_alive and held.draining_since is None
    again, known = local_fleet(tmp_path, settings, environment, waiting)
    with again:
        assert again.adopt() == [f"{held.name} is taken over, process {held.pid}"]
    assert known.record.workers == []
    assert is_gone(held.pid)
    workers.reap()


def test_workers_of_another_release_finish_and_stop(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    waiting = [sys.executable, "-c", "import time; time.sleep(60)", "{name}"]
    _, workers = local_fleet(tmp_path, settings, environment, waiting)
    workers.release = "0.9"
    old = workers.start()
    fleet, known = local_fleet(tmp_path, settings, environment, waiting)
    with fleet:
        assert fleet.adopt() == [f"{old.name} runs release 0.9, so it finishes and stops"]
        assert known.record.workers[0].draining_since is not None
    assert is_gone(old.pid)
    workers.reap()


def test_a_damaged_list_of_workers_is_not_guessed(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "fleet.json").write_text("{")
    with pytest.raises(StackError, match=r"fleet.json.*cannot be understood"):
        local_fleet(tmp_path, settings, environment)
