"""Findings, and the tables of checks that make them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

Facts = TypeVar("Facts")


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


class Case(NamedTuple, Generic[Facts]):
    """A way in which a check can fail."""

    verdict: Verdict
    consequence: str = ""
    """What follows from the facts; empty if the check's summary says enough."""
    holds: Callable[[Facts], object] = lambda facts: True
    """Whether the facts are so, as any true or false value."""
    advice: str = ""
    """What to change, if it is not what the check advises."""


class Check(Generic[Facts]):
    """One row of a table: what is looked at, what to change if it is not well, and when that is so."""

    def __init__(
        self,
        name: str,
        summary: Callable[[Facts], str],
        advice: str | Callable[[Facts], str],
        *cases: Case[Facts],
    ) -> None:
        """`summary` says what the facts are; an empty text means that there is nothing to say. The first of `cases` that
        holds makes the finding; without one all is well."""
        self.name, self.summary, self.advice, self.cases = name, summary, advice, cases

    def findings(self, group: str, facts: Facts) -> Iterable[Finding]:
        """The finding about these facts, if there is something to say."""
        if not (summary := self.summary(facts)):
            return
        case = next((case for case in self.cases if case.holds(facts)), Case[Facts](OK))
        advice = case.advice or (self.advice if isinstance(self.advice, str) else self.advice(facts))
        found = f"{summary}: {case.consequence}" if case.consequence else summary
        yield Finding(group, self.name, case.verdict, found, advice if case.verdict is not OK else "")


def run(group: str, checks: Iterable[Check[Facts]], *subjects: Facts) -> list[Finding]:
    """The findings of a table of checks about each subject."""
    return [finding for facts in subjects for check in checks for finding in check.findings(group, facts)]
