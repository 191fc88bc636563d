"""The jobs that a worker process keeps open between messages: their manifests and files."""

from __future__ import annotations

from collections import OrderedDict

from lepton_celery.config import Settings
from lepton_celery.engines.celery.worker.failures import MAX_PIECES
from lepton_celery.errors import InputError, JobError
from lepton_celery.execution.context import Context
from lepton_celery.execution.freed_memory import release_freed_memory
from lepton_celery.execution.manifest import Manifest
from lepton_celery.execution.outputs import discard
from lepton_celery.ledger import JobState, Ledger
from lepton_celery.planning.memory import check_arrays
from lepton_celery.text import logger
from lepton_celery.tracing.ended import export_ended

log = logger(__name__)

MAX_OPEN_JOBS = 2
"""Largest number of jobs that a process keeps open."""
_MAX_OTHERS = 16
"""Largest number of manifests of other jobs that a process keeps, to send their waves."""


class OpenJobs:
    """The jobs that this process used last."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, tuple[Manifest, Context]] = OrderedDict()
        self._others: OrderedDict[str, Manifest] = OrderedDict()

    def open(
        self, ledger: Ledger, settings: Settings, job_id: str, *, check_inputs: bool = True
    ) -> tuple[Manifest, Context]:
        """The manifest and the open files of a job.

        Raises:
            JobNotFound: the ledger does not know the job.
            InputError: an input has changed or a block is too large, if inputs are checked; or a path or a function is not
                allowed here.
        """
        if job_id not in self._jobs:
            release_freed_memory()  # retained for the previous job, whose end this process may not have seen
            manifest = self.manifest(ledger, settings, job_id)
            context = manifest.context(settings.roots, settings.allowed_functions, kernels=settings.kernels)
            if check_inputs:
                manifest.check_inputs(settings.roots)
                check_arrays(manifest.plan, settings.memory_limit_bytes, MAX_PIECES)
            self._jobs[job_id] = manifest, context
            while len(self._jobs) > MAX_OPEN_JOBS:
                self._jobs.popitem(last=False)
        self._jobs.move_to_end(job_id)
        return self._jobs[job_id]

    def manifest(self, ledger: Ledger, settings: Settings, job_id: str) -> Manifest:
        """The manifest of a job, for which no file is used; the errors are those of `open`."""
        if job_id in self._jobs:
            return self._jobs[job_id][0]
        if job_id not in self._others:
            self._others[job_id] = Manifest.from_json(ledger.manifest(job_id), settings.secret_key, job_id)
            while len(self._others) > _MAX_OTHERS:
                self._others.popitem(last=False)
        self._others.move_to_end(job_id)
        return self._others[job_id]

    def close_ended(self, ledger: Ledger, settings: Settings, job_id: str) -> None:
        """Close a job that has ended, and discard its files; a failed job keeps them, so that it can be resumed."""
        try:
            state = ledger.info(job_id).state
        except JobError:  # it is forgotten, or of another release
            return
        export_ended(settings, ledger, job_id)  # whoever ended it may be traced nowhere, or have died
        if state in (JobState.DONE, JobState.CANCELLED):
            try:
                self.discard(ledger, settings, job_id)
            except InputError as error:  # another release wrote it, it is damaged, or outside the allowed folders
                log.warning("job %s: its files are not removed here: %s", job_id, error)
        elif state is JobState.FAILED:
            self._close(job_id)

    def discard(self, ledger: Ledger, settings: Settings, job_id: str) -> None:
        """Discard the parts of a job's outputs, and its workspace."""
        try:
            _, context = self.open(ledger, settings, job_id, check_inputs=False)
        except JobError:
            return
        discard(context)
        self._close(job_id)

    def _close(self, job_id: str) -> None:
        """Close a job, and return the memory that it took."""
        self._jobs.pop(job_id, None)
        release_freed_memory()
