"""What the catalogue promises: how a split result compares with scikit-image on the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Exactness(StrEnum):
    """How the split result compares with scikit-image on the whole image."""

    IDENTICAL = "identical"
    ULP = "within k ulp"
    APPROXIMATE = "approximate"
    REFUSED = "refused"


@dataclass(frozen=True)
class Promise:
    """What an entry promises of its result, and why it cannot promise more."""

    exactness: Exactness
    ulp: int = 0
    """Largest error of a pixel, in units in the last place of the result's greatest magnitude; 0 for no such bound."""
    bound: float = 0.0
    """Largest mean absolute error of an approximate result, as a share of the result's greatest magnitude."""
    reason: str = ""
    """Why the result is not identical, for the warning that a user gets."""

    def __str__(self) -> str:
        return f"within {self.ulp} ulp" if self.exactness is Exactness.ULP else str(self.exactness)


IDENTICAL = Promise(Exactness.IDENTICAL)


def within(ulp: int, reason: str) -> Promise:
    """A promise that results differ in the last places at most."""
    return Promise(Exactness.ULP, ulp, reason=reason)


def approximate(reason: str, *, bound: float) -> Promise:
    """A promise of a similar picture but not the same pixels; jobs measure how visible the block borders are in it.

    `bound` was measured: no proof shows a larger mean absolute error, as a share of the result's greatest magnitude.
    """
    return Promise(Exactness.APPROXIMATE, bound=bound, reason=reason)
