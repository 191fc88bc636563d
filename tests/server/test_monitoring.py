"""The dashboard and the alert rules name metrics that exist, and Prometheus understands them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client import CollectorRegistry, generate_latest

from lepton_celery.fleet.export import Collector
from lepton_celery.ledger import Ledger
from lepton_celery.views.metrics import JobMetrics
from tests.server.test_export import replicas_of

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
NAME = re.compile(r"\blepton_[a-z_]+")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    return found


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.fixture
def served(ledger: Ledger) -> set[str]:
    """The names of all series that the exporter serves."""
    replicas = replicas_of(ledger)
    replicas.decide()
    registry = CollectorRegistry()
    registry.register(Collector(replicas))
    registry.register(JobMetrics(ledger))
    return set(re.findall(r"^(lepton_\w+)", generate_latest(registry).decode(), re.MULTILINE))


def test_what_is_asked_for_is_served(served: set[str]) -> None:
    asked = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            asked |= set(NAME.findall(target["expr"]))
    assert len(asked) > 15
    assert asked <= served


def test_the_page_names_the_metrics_that_are_served(served: set[str]) -> None:
    page = (ROOT / "docs" / "seeing.md").read_text()
    named = set(re.findall(r"`(lepton_\w+)`", page))
    assert named - {"lepton_stage_seconds", "lepton_celery"} <= served


def test_the_dashboard_has_only_what_grafana_knows() -> None:
    """Grafana's own types take all of it: what they do not know would be missing when they write it again."""
    register_default_plugins()
    written = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard())))
    assert list(unknown(dashboard(), written)) == []


def unknown(given: Any, written: Any, where: str = "") -> Iterator[str]:
    """What is not written as it was given."""
    if isinstance(given, dict) and isinstance(written, dict):
        for key, value in given.items():
            yield from unknown(value, written.get(key), f"{where}/{key}")
    elif isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        for number, pair in enumerate(zip(given, written, strict=True)):
            yield from unknown(*pair, f"{where}/{number}")
    elif given != written:
        yield f"{where}: {given!r}, not {written!r}"


def test_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24
        taken |= cells
    identities = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(identities)) == len(identities)


def test_every_alert_says_what_to_do() -> None:
    for rule in rules():
        assert rule["annotations"]["summary"] and rule["annotations"]["description"].endswith((".", "`."))
        assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.parametrize("command", [("check", "rules", "alerts.yaml"), ("test", "rules", "alerts-test.yaml")])
def test_prometheus_understands_the_rules(command: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        message = "there is no promtool; apt-get install prometheus"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run([promtool, *command], cwd=MONITORING, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
