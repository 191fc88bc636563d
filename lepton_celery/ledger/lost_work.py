"""The moves by which lost blocks and merges are found, by the sweeper and by the checks that it sends through lanes."""

from __future__ import annotations

from typing import Any

from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import entries
from lepton_celery.ledger.info import Losses

LONGEST_CHECK_S = 60.0
"""Longest time, in seconds, between two checks of a lane for one job, of which the first has not been taken yet."""


class LostWork:
    """The part of a `Ledger` with these moves."""

    def _run(self, script: str, job_id: str, *arguments: str | float) -> Any:
        """Run a script on the keys of a job."""
        raise NotImplementedError

    def unreceipted(self, job_id: str, number: StageNumber, *, limit: int, below: Place | None = None) -> list[Place]:
        """The first `limit` places of dispatched blocks without a receipt or a live lease, in ascending order.

        With `below`, the caller took a check: places from there are left out, and those that were released after the check
        was sent, because their new messages are behind it.
        """
        stop = "" if below is None else int(below)
        return entries.split_places(self._run("unreceipted", job_id, number, limit, stop))

    def reclaim(self, job_id: str, number: StageNumber, *, limit: int) -> Losses:
        """Remove up to `limit` expired leases, each an attempt lost.

        Each place is returned to one caller only, which must send the block again. Nobody reports the death of a whole
        worker, so a block whose lease expires for the second time, while its owner held nothing else, counts as a killer.
        """
        lost, killers, done = self._run("reclaim", job_id, number, limit)
        return Losses(entries.split_places(lost), killers, done)

    def end_owner(self, job_id: str, number: StageNumber, *, owner: str, reason: str = "") -> Losses:
        """End the leases of an owner whose process died, on blocks and on the merge. Each of its blocks loses an attempt.

        `reason` is kept for the blocks, if it is known; a block without one may have killed the process.
        """
        lost, killers, done = self._run("end_owner", job_id, number, owner, reason)
        return Losses(entries.split_places(lost), killers, done)

    def duplicate_slow(self, job_id: str, number: StageNumber, *, older_s: float, limit: int) -> list[Place]:
        """Remove live leases that were granted at least `older_s` seconds ago, so that a second worker can claim the blocks.

        Each block is opened once. Its owner goes on, no attempt is lost, and the first receipt counts.
        """
        return entries.split_places(self._run("duplicate_slow", job_id, number, older_s, limit))

    def begin_check(self, job_id: str, number: StageNumber, *, quiet_s: float, busy_s: float) -> Place | None:
        """Note that the caller sends a message through the job's lane to look for lost work: a check.

        A lane gives its messages in the order in which it got them. So when the check is taken, all messages that were sent
        before it are taken too, or lost, and their blocks without a receipt or a lease are to be sent again: those below the
        place that this returns. However long the lane is, that needs no guess at a time.

        Args:
            quiet_s: seconds between two checks of a job to which nothing has happened for as long.
            busy_s: seconds between two checks of another job.

        Returns:
            The place; None if no check is due. Of all callers only one gets the place. While a check has not been taken,
            further ones are due after two, four, eight times as long, since it may be lost itself.
        """
        place = self._run("begin_check", job_id, number, quiet_s, busy_s, LONGEST_CHECK_S)
        return None if place is None else Place(place)

    def end_check(self, job_id: str, number: StageNumber) -> bool:
        """Note that a check was taken; False if the job has ended or left the stage."""
        return bool(self._run("end_check", job_id, number))

    def note_waiting(self, job_id: str, number: StageNumber, reason: str) -> None:
        """Note what a running job waits for; see `JobInfo.waits_for`."""
        self._run("note", job_id, number, reason)

    def postpone_checks(self, job_id: str, number: StageNumber, *, for_s: float) -> None:
        """Have no check made for some seconds, at most a minute, because a message of the job waits for its next try."""
        self._run("postpone", job_id, number, for_s)
