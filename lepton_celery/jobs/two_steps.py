"""`lepton.prepare`: a job whose id is known at once, and which is sent later: when a database transaction commits."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Unpack

from celery import Celery

from lepton_celery import stores
from lepton_celery.engines.celery.app import settings_of
from lepton_celery.errors import InputError
from lepton_celery.graph.nodes import Node
from lepton_celery.jobs.eager import is_eager, run_at_once
from lepton_celery.jobs.find import current_app
from lepton_celery.jobs.job import Job
from lepton_celery.jobs.prepare import Prepared
from lepton_celery.jobs.quotas import check_quotas
from lepton_celery.jobs.submit import JobKeywords, prepare_for_workers, send
from lepton_celery.jobs.unserved import warn_if_unserved
from lepton_celery.ledger import open_ledger
from lepton_celery.log_fields import about
from lepton_celery.tracing.work import submission


def prepare(outputs: Mapping[str, Node], *, app: Celery | None = None, **options: Unpack[JobKeywords]) -> PreparedJob:
    """Check and plan a job, and write nothing: `send` submits it, once what refers to its id is stored.

    With Django, within a transaction: `job = lepton.prepare(…)`, store `job.id`, then `transaction.on_commit(job.send)`. If
    the transaction is rolled back, nothing is left of the job.

    Args:
        outputs, app, options: as for `submit`.

    Raises:
        InputError, StoreError, QueueFull, BrokerUnreachable: as `submit`; the job would be refused.
    """
    app = app or current_app()
    prepared = prepare_for_workers(app, outputs, options)
    if not is_eager(app):
        settings = settings_of(app)
        check_quotas(prepared.manifest.options, open_ledger(settings.ledger), settings)
    return PreparedJob(app, prepared)


class PreparedJob:
    """A job that was checked and planned, and of which nobody knows but this process until `send`."""

    def __init__(self, app: Celery, prepared: Prepared) -> None:
        self.id = prepared.manifest.job_id
        """The id that the job will have."""
        self._app, self._prepared = app, prepared
        self._job: Job | None = None
        self._has_failed = False
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<PreparedJob {self.id}, {'not sent' if self._job is None else 'sent'}>"

    @property
    def predicted_s(self) -> float:
        """Seconds that the job will take, as planned; NaN if that is not known."""
        return self._prepared.manifest.plan.predicted_s

    def send(self) -> Job:
        """Submit the job, as `lepton.submit` does. If it was sent before, this only returns it.

        Raises:
            InputError: an input has changed since the job was prepared.
            StoreError: an output exists by now, or cannot be written.
            QueueFull: the tenant has submitted too many other jobs meanwhile.
            BrokerUnreachable: no broker answers; nothing was submitted, and `send` may be tried again.
        """
        with self._lock:
            if self._job is None:
                self._check()
                if is_eager(self._app):
                    self._job = run_at_once(self._app, self._prepared)
                else:
                    self._job = self._submit()
            return self._job

    def _check(self) -> None:
        """Refuse what has changed since the job was prepared. The inputs that are files are checked when the job is sent."""
        manifest = self._prepared.manifest
        for node, array in self._prepared.arrays.items():
            if stores.content_identity(array) != manifest.inputs[f"array {node}"]:
                raise InputError(
                    f"an array of {array.shape} pixels that is an input of job {self.id} has changed since the job was "
                    "prepared; prepare the job again, or give a copy"
                )
        for path in manifest.output_paths():
            stores.check_output(path, overwrite=manifest.options.overwrite, roots=self._prepared.roots)
        manifest.check_inputs(tuple(self._prepared.roots))

    def _submit(self) -> Job:
        settings = settings_of(self._app)
        ledger, options = open_ledger(settings.ledger), self._prepared.manifest.options
        if self._has_failed:  # the ledger may not have answered when the job was to be forgotten
            ledger.forget(self.id)
        warn_if_unserved(ledger, options.lane)
        try:
            with submission(settings) as span, about(job=self.id):
                send(self._prepared, self._app, ledger, settings)
                span.note(**{"job.id": self.id})
        except BaseException:
            self._has_failed = True
            raise
        return Job(self.id, ledger, settings.secret_key, settings.roots, self._app)
