"""`lepton autoscale`: a trace that is recorded from a ledger, and simulated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import lepton_celery as lepton
from lepton_celery.cli import lepton as lepton_command
from lepton_celery.config import Settings
from lepton_celery.errors import InputError
from lepton_celery.fleet.simulation.recording import record_trace
from lepton_celery.fleet.simulation.trace import read_trace
from lepton_celery.ledger import open_ledger
from tests.server.server import Server

TARGETS = {"interactive": 2.0, "default": 60.0, "batch": 900.0}


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(lepton_command, ["autoscale", *arguments])


@pytest.fixture
def url(server: Server, tmp_path: Path) -> str:
    """The URL of a server that has two jobs, which no worker takes."""
    app = lepton.create_app(Settings(broker_url=server.url))
    image = lepton.open(np.ones((64, 64), "uint8"))
    common: dict[str, Any] = {"app": app, "block_shape": (16, 16)}
    lepton.submit({str(tmp_path / "secret.npy"): ~image}, priority="interactive", title="secret", **common)
    lepton.submit({str(tmp_path / "other.npy"): ~image}, priority="batch", **common)
    return server.url


def test_a_ledger_is_recorded_without_names_and_then_simulated(url: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    done = run("record", str(path), LEPTON_BROKER_URL=url)
    assert done.exit_code == 0, done.output
    assert "secret" not in path.read_text() and str(tmp_path) not in path.read_text()
    trace = read_trace(path)
    assert [arrival.lane for arrival in trace.arrivals[-2:]] == ["interactive", "batch"]
    assert [stage.blocks for stage in trace.arrivals[-1].stages] == [16]
    assert 0 < trace.arrivals[-1].work_s < 1

    simulated = run("simulate", "--trace", str(path), "--policy", "lepton", "--policy", "fixed", "--json")
    assert simulated.exit_code == 0, simulated.output
    document = json.loads(simulated.stdout)
    assert [rule["rule"] for rule in document["rules"]] == ["lepton", "fixed"]
    assert document["rules"][0]["wait_s"]["batch"]["target"] == 900
    shown = run("simulate", "--trace", str(path), "--policy", "lepton", "--plot", str(tmp_path / "p.svg"))
    assert shown.exit_code == 0 and "offline optimum" in shown.output
    assert (tmp_path / "p.svg").stat().st_size > 1000


def test_a_ledger_without_jobs_has_no_trace(server: Server) -> None:
    with pytest.raises(InputError, match="no job that can be recorded"):
        record_trace(open_ledger(server.url, prefix="empty:"), TARGETS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["simulate"], "either --trace FILE or --synthetic NAME"),
        (["simulate", "--trace", "missing.jsonl"], "missing.jsonl is no trace that can be read"),
        (["simulate", "--synthetic", "unknown"], "'steady', 'burst', 'daily', 'giant', 'poison'"),
        (["simulate", "--synthetic", "burst", "--policy", "best"], "'lepton', 'celery', 'keda', 'fixed'"),
    ],
)
def test_what_cannot_be_simulated_is_refused(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.exit_code and words in done.output
