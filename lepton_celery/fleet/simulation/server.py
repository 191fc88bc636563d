"""What all workers share, as queues whose ends are computed: no event is needed for what is first come, first served."""

from __future__ import annotations

from lepton_celery.fleet.simulation.measured import World


class Server:
    """Broker and ledger, which answer one call after the other, and a store with a bandwidth."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls_end = self._transfers_end = 0.0

    def answered(self, now: float, service_s: float) -> float:
        """The time when the server has answered two calls of a worker, which take it `service_s` together."""
        self._calls_end = max(now, self._calls_end) + service_s
        return self._calls_end + 2 * self._world.round_trip_s

    def transferred(self, now: float, size: float) -> float:
        """The time when the store begins to transfer `size` bytes.

        A block's own time includes its transfers, so a worker waits only for those of others.
        """
        begun = max(now, self._transfers_end)
        self._transfers_end = begun + size / self._world.store_bytes_per_s
        return begun
