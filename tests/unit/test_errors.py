"""The hierarchy of error classes."""

from __future__ import annotations

import builtins
import inspect
import json
import re
from typing import Any

import pytest

from lepton_celery import errors
from lepton_celery.errors import JobError, JobFailed, LeptonError
from lepton_celery.grid import BlockIndex, StageIndex

CLASSES: list[type[LeptonError]] = [
    found for found in vars(errors).values() if inspect.isclass(found) and issubclass(found, LeptonError)
]


def example(cls: type[LeptonError]) -> LeptonError:
    if cls is JobFailed:
        return JobFailed("it broke", "job1", StageIndex(2), BlockIndex(30))
    return cls("it broke", "job1") if issubclass(cls, JobError) else cls("it broke")


def fields_of(error: LeptonError) -> dict[str, Any]:
    return {name: getattr(error, name, None) for name in ("job_id", "stage", "block")}


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_comes_back_whole_from_its_args(cls: type[LeptonError]) -> None:
    error = example(cls)
    again = cls(*json.loads(json.dumps(error.args)))
    assert (type(again), again.args, str(again), fields_of(again)) == (cls, error.args, "it broke", fields_of(error))


def test_a_failed_jobs_error_carries_what_failed() -> None:
    error = JobFailed("block 30 failed", "job1", StageIndex(2), BlockIndex(30))
    assert (error.job_id, error.stage, error.block) == ("job1", 2, 30)
    assert (JobFailed("x").stage, JobFailed("x").block, JobFailed("x").job_id) == (-1, -1, "")


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("caf\udce9"), "ValueError: caf\\udce9"),
        (LeptonError("half \ud83d of a pair"), "half \\ud83d of a pair"),
        (OSError(2, "nothing", "caf\udce9"), "FileNotFoundError: [Errno 2] nothing: 'caf\\udce9'"),
        (Broken(), "Broken: <Broken>"),
        (ValueError("naïve 😀"), "ValueError: naïve 😀"),
    ],
)
def test_the_reason_of_any_error_can_be_stored(error: Exception, reason: str) -> None:
    assert errors.reason_of(error) == reason
    error.add_note("of \udce9")
    assert errors.reason_of(error).encode().decode() == f"{reason}; of \\udce9"


def test_the_middle_of_a_long_reason_is_left_out() -> None:
    reason = errors.reason_of(ValueError("a" * 10**6 + "end"))
    assert len(reason) < 4000
    assert reason.startswith("ValueError: aaa") and reason.endswith("aend") and "characters)" in reason


def depth(cls: type[LeptonError]) -> int:
    return 0 if cls is LeptonError else 1 + depth(next(b for b in cls.__bases__ if issubclass(b, LeptonError)))


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    lines = re.findall(r"^( *)- `(\w+)`(.*)$", errors.__doc__ or "", re.MULTILINE)
    assert [name for _, name, _ in lines] == [cls.__name__ for cls in CLASSES]
    for (indent, _, more), cls in zip(lines, CLASSES, strict=True):
        assert len(indent) // 4 == depth(cls)
        named = set(re.findall(r"\b[A-Z]\w*Error\b", more.partition(":")[0]))
        own = {base.__name__ for base in cls.__bases__ if hasattr(builtins, base.__name__)} - {"Exception"}
        assert named == own, cls


def test_every_class_has_a_docstring_and_derives_from_a_built_in_exception() -> None:
    for cls in CLASSES:
        assert cls.__doc__
        if cls is not LeptonError:
            assert any(issubclass(cls, builtin) for builtin in (ValueError, OSError, RuntimeError)), cls


def test_exit_codes_distinguish_kinds_of_failure() -> None:
    codes = {cls.__name__: cls.exit_code for cls in CLASSES}
    assert set(codes.values()) == set(range(1, 10))
    kinds = (
        "LeptonError InputError StoreError BrokerUnreachable JobFailed JobCancelled WaitTimeout JobNotFound JobError"
    )
    assert [codes[name] for name in kinds.split()] == list(range(1, 10))
