"""A job of a user between the request for it and its submission."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path

from lepton_celery.jobs.job import Job
from lepton_celery.jobs.two_steps import PreparedJob


class UserJob:
    """A job that was checked and planned, with an empty folder for its results.

    If it is never sent, as the transaction that stores its id is rolled back, the folder goes with this object.
    """

    def __init__(self, prepared: PreparedJob, folder: Path) -> None:
        self.id = prepared.id
        """The id that the job will have."""
        self._prepared = prepared
        self._unsent = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def send(self) -> Job:
        """Submit the job; see `PreparedJob.send`."""
        job = self._prepared.send()
        self._unsent.detach()
        return job
