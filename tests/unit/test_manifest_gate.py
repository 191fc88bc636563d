"""Manifests as an attacker would write them: every field dropped, of another type, or far too large."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from lepton_celery import graph
from lepton_celery.errors import InputError, JobError, LeptonError
from lepton_celery.execution.manifest import Manifest
from lepton_celery.ledger import entries
from lepton_celery.planning.cost.model import CostModel
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.signing import check_signed, is_signed, signature_of, signed
from lepton_celery.skimage import filters, measure
from lepton_celery.stores.documents import parse_document
from tests.hostile.documents import changed, paths_of
from tests.unit.test_manifest import manifest

VALUES: tuple[Any, ...] = (None, -1, 2**70, 1e400, "x" * 20_000, [], {}, [[[]]], "../..", "/", True, "\ud800")
KEYS = ("a key of sixteen characters and more", "another key that is long enough")


def test_every_change_is_refused_or_harmless(tmp_path: Path) -> None:
    document = json.loads(json.dumps(manifest(tmp_path).to_json()))
    accepted = refused = 0
    for path in paths_of(document):
        if "lines" in path or "predicted" in path:
            continue  # figures for people
        for value in (..., *VALUES):
            try:
                found = Manifest.from_json(changed(document, path, value), job_id="job1")
            except LeptonError:
                refused += 1
                continue
            accepted += 1
            assert found.job_id == "job1" and Path(found.workspace).name == ".lepton-job1", (path, value)
            assert all(target.job_id == "job1" for targets in found.targets.values() for target in targets)
    assert refused > 1000 and accepted < refused / 2


@pytest.mark.parametrize("job_id", ["../..", "", ".", "a/b", "x" * 200, "job2"])
def test_a_manifest_is_of_the_job_under_whose_id_it_was_found(tmp_path: Path, job_id: str) -> None:
    document = manifest(tmp_path).to_json()
    with pytest.raises(InputError, match="is damaged: its job id is 'job1'"):
        Manifest.from_json(document, job_id=job_id or "other")
    with pytest.raises(InputError, match=r"is damaged|job id"):
        Manifest.from_json({**document, "job_id": job_id}, job_id="job1")


@pytest.mark.parametrize(
    "workspace", ["/", "/etc", "{folder}", "{folder}/.lepton-other", "{folder}/x/../.lepton-job1", ".lepton-job1"]
)
def test_a_workspace_has_the_name_of_its_job(tmp_path: Path, workspace: str) -> None:
    document = {**manifest(tmp_path).to_json(), "workspace": workspace.format(folder=tmp_path)}
    with pytest.raises(InputError, match="is no folder of this job"):
        Manifest.from_json(document)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{}", "has version None"),
        ("null", "NoneType"),
        ("[]", "list"),
        ('{"plan": null, "version": 5}', "is damaged"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 5000, "digits"),
        ('{"version": 3}', "has version 3"),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises((InputError, JobError), match=reason):
        Manifest.from_json(entries.from_json("manifest of job 'j'", text, "j"))


def test_deep_arguments_are_refused(tmp_path: Path) -> None:
    document = json.loads(json.dumps(manifest(tmp_path).to_json()))
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    document["plan"]["nodes"][1]["arguments"]["x"] = deep
    with pytest.raises(LeptonError):
        Manifest.from_json(document)


def test_documents_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_celery.stores.documents.MAX_DOCUMENT_BYTES", 1 << 20)
    with pytest.raises(InputError, match="more than 1 MiB"):
        parse_document(b" " * ((1 << 20) + 1), "the graph")


HOSTILE_COSTS = (0, 1e300, 1e-300, 1e18, math.nan, math.inf, -1, 2**70)


def test_a_hostile_cost_model_is_refused_or_plans_as_another(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.zeros((600, 400), np.float32))
    image = graph.open(tmp_path / "in.npy")
    labels = measure.label(filters.gaussian(image, 2) > filters.threshold_otsu(image))
    document = CostModel().to_json()
    random = Random(3)
    paths = [path for path in paths_of(document) if path != ("version",)]
    planned = 0
    for _ in range(300):
        hostile = changed(document, random.choice(paths), random.choice(HOSTILE_COSTS))
        try:
            model = CostModel.from_json(hostile)
        except InputError:
            continue
        plan = make_plan({"labels": labels}, PlanOptions(cost=model)).plan
        assert math.isfinite(plan.predicted_s) and plan.costs
        planned += 1
    assert 30 < planned < 270


# ------------------------------------------------------------------------------------------------ signatures


def test_workers_with_keys_take_what_one_of_them_has_signed(tmp_path: Path) -> None:
    job = manifest(tmp_path)
    document = json.loads(json.dumps(job.to_json(KEYS)))
    for keys in ((), KEYS, KEYS[:1], ("a third key that is long enough", KEYS[0])):
        assert Manifest.from_json(document, keys) == job
    with pytest.raises(InputError, match="was signed with another key, or changed; give its submitter"):
        Manifest.from_json(document, KEYS[1:])
    for unsigned in (job.to_json(), {**job.to_json(), "version": 99}):
        with pytest.raises(InputError, match="has no signature"):
            Manifest.from_json(unsigned, KEYS)


def test_no_field_can_be_changed_under_a_signature(tmp_path: Path) -> None:
    document = json.loads(json.dumps(manifest(tmp_path).to_json(KEYS)))
    for path in paths_of(document):
        with pytest.raises(LeptonError):
            Manifest.from_json(changed(document, path, "changed"), KEYS)


def test_a_signature_is_for_one_purpose_and_one_content() -> None:
    signature = signature_of(["j", 0, "0-3"], "lepton.process", KEYS)
    assert is_signed(["j", 0, "0-3"], "lepton.process", signature, KEYS)
    assert is_signed(("j", 0, "0-3"), "lepton.process", signature, KEYS[:1])
    others: tuple[tuple[Any, str, Any], ...] = (
        (["j", 0, "0-4"], "lepton.process", signature),
        (["j", 0, "0-3"], "lepton.close", signature),
        (["j", 0, "0-3"], "lepton.process", signature[:-1]),
        (["j", 0, "0-3"], "lepton.process", ""),
        (["j", 0, "0-3"], "lepton.process", None),
        (["j", 0, "0-3"], "lepton.process", "ä" * 32),
    )
    for content, purpose, given in others:
        assert not is_signed(content, purpose, given, KEYS)
    assert is_signed(["anything"], "lepton.process", "", ())


def test_documents_without_keys_are_not_signed() -> None:
    assert signed({"a": 1}, "x", ()) == {"a": 1}
    check_signed({"a": 1}, "x", (), "the document")
    check_signed(signed({"a": 1}, "x", KEYS), "x", KEYS[:1], "the document")
