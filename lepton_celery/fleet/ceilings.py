"""How many slots memory and processors have room for."""

from __future__ import annotations

from lepton_celery.fleet.load import Observation, Resource


def memory_ceiling(observation: Observation, slots_per_worker: int) -> int | None:
    """The most slots of whole workers that fit into memory, which may be fewer than there are; None if that is not known."""
    return _ceiling(observation, observation.memory, slots_per_worker)


def processor_ceiling(observation: Observation, slots_per_worker: int) -> int | None:
    """The most slots that the processors have work for, but not fewer than there are; None if that is not known.

    Slots in excess only make each other slower, so the present ones stay.
    """
    ceiling = _ceiling(observation, observation.processors, slots_per_worker)
    return None if ceiling is None else max(ceiling, observation.present)


def _ceiling(observation: Observation, resource: Resource | None, slots_per_worker: int) -> int | None:
    present = observation.present
    room = resource.room(present - observation.busy) if resource is not None else None
    return None if room is None else max(0, present + room) // slots_per_worker * slots_per_worker
