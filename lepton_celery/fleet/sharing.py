"""How workers that size themselves share a change of the slots that they have together.

Each of them sees the same work and the same workers, and would make the whole change. So each makes its part: in proportion
to the slots that it may still start, or stop.
"""

from __future__ import annotations

from collections.abc import Mapping

from lepton_celery.ledger.lanes import ServingWorker


def part_of(change: int, name: str, workers: Mapping[str, ServingWorker], rotation: int) -> int:
    """The part that a worker makes of a change of all slots.

    The parts of all workers add up to the change, or to what they may start or stop if that is less. What cannot be
    divided falls to another worker with each rotation, since one may be kept from its part by the memory of its machine.

    Args:
        change: slots that are to be started; negative if they are to be stopped.
        name: the worker.
        workers: all workers by name.
        rotation: a number that is the same for all workers, and changes now and then.
    """
    rooms = {
        each: worker.most - worker.slots if change > 0 else worker.slots - worker.fewest
        for each, worker in sorted(workers.items())
    }
    order = [each for each, room in rooms.items() if room > 0]
    if name not in order:
        return 0
    first = rotation % len(order)
    order = order[first:] + order[:first]
    before = sum(rooms[each] for each in order[: order.index(name)])
    possible = sum(rooms[each] for each in order)
    shared = min(abs(change), possible)
    part = shared * (before + rooms[name]) // possible - shared * before // possible
    return part if change > 0 else -part
