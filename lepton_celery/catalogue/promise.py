"""How exactly a result computed in blocks equals the source's result on the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Exactness(StrEnum):
    """Classes of exactness."""

    IDENTICAL = "identical"
    ULP = "within k ulp"
    APPROXIMATE = "approximate"
    REFUSED = "refused"


@dataclass(frozen=True)
class Promise:
    """The exactness of an entry's result, and the reason if the result may differ."""

    exactness: Exactness
    ulp: int = 0
    """Largest error of a pixel, in units in the last place (ulp) of the result's greatest magnitude; 0 for no such bound."""
    bound: float = 0.0
    """Largest mean absolute error of an approximate result, as a share of the result's greatest magnitude."""
    period: float = 0.0
    """Multiples of this number by which pixels may differ besides; 0 if they may not."""
    reason: str = ""
    """Why the result may differ, for the warning."""

    def __str__(self) -> str:
        return f"within {self.ulp} ulp" if self.exactness is Exactness.ULP else str(self.exactness)


IDENTICAL = Promise(Exactness.IDENTICAL)


def within(ulp: int, reason: str) -> Promise:
    """A promise that no pixel differs by more than `ulp` units in the last place."""
    return Promise(Exactness.ULP, ulp, reason=reason)


def approximate(reason: str, *, bound: float, period: float = 0.0) -> Promise:
    """A promise of a mean absolute error of at most `bound`, which was measured, apart from multiples of `period`.

    Jobs measure how visible the block borders are in such a result.
    """
    return Promise(Exactness.APPROXIMATE, bound=bound, period=period, reason=reason)
