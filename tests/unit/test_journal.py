"""The journal beside the outputs of an unfinished job, also after its writer was killed in the middle of a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from lepton_celery.errors import JobNotFound, StoreError, StoreNotFound
from lepton_celery.grid import Place, StageNumber
from lepton_celery.stores.journal import MANIFEST, Journal


def places(numbers: Iterable[int]) -> list[Place]:
    return list(map(Place, numbers))


def test_receipts_are_read_back_by_stage(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.begin({"a": [1, 2]})
    assert journal.read_manifest() == {"a": [1, 2]}
    assert journal.stage(3) is None
    journal.log_stage(StageNumber(0))
    journal.log_receipts(StageNumber(0), places([3, 1]))
    journal.log_receipts(StageNumber(0), places(range(7, 9)))
    journal.log_stage(StageNumber(1))
    journal.log_receipts(StageNumber(1), places([5]))
    assert journal.stage(3) == 1
    assert journal.receipts(StageNumber(0)) == [1, 3, 7, 8]
    assert journal.receipts(StageNumber(1)) == [5]
    assert journal.receipts(StageNumber(2)) == []


def test_rounds_of_a_stage_come_before_the_next_stage(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number, latest in ((0, 0), (1, 1), (4, 4), (7, 7), (2, 2)):  # stage 1 of three stages takes three rounds
        journal.log_stage(StageNumber(number))
        assert journal.stage(3) == latest


def test_a_truncated_line_is_ignored(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.log_receipts(StageNumber(0), places([1, 2]))
    (written,) = (tmp_path / "receipts" / "0").iterdir()
    with written.open("a") as file:
        file.write("3 4")
    (tmp_path / "receipts" / "0" / "another").write_text("9\n1")
    assert journal.receipts(StageNumber(0)) == [1, 2, 9]


def test_receipts_of_an_ended_job_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        Journal(tmp_path / "gone").log_receipts(StageNumber(0), places([1]))
    assert list(tmp_path.iterdir()) == []


def test_missing_and_damaged_manifests_give_different_errors(tmp_path: Path) -> None:
    with pytest.raises(JobNotFound, match="no job that could be resumed"):
        Journal(tmp_path).read_manifest()
    (tmp_path / MANIFEST).write_text('{"a": ')
    with pytest.raises(StoreError, match="is damaged"):
        Journal(tmp_path).read_manifest()
