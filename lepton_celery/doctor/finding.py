"""Findings, and how checks make them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Jobs run, but slower than they could, or an accident may lose them."""
    PROBLEM = "problem"
    """Jobs fail, wait without end, or may give other pixels."""


OK, WARNING, PROBLEM = Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    group: str
    """The heading of the finding: server, settings, workers or files."""
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
    """Whether the check fails in this way, as any true or false value."""
    verdict: Verdict
    consequence: str = ""
    """The consequence of the facts; empty if the facts say enough."""
    advice: str = ""
    """The change that helps, if it is another than the check's."""


def judge(group: str, name: str, summary: str, advice: str, *cases: Case) -> Finding:
    """The finding of the first case that holds. Without one all is well.

    Args:
        group: the heading of the finding.
        name: the name of the check.
        summary: the facts that the check saw.
        advice: the change that helps if a case holds.
        cases: the ways in which the check can fail, the most important first.
    """
    case = next((case for case in cases if case.holds), None)
    if case is None:
        return Finding(group, name, OK, summary)
    found = f"{summary}: {case.consequence}" if case.consequence else summary
    return Finding(group, name, case.verdict, found, case.advice or advice)
