"""The limits of a job: each refusal names the limit, what was given and what to change."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_celery as lepton
from lepton_celery.config import Settings, settings_from
from lepton_celery.errors import InputError, PlanTooLarge
from lepton_celery.limits import MAX_NODES
from lepton_celery.planning.options import Limits, PlanOptions
from lepton_celery.planning.planner import make_plan
from lepton_celery.skimage import filters, measure

SIDE = 512
IMAGE = np.zeros((SIDE, SIDE), np.uint8)


def chain(length: int) -> Any:
    node = lepton.open(IMAGE)
    for _ in range(length):
        node = node + 1
    return node


def plan(node: Any, **limits: int) -> Any:
    return make_plan({"o.npy": node}, PlanOptions(workers=2, limits=Limits(**limits)))


def two_stages() -> Any:
    """Labels: the image of provisional labels passes through the workspace."""
    return measure.label(lepton.open(IMAGE) > 3)


def test_settings_give_the_limits_of_jobs_without_their_own() -> None:
    assert Limits.of(Settings()) == Limits()
    names = {item.name for item in fields(Limits)} - {"worker_memory_bytes"}
    environment = {f"LEPTON_MAX_{name.upper()}": str(number) for number, name in enumerate(sorted(names), 5)}
    limits = Limits.of(settings_from({}, environment))
    assert {name: getattr(limits, name) for name in names} == dict(zip(sorted(names), range(5, 11), strict=True))


@pytest.mark.parametrize(
    ("node", "limit", "most", "words"),
    [
        (
            lambda: chain(1),
            "pixels",
            SIDE * SIDE,
            r"an image of shape \(512, 512\) has 262,144 pixels, over .* 262,143",
        ),
        (lambda: chain(9), "nodes", 10, "the graph has more than 9 nodes, which is the limit"),
        (lambda: chain(9), "depth", 10, "the graph is 10 operations deep, over the limit of 9; shorten"),
        (lambda: chain(1), "output_bytes", SIDE * SIDE, "the output images take 262,144 bytes, over .* 262,143; write"),
    ],
)
def test_a_graph_at_the_limit_is_planned_and_one_beyond_it_is_not(node: Any, limit: str, most: int, words: str) -> None:
    plan(node(), **{limit: most})
    with pytest.raises(PlanTooLarge, match=words) as refusal:
        plan(node(), **{limit: most - 1})
    assert f"raise Limits({limit}=…) or LEPTON_MAX_{limit.upper()}" in str(refusal.value)


def test_the_bytes_of_the_workspace_are_limited(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", IMAGE)
    node = measure.label(lepton.open(tmp_path / "in.npy") > 3)
    planned = plan(node)
    stored = sum(planned.plan.nodes[index].size_bytes for index in planned.plan.intermediates)
    assert stored
    assert plan(node, workspace_bytes=stored).plan == planned.plan
    with pytest.raises(
        PlanTooLarge, match=r"intermediate images and copies of arrays take .* LEPTON_MAX_WORKSPACE_BYTES"
    ):
        plan(node, workspace_bytes=stored - 1)
    with pytest.raises(PlanTooLarge, match="take 262,144 bytes"):  # the copy of an array for workers
        plan(chain(1), workspace_bytes=SIDE * SIDE - 1)


def test_images_are_recomputed_where_the_workspace_has_no_room(tmp_path: Path) -> None:
    """The planner stores images to save time; with less room it takes the slower plan."""
    np.save(tmp_path / "in.npy", np.zeros((2048, 2048), np.uint8))
    dear = filters.median(lepton.open(tmp_path / "in.npy"), np.ones((15, 15), np.uint8))
    node = filters.gaussian(dear, sigma=60)
    assert plan(node).plan.intermediates
    assert not plan(node, workspace_bytes=0).plan.intermediates


@pytest.mark.parametrize(
    "document",
    [
        {"nodes": [{"operation": "lepton.source", "arguments": {"url": "input:image"}}] * (MAX_NODES + 1)},
        {"steps": ["invert"] * (MAX_NODES + 1)},
    ],
)
def test_a_stored_graph_is_refused_before_it_is_built(document: dict[str, Any]) -> None:
    outputs = {"o.npy": 0} if "nodes" in document else {}
    with pytest.raises(InputError, match=r"the graph has 100,001 (nodes|steps), and at most 100,000 are read"):
        lepton.from_json({"version": 1, "outputs": outputs, **document}, {"image": IMAGE})
