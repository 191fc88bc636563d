"""What is special about the tasks of this package, whatever the settings of the application that runs them."""

from __future__ import annotations

from typing import Any

from celery import Celery, Task
from celery.canvas import Signature

from lepton_celery.engines.celery.sending.publisher import publisher_of

_UNLIMITED_S = 10 * 365 * 24 * 3600
"""The time limit of these tasks if the project limits its tasks: a batch and a merge take as long as they take, and the
setting `block_limit_s` limits blocks."""

_OWN = (
    "Request",
    "serializer",
    "acks_late",
    "acks_on_failure",
    "acks_on_timeout",
    "reject_on_worker_lost",
    "retry_on_worker_lost",
    "ignore_result",
    "store_errors_even_if_ignored",
    "track_started",
    "send_events",
    "max_retries",
    "time_limit",
    "soft_time_limit",
)
"""The options that a project's annotations of all tasks do not change."""


class JobTask(Task[..., Any]):
    """A task whose options are its own; the package's own application counts its chords and sends its retries."""

    Request = "lepton_celery.engines.celery.worker.request:JobRequest"
    serializer = "json"
    # acknowledge messages after the work, so that the broker redelivers those of a worker that dies
    acks_late = True
    # what failed is in the ledger, and the sweeper sends it again
    acks_on_failure = True
    acks_on_timeout = True
    retry_on_worker_lost = False
    # receipts are in the ledger; a stored SUCCESS would make Celery drop redelivered tasks of a chord
    ignore_result = True
    store_errors_even_if_ignored = False
    track_started = False

    @classmethod
    def bind(cls, app: Celery[Any]) -> Any:
        """Take no time limit from the settings of the application, and from ours whether there are events."""
        cls.send_events = "lepton" in app.conf and app.conf["lepton"].task_events
        if app.conf.task_time_limit:
            cls.time_limit = _UNLIMITED_S
        if app.conf.task_soft_time_limit:
            cls.soft_time_limit = _UNLIMITED_S
        return super().bind(app)

    @classmethod
    def annotate(cls) -> None:
        """Take the project's annotations of all tasks (`*`), such as handlers, but none of `_OWN`."""
        own = {name: getattr(cls, name) for name in _OWN}
        super().annotate()
        for name, value in own.items():
            setattr(cls, name, value)

    @property  # type: ignore[misc]  # nobody sets it
    def backend(self) -> Any:
        """The backend that counts chords, which need not be the project's."""
        return publisher_of(self.app).backend

    def signature_from_request(self, request: Any = None, *arguments: Any, **options: Any) -> Signature[Any]:
        """The message of a retry, which goes the way of all messages of jobs."""
        publisher = publisher_of(self.app)
        if publisher is self.app:
            return super().signature_from_request(request, *arguments, **options)
        return publisher.tasks[self.name].signature_from_request(request or self.request, *arguments, **options)
