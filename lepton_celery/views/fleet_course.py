"""The course of the fleet: depth and waits of its lanes, and its slots, whenever an autoscaler noted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_celery.ledger import Ledger
from lepton_celery.ledger.decisions import KEPT
from lepton_celery.priority import LANES
from lepton_celery.views.outside import count, dictionaries, dictionary, moment


@dataclass(frozen=True, slots=True)
class LaneCourse:
    """The course of a lane, with a value for each moment; None where nobody looked at the lane."""

    lane: str
    blocks: tuple[int | None, ...]
    """Blocks of the open stages that were not done."""
    oldest_s: tuple[float | None, ...]
    """Seconds for which the oldest waiting work had waited."""


@dataclass(frozen=True, slots=True)
class FleetCourse:
    """The course of the fleet, with a value for each moment; None for what is not known."""

    times: tuple[float, ...]
    """The moments at which an autoscaler noted a decision, at most 500, in seconds since the epoch."""
    lanes: tuple[LaneCourse, ...]
    """The most urgent lane first."""
    ready: tuple[int | None, ...]
    """Slots that there were."""
    busy: tuple[int | None, ...]
    desired: tuple[int | None, ...]
    """Slots that the autoscaler wanted, which may be one of several."""


def fleet_course(ledger: Ledger) -> FleetCourse:
    """The course of the fleet, as far as the history of decisions reaches.

    Raises:
        BrokerUnreachable: the ledger does not answer.
    """
    noted = sorted(ledger.decisions.last(KEPT), key=lambda one: moment(one.get("at")))
    noted = [one for one in noted if moment(one.get("at"))]
    seen = [dictionary(one.get("seen")) for one in noted]
    lanes = [{str(load.get("lane")): load for load in dictionaries(one.get("lanes"))} for one in seen]
    return FleetCourse(
        times=tuple(moment(one.get("at")) for one in noted),
        lanes=tuple(_lane(lane, lanes) for lane in LANES if any(lane in one for one in lanes)),
        ready=tuple(count(one.get("ready")) for one in seen),
        busy=tuple(count(one.get("busy")) for one in seen),
        desired=tuple(count(one.get("desired")) for one in noted),
    )


def _lane(lane: str, seen: Sequence[Mapping[str, dict[str, Any]]]) -> LaneCourse:
    loads = [one.get(lane) for one in seen]
    return LaneCourse(
        lane,
        tuple(None if load is None else count(load.get("blocks")) for load in loads),
        tuple(None if load is None else moment(load.get("oldest_s")) for load in loads),
    )
