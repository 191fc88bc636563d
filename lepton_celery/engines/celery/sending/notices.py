"""Sends the notice of a job's end: the tasks that its `on_done` names.

The ledger notes the notice with the end of the job, and the manifest has the tasks, signed with it. Whichever process ends
the job sends them at once; sweepers send what such a process left.

Where the broker is the ledger's own database of Redis, one script publishes the messages and notes that they were sent, so
that none is sent twice, whichever process dies or comes late. Elsewhere they are published and then noted. A process that
dies in between, or takes longer than sweepers wait, has them sent again. Their ids follow from the job and its end, so a
message that is sent twice has the same id twice.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from celery import Celery, chain, group
from celery.canvas import Signature, maybe_signature
from celery.result import denied_join_result
from kombu import Exchange, Queue
from kombu.utils.json import dumps, loads

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.canvas import publishing
from lepton_celery.engines.celery.sending.held import held_for
from lepton_celery.engines.celery.sending.on_done import check_tasks
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.errors import JobNotFound, reason_of
from lepton_celery.execution.manifest import Manifest
from lepton_celery.execution.on_done import OnDone, TaskToSend
from lepton_celery.ledger import JobState, Ledger
from lepton_celery.ledger.notices import Command, Notice
from lepton_celery.text import logger

log = logger(__name__)


def send_notice(app: Celery, ledger: Ledger, settings: Settings, job_id: str) -> None:
    """Send the notice of a job's end, if there is one, and note that it was sent.

    Raises:
        BrokerUnreachable: the broker or the ledger does not answer; the notice is still to be sent.
        LeptonError: another release wrote the job, it is damaged, or none of these keys has signed it.
    """
    held: list[Command] = []
    notice = ledger.notice(job_id)
    if notice is not None:
        try:
            manifest = Manifest.from_json(ledger.manifest(job_id), settings.secret_key, job_id)
        except JobNotFound:
            notice = None
        else:
            if manifest.options.on_done is not None:
                check_tasks(manifest.options.on_done)
                with held_for(ledger.database) as held:
                    _publish(app, manifest.options.on_done, job_id, notice)
    ledger.end_notice(job_id, notice, held)


def try_to_send_notice(app: Celery, ledger: Ledger, settings: Settings, job_id: str) -> bool:
    """Send the notice of a job's end, if there is one; False if this process cannot, so that a sweeper will."""
    try:
        send_notice(app, ledger, settings, job_id)
        return True
    except Exception as error:  # the job has ended all the same, whatever a router or a task of the project raises
        log.warning("job %s: nobody is told of its end yet, a sweeper tries again: %s", job_id, reason_of(error))
        return False


def call_at_once(app: Celery, on_done: OnDone, job_id: str, state: JobState) -> None:
    """Call the tasks in this process, whose application has `task_always_eager`."""
    ids = _ids(job_id, Notice(state, ""), len(on_done.tasks))
    signatures = [_signature(app, task, task_id) for task, task_id in zip(on_done.tasks, ids, strict=True)]
    tasks = chain(*signatures, app=app) if on_done.is_chain else group(signatures, app=app)
    tasks.apply_async((job_id, state.value))


def _publish(app: Celery, on_done: OnDone, job_id: str, notice: Notice) -> None:
    """Publish the tasks through the project's own application, whose routes and task classes count."""
    ids = _ids(job_id, notice, len(on_done.tasks))
    tasks = list(zip(on_done.tasks, ids, strict=True))
    following = [_signature(app, *task) for task in reversed(tasks[1:])] if on_done.is_chain else []
    with publishing(), publisher_of(app).producer_or_acquire() as producer, denied_join_result():
        for task, task_id in tasks[:1] if on_done.is_chain else tasks:
            signature = _signature(app, task, task_id)
            registered: Any = app.tasks.get(task.name)  # the stubs do not know all options
            apply = registered.apply_async if registered is not None else partial(app.send_task, task.name)
            args = signature.args if task.immutable else (job_id, notice.state.value, *signature.args)
            options = signature.options if registered is not None else _elsewhere(signature.options)
            apply(args, signature.kwargs, producer=producer, root_id=ids[0], chain=following or None, **options)


def _signature(app: Celery, task: TaskToSend, task_id: str) -> Signature:
    """A task as Celery knows it; texts that stand for dates become dates again."""
    args, kwargs, options = loads(dumps([task.args, task.kwargs, task.options]))
    for name in ("link", "link_error"):
        if name in options:
            options[name] = [maybe_signature(callback, app=app) for callback in options[name]]
    options = {**options, "task_id": task_id, "serializer": "json"}
    return app.signature(task.name, tuple(args), kwargs, immutable=task.immutable, app=app, options=options)


def _elsewhere(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a task that this application does not have: it does not know how the queue is declared, either."""
    name = options.get("queue")
    if not name:
        return options
    return {**options, "queue": Queue(name, Exchange(""), routing_key=name, no_declare=True)}


def _ids(job_id: str, notice: Notice, count: int) -> list[str]:
    """The ids of the messages."""
    return [str(uuid5(NAMESPACE_OID, f"{job_id} {notice.state} {notice.at} {number}")) for number in range(count)]
