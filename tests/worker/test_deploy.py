"""The manifests in `deploy/`: against Kubernetes' schemas, with each other, and their probe and hook on a worker."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import numpy as np
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from pydantic import ValidationError
from skimage import data

import lepton_celery as lepton
from lepton_celery import create_app
from lepton_celery.cli.autoscale_export import export, lane_fleets
from lepton_celery.config import load_settings
from lepton_celery.engines.celery.sending.queues import JOB_QUEUES
from lepton_celery.ledger import open_ledger
from lepton_celery.priority import LANES
from tests.acceptance.commands import environment
from tests.server.server import running_server
from tests.waiting import eventually

pytestmark = pytest.mark.worker

BASE = Path(__file__).parents[2] / "deploy" / "base"


def documents() -> dict[str, dict[str, Any]]:
    """The manifests by kind and name."""
    files = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert {*files, "kustomization.yaml"} == {path.name for path in BASE.iterdir()}
    found = [document for name in files for document in yaml.safe_load_all((BASE / name).read_text())]
    return {f"{document['kind']}/{document['metadata']['name']}": document for document in found}


def container(document: dict[str, Any]) -> dict[str, Any]:
    [found] = document["spec"]["template"]["spec"]["containers"]
    return dict(found)


def taken_by_keda(document: dict[str, Any]) -> dict[str, Any]:
    """What KEDA's schema (generated from its custom resource definition) takes of a ScaledObject; it drops other fields."""
    model = ScaledObject.model_validate(document)
    return dict(model.model_dump(mode="json", by_alias=True, exclude_unset=True))


@pytest.mark.parametrize("version", ["1.31", kubernetes_validate.latest_version()])
def test_the_manifests_follow_the_schemas_of_kubernetes(version: str) -> None:
    kinds = [name for name in documents() if not name.startswith("ScaledObject")]
    assert len(kinds) == 5
    for name in kinds:
        kubernetes_validate.validate(documents()[name], version, strict=True)


@pytest.mark.parametrize("lane", LANES)
def test_the_scaled_objects_follow_the_schema_of_keda(lane: str) -> None:
    scaled = documents()[f"ScaledObject/lepton-{lane}"]
    assert taken_by_keda(scaled) == scaled, "KEDA would drop a field"


def test_the_schema_of_keda_finds_mistakes() -> None:
    scaled = documents()["ScaledObject/lepton-batch"]
    misspelt = {**scaled, "spec": {**scaled["spec"], "maxReplicas": 3}}
    assert taken_by_keda(misspelt) == scaled
    trigger = {**scaled["spec"]["triggers"][0], "metadata": {"targetValue": 1}}
    mistakes: list[dict[str, Any]] = [
        {"maxReplicaCount": "many"},
        {"triggers": [trigger]},
        {"scaleTargetRef": {}},
        {"fallback": {}},
    ]
    for wrong in mistakes:
        with pytest.raises(ValidationError):
            taken_by_keda({**scaled, "spec": {**scaled["spec"], **wrong}})


@pytest.mark.parametrize("lane", LANES)
def test_keda_scales_each_lane_by_the_exporter(lane: str) -> None:
    scaled = documents()[f"ScaledObject/lepton-{lane}"]
    assert (scaled["apiVersion"], set(scaled)) == ("keda.sh/v1alpha1", {"apiVersion", "kind", "metadata", "spec"})
    spec = scaled["spec"]
    assert f"Deployment/{spec['scaleTargetRef']['name']}" in documents()
    [trigger] = spec["triggers"]
    port = documents()["Service/lepton-autoscale"]["spec"]["ports"][0]["port"]
    assert trigger == {
        "type": "metrics-api",
        "metricType": "AverageValue",  # the fallback needs it
        "metadata": {
            "url": f"http://lepton-autoscale:{port}/keda/{lane}",
            "valueLocation": "desired",
            "targetValue": "1",
            "activationTargetValue": "0",
        },
    }
    # the behaviour is that of Kubernetes' own autoscaler
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "x"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "x"},
            "maxReplicas": 1,
            **spec["advanced"]["horizontalPodAutoscalerConfig"],
        },
    }
    kubernetes_validate.validate(scaler, "1.31", strict=True)


def test_the_exporter_and_keda_have_the_same_limits() -> None:
    exporter = container(documents()["Deployment/lepton-autoscale"])
    words = [*exporter["command"], *exporter["args"]]
    assert words[:3] == ["lepton", "autoscale", "--export"]
    given = export.make_context("export", words[3:]).params
    assert (given["bind"], given["port"]) == ("0.0.0.0", exporter["ports"][0]["containerPort"])
    fleets = lane_fleets(
        given["least"], given["most"], given["target_wait"], given["slots"], given["start_up"], given["period"]
    )
    for lane, fleet in fleets.items():
        spec = documents()[f"ScaledObject/lepton-{lane}"]["spec"]
        assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (fleet.limits.minimum, fleet.limits.maximum)
        assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
        assert f"--concurrency={given['slots']}" in container(documents()[f"Deployment/lepton-{lane}"])["command"]


@pytest.mark.parametrize("lane", LANES)
def test_workers_differ_by_their_lane_only(lane: str) -> None:
    deployment = documents()[f"Deployment/lepton-{lane}"]
    text = yaml.safe_dump(deployment).replace(lane, "LANE")
    assert text == yaml.safe_dump(documents()["Deployment/lepton-batch"]).replace("batch", "LANE")
    assert "replicas" not in deployment["spec"], "KEDA's number would be overwritten"
    [queues] = [word for word in container(deployment)["command"] if word.startswith("--queues=")]
    assert queues.partition("=")[2] in JOB_QUEUES


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A worker with the command and the file of the manifest, and the address of its broker."""
    words = container(documents()["Deployment/lepton-batch"])["command"]
    with running_server(tmp_path) as server, (tmp_path / "log").open("wb") as log:
        env = environment(
            LEPTON_SETTINGS="test", LEPTON_BROKER_URL=server.url, LEPTON_ALIVE_FILE=str(tmp_path / "alive")
        )
        process = subprocess.Popen([sys.executable, "-m", *words], env=env, stdout=log, stderr=log)
        try:
            yield process, server.url
        finally:
            process.kill()
            process.wait()


def test_the_probe_holds_while_the_worker_runs_and_the_hook_lets_it_end_its_block(
    worker: tuple[subprocess.Popen[bytes], str], tmp_path: Path
) -> None:
    process, url = worker
    found = container(documents()["Deployment/lepton-batch"])
    [alive] = {
        shlex.join(found[probe]["exec"]["command"]) for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    alive = alive.replace("/tmp/alive", str(tmp_path / "alive"))

    def is_alive() -> bool:
        return subprocess.run(["sh", "-c", alive], stderr=subprocess.DEVNULL).returncode == 0

    eventually(is_alive, "the worker's start")
    begun, enough = tmp_path / "begun", tmp_path / "enough"
    np.save(tmp_path / "input.npy", data.camera())
    held = lepton.map_blocks(
        "tests.faults.blocks:held", lepton.open(tmp_path / "input.npy"), until=str(enough), log=str(begun)
    )
    app = create_app(load_settings({"LEPTON_SETTINGS": "test", "LEPTON_BROKER_URL": url}))
    eventually(lambda: open_ledger(url).is_served("batch"), "the note of the worker")
    job = lepton.submit({str(tmp_path / "o.npy"): held}, app=app, block_shape=(128, 128), priority="batch")
    eventually(begun.exists, "a block at work")
    assert is_alive()
    first = (tmp_path / "alive").stat().st_mtime_ns
    eventually(lambda: (tmp_path / "alive").stat().st_mtime_ns > first, "another touch")

    hook = " ".join(found["lifecycle"]["preStop"]["exec"]["command"][2:]).replace(" 1;", f" {process.pid};", 1)
    draining = subprocess.Popen(["sh", "-c", hook.replace("kill -0 1 ", f"kill -0 {process.pid} ")])
    eventually(lambda: "Warm shutdown" in (tmp_path / "log").read_text(), "the beginning of the worker's end")
    assert process.poll() is None, "it ends its block first"
    assert draining.poll() is None, "the hook waits for that"
    enough.touch()
    assert process.wait(180) == 0
    assert draining.wait(180) == 0
    assert not is_alive()
    assert job.info().blocks_done > 0, "the block was handed in"
