"""Dataclasses as JSON documents, and files that appear complete or not at all."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from lepton_celery.errors import InputError, StoreError, StoreNotFound
from lepton_celery.grid import BlockIndex
from lepton_celery.stores.documents import check_version, from_document, to_document, write_atomically


class Line(NamedTuple):
    name: str
    seconds: float


@dataclass(frozen=True)
class Inner:
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Outer:
    title: str
    fill: float = 0.0
    blocks: dict[BlockIndex, tuple[Inner, ...]] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    inner: Inner | None = None


def test_a_dataclass_comes_back_equal_through_json_text() -> None:
    item = Outer("a", 1.5, {BlockIndex(3): (Inner((1, 2)),)}, (Line("b", 2.0),), Inner(()))
    assert from_document(json.loads(json.dumps(to_document(item))), Outer, "it") == item


def test_a_fill_value_that_is_no_number_comes_back() -> None:
    found = from_document(json.loads(json.dumps(to_document(Outer("a", float("nan"))))), Outer, "it")
    assert found.fill != found.fill


@pytest.mark.parametrize(
    ("document", "words"),
    [({}, "title"), ({"title": 3}, r"\$\.title"), ({"title": "a", "blocks": {"x": []}}, "blocks"), ([], "array")],
)
def test_a_damaged_document_is_refused_with_the_field(document: object, words: str) -> None:
    with pytest.raises(InputError, match=rf"the outer is damaged: .*{words}"):
        from_document(document, Outer, "the outer")


def test_fields_of_a_later_release_are_ignored() -> None:
    assert from_document({"title": "a", "later": 1}, Outer, "it") == Outer("a")


@pytest.mark.parametrize("document", [{}, {"version": 2}, {"version": "1"}, [], "text"])
def test_another_version_is_refused_with_both_versions(document: object) -> None:
    with pytest.raises(InputError, match=r"the graph has version .*, this release reads version 1; do this"):
        check_version(document, 1, "the graph", "do this")


def test_a_file_appears_complete_and_replaces_the_one_before(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"first")
    write_atomically(tmp_path / "a", b"second", mode=0o600)
    assert (tmp_path / "a").read_bytes() == b"second"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_leaves_the_file_before_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "inside").touch()
    with pytest.raises(StoreError):
        write_atomically(tmp_path / "a", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with pytest.raises(StoreNotFound):
        write_atomically(tmp_path / "none" / "a", b"data")
