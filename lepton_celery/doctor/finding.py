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
    """Jobs fail, wait for ever, or may give other pixels."""


OK, WARNING, PROBLEM = Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    group: str
    """The heading it stands under: server, settings, workers or files."""
    name: str
    """The name of the check."""
    verdict: Verdict
    found: str
    """What the check saw."""
    advice: str = ""
    """What to change; empty when all is well."""


class Case(NamedTuple):
    """A way in which a check can fail."""

    holds: object
    """Whether the check fails in this way, as any true or false value."""
    verdict: Verdict
    consequence: str = ""
    """What follows; empty if the summary says enough."""
    advice: str = ""
    """What to change, if it is not what the check advises."""


def judge(group: str, name: str, summary: str, advice: str, *cases: Case) -> Finding:
    """The finding of the first case that holds. Without one all is well.

    Args:
        group: the heading of the finding.
        name: the name of the check.
        summary: what the check saw.
        advice: what to change if a case holds.
        cases: the ways in which the check can fail, the most important first.
    """
    case = next((case for case in cases if case.holds), None)
    if case is None:
        return Finding(group, name, OK, summary)
    found = f"{summary}: {case.consequence}" if case.consequence else summary
    return Finding(group, name, case.verdict, found, case.advice or advice)
