"""Findings, and how checks make them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Jobs run, but may be slower than necessary, or be lost when something breaks."""
    PROBLEM = "problem"
    """Jobs fail, wait for ever, or may give other pixels."""


OK, WARNING, PROBLEM = Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    group: str
    """The heading of the finding: server, settings, signing, workers or files."""
    name: str
    """The name of the check."""
    verdict: Verdict
    found: str
    """The facts that the check saw."""
    advice: str = ""
    """The change that helps; empty when all is well."""


class Case(NamedTuple):
    """A way in which a check can fail."""

    holds: object
    """Any value; if it is true, the check fails in this way."""
    verdict: Verdict
    consequence: str = ""
    """The consequence of the facts; empty if it is obvious."""
    advice: str = ""
    """The change that helps, if it differs from the check's advice."""


def judge(group: str, name: str, summary: str, advice: str, *cases: Case) -> Finding:
    """The finding of a check: OK if none of `cases` holds, otherwise that of the first case that does."""
    case = next((case for case in cases if case.holds), None)
    if case is None:
        return Finding(group, name, OK, summary)
    found = f"{summary}: {case.consequence}" if case.consequence else summary
    return Finding(group, name, case.verdict, found, case.advice or advice)
