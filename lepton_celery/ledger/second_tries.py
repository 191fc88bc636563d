"""The moves by which people have work tried again that was given up."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from lepton_celery.grid import Place
from lepton_celery.ledger import entries

Refusal = Literal["", "ended", "none", "merging", "publishing"]


class ReopenedBlocks(NamedTuple):
    """Filled blocks that are to be done after all."""

    places: list[Place]
    refusal: Refusal
    """Why there are none: the job has ended, no block of its stage was filled, a merge of the stage was begun and may have
    read them, or the outputs are being published. Empty if there are some."""


class SecondTries:
    """The part of a `Ledger` with these moves."""

    def _run(self, script: str, job_id: str, *arguments: str | float) -> Any:
        """Run a script on the keys of a job."""
        raise NotImplementedError

    def _call(self, script: str, job_id: str, *arguments: str | float) -> Any:
        """Run a script that recognizes a retry of the same call."""
        raise NotImplementedError

    def retry_filled(self, job_id: str) -> ReopenedBlocks:
        """Take back the receipts of the filled blocks of an open job's stage, and count their attempts anew.

        The caller sends the blocks; if it dies before, they are found as all work that was lost. It is exact only as long
        as nothing has used the blocks, so it is refused once a merge of the stage was begun.
        """
        is_done, answer = self._call("retry_filled", job_id)
        return ReopenedBlocks(entries.split_places(answer), "") if is_done else ReopenedBlocks([], answer)

    def note_successor(self, job_id: str, successor: str, *, instead_of: str) -> str:
        """Note the job that does an ended one again; of several callers, the first one does.

        Args:
            job_id: the ended job.
            successor: the new job.
            instead_of: what `JobInfo.retried_as` of the ended job was when the caller looked.

        Returns:
            The id of the job that is noted now; empty if the ended job is not known.
        """
        return str(self._run("note_successor", job_id, successor, instead_of))
