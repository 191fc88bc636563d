"""What an autoscaler tells of its decisions in the ledger, for `lepton autoscale status`.

The last decision of each autoscaler is kept while the autoscaler runs; those that differ from the one before, or with which
something happened, are in the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lepton_celery.fleet.policy import Decision, Observation
from lepton_celery.ledger import Ledger

_LATE_S = 20.0
"""Seconds by which a decision may be late before its autoscaler is taken to have ended."""
_FORGOTTEN_S = 3600.0
"""Seconds after which an autoscaler that has ended without a word is forgotten."""


class Telling:
    """Tells the decisions of one autoscaler."""

    def __init__(self, ledger: Ledger, name: str, period_s: float) -> None:
        self._ledger, self._name, self._valid_s = ledger, name, 3 * period_s + _LATE_S
        self._told: tuple[object, ...] = ()
        self._events: Sequence[str] = ()

    def tell(
        self, decision: Decision, observation: Observation | None, about: Mapping[str, Any], events: Sequence[str] = ()
    ) -> None:
        """Tell a decision, what was observed, and what was done; `about` is what is to be known of the autoscaler now.

        Raises:
            BrokerUnreachable: the ledger does not answer.
        """
        at = observation.at if observation is not None else self._ledger.clock()
        if not self._told:
            self._ledger.decisions.forget(at - _FORGOTTEN_S)
        said = decision_document(decision, self._name, at, observation, [e for e in events if e not in self._events])
        told = (decision.desired, decision.findings)
        if told != self._told or said["events"]:
            self._ledger.decisions.note(said)
        self._told, self._events = told, events
        self._ledger.decisions.say(self._name, {**said, "until": at + self._valid_s, **about})

    def end(self) -> None:
        """Tell that the autoscaler has ended.

        Raises:
            BrokerUnreachable: the ledger does not answer.
        """
        self._ledger.decisions.say(self._name, None)


def decision_document(
    decision: Decision, name: str, at: float, observation: Observation | None, events: Sequence[str]
) -> dict[str, Any]:
    """A decision of an autoscaler, and what was done, as JSON."""
    return {
        "at": at,
        "by": name,
        "desired": decision.desired,
        "reason": decision.reason,
        "findings": [str(finding) for finding in decision.findings],
        "seen": seen_document(observation) if observation is not None else None,
        "events": [event.partition("\n")[0] for event in events],
    }


def seen_document(observation: Observation) -> dict[str, Any]:
    """What was observed, as JSON."""
    lanes = [
        {
            "lane": load.lane,
            "target_wait_s": load.target_wait_s,
            "blocks": load.blocks,
            "work_s": round(load.work_s, 2),
            "busy_slots": load.busy_slots,
            "oldest_s": round(load.oldest_s, 2),
        }
        for load in observation.lanes
    ]
    return {
        "ready": observation.ready,
        "busy": observation.busy,
        "starting": observation.starting,
        "draining": observation.draining,
        "startup_s": observation.startup_s,
        "lanes": lanes,
    }
