"""What one check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Jobs run, and may run worse than they could or be lost in an accident."""
    PROBLEM = "problem"
    """Jobs fail, wait for ever, or may give other pixels."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    group: str
    """What it is about, as a heading: server, settings, workers, files."""
    name: str
    """The check."""
    verdict: Verdict
    found: str
    """What is so."""
    advice: str = ""
    """What to change; empty when nothing needs to."""


def ok(group: str, name: str, found: str) -> Finding:
    """All is well."""
    return Finding(group, name, Verdict.OK, found)


def warning(group: str, name: str, found: str, advice: str) -> Finding:
    """It works, and should be changed."""
    return Finding(group, name, Verdict.WARNING, found, advice)


def problem(group: str, name: str, found: str, advice: str) -> Finding:
    """It must be changed."""
    return Finding(group, name, Verdict.PROBLEM, found, advice)


def count(findings: Iterable[Finding], verdict: Verdict) -> int:
    """How many findings have this verdict."""
    return sum(finding.verdict is verdict for finding in findings)
