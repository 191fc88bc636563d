"""What happened lately, as a decision needs it: the slots that were idle, were needed, and worked for each lane.

It is kept in at most `_SPANS` spans of time, so that the state has the same size however often the policy is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from lepton_celery.fleet.load import LaneLoad

_LEAST_S = 60.0
"""Shortest time over which what arrives is averaged."""
_SPANS = 16
"""Number of spans into which the time that is looked back on is divided."""


@dataclass(frozen=True, slots=True)
class Span:
    """What was observed within a part of the time."""

    since: float
    until: float
    needed: int
    """The largest need."""
    idle_s: float
    """Seconds that slots were idle, summed over the slots."""
    busy_s: Mapping[str, float]
    """Seconds that slots worked for each lane, summed over the slots."""

    @property
    def seconds(self) -> float:
        """The length of the span."""
        return self.until - self.since


@dataclass(frozen=True, slots=True)
class Recent:
    """The spans since the number of slots last changed, but none that ended before the time that is looked back on."""

    since: float = 0.0
    """When slots were last stopped or ordered ones came, or when the observations began."""
    stopped_at: float | None = None
    """When slots were last stopped; None if none were."""
    spans: tuple[Span, ...] = field(default=())
    offered: Mapping[str, float] = field(default_factory=dict)
    """Seconds of work that arrive in each lane in a second, averaged over its target wait: the slots that it keeps busy."""
    work_s: Mapping[str, float] = field(default_factory=dict)
    """Outstanding work of each lane when it was last observed."""

    def noted(
        self, at: float, *, needed: int, idle: int, busy: Mapping[str, int], for_s: float, hold_s: float
    ) -> Recent:
        """With an observation, whose numbers have held for `for_s` seconds; `hold_s` is the time that is looked back on."""
        kept = tuple(span for span in self.spans if span.until > at - hold_s)
        new = Span(at - for_s, at, needed, idle * for_s, {lane: slots * for_s for lane, slots in busy.items()})
        if kept and at - kept[-1].since <= hold_s / _SPANS:
            kept, new = kept[:-1], _joined(kept[-1], new)
        return replace(self, spans=(*kept, new))

    def arrived(self, loads: Iterable[LaneLoad], for_s: float) -> Recent:
        """With the work of each lane after `for_s` seconds: what has arrived is what there is more, and what was done."""
        loads = tuple(loads)
        offered = dict(self.offered)
        for load in loads:
            before_s = self.work_s.get(load.lane, load.work_s)
            if for_s:
                now = max(0.0, (load.work_s - before_s) / for_s + load.busy_slots)
                kept = math.exp(-for_s / max(load.target_wait_s, _LEAST_S))
                offered[load.lane] = now + kept * (offered.get(load.lane, load.busy_slots) - now)
            else:
                offered.setdefault(load.lane, float(load.busy_slots))
        return replace(self, offered=offered, work_s={load.lane: load.work_s for load in loads})

    def changed(self, at: float, by: int, startup_s: float) -> Recent:
        """After slots were stopped or ordered: what was idle before says nothing about those that are there now.

        Args:
            at: the time.
            by: the number of slots that were ordered; negative for those that were stopped.
            startup_s: the seconds until ordered slots take work; only then they may be idle.
        """
        spans = tuple(replace(span, idle_s=0.0) for span in self.spans)
        if by < 0:
            return replace(self, since=at, stopped_at=at, spans=spans)
        return replace(self, since=at + startup_s, spans=spans)

    def stopped_within(self, seconds: float, at: float) -> bool:
        """Whether slots were stopped in the last seconds."""
        return self.stopped_at is not None and at - self.stopped_at < seconds

    @property
    def needed(self) -> int:
        """The largest need."""
        return max((span.needed for span in self.spans), default=0)

    def idle(self, hold_s: float, at: float) -> float:
        """Slots that were idle on average; 0 if less than `hold_s` seconds have passed since the last change."""
        seconds = sum(span.seconds for span in self.spans)
        if at - self.since < hold_s or not seconds:
            return 0.0
        return sum(span.idle_s for span in self.spans) / seconds

    def busy(self, now: Mapping[str, int]) -> dict[str, float]:
        """Slots that worked for each lane on average; `now` is used where nothing was observed before."""
        seconds = sum(span.seconds for span in self.spans)
        if not seconds:
            return {lane: float(slots) for lane, slots in now.items()}
        return {lane: sum(span.busy_s.get(lane, 0.0) for span in self.spans) / seconds for lane in now}


def _joined(one: Span, other: Span) -> Span:
    lanes = {*one.busy_s, *other.busy_s}
    return Span(
        one.since,
        other.until,
        max(one.needed, other.needed),
        one.idle_s + other.idle_s,
        {lane: one.busy_s.get(lane, 0.0) + other.busy_s.get(lane, 0.0) for lane in lanes},
    )
