"""Takes the signature that a submitter gives as `on_done` apart into plain data, and refuses what cannot be sent later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery
from celery.canvas import Signature
from celery.exceptions import QueueNotFound
from kombu import Queue
from kombu.exceptions import EncodeError
from kombu.utils.json import dumps

from lepton_celery.engines.celery.sending.queues import JOB_QUEUES
from lepton_celery.errors import InputError
from lepton_celery.execution.on_done import OnDone, TaskToSend
from lepton_celery.limits import MAX_MESSAGE_BYTES

_DESTINATION = ("queue", "exchange", "routing_key")

_OPTIONS = frozenset(
    {
        *_DESTINATION,
        "countdown",
        "delivery_mode",
        "eta",
        "expires",
        "headers",
        "ignore_result",
        "link",
        "link_error",
        "priority",
        "retry",
        "retry_policy",
        "serializer",
        "shadow",
        "soft_time_limit",
        "time_limit",
    }
)
"""Options of a signature that keep their meaning when it is sent later, by another process."""

_MAX_TASKS = 100
"""Largest number of tasks of `on_done`."""


def on_done_of(signature: object, app: Celery) -> OnDone:
    """The tasks of a signature: of one task, a chain of tasks, or a group of tasks.

    Each gets the queue that the routes of the application name for it now, so that a worker without them can send it.

    Raises:
        InputError: it is something else, is not JSON, or would be sent to workers that do not take it.
    """
    if not isinstance(signature, Signature):
        hint = ", such as task.s()" if callable(signature) else ""
        raise InputError(f"on_done is {signature!r}; give a Celery signature{hint or ', such as notify.s()'}")
    document = _to_json(signature)
    kind = document.get("subtask_type")
    if kind not in (None, "chain", "group"):
        raise InputError(
            f"on_done is a {kind}, whose results could not be counted when it is sent by whichever process ends the job; "
            f"give the signature of a task of your own that starts the {kind}"
        )
    parts = document["kwargs"]["tasks"] if kind else [document]
    if not parts or len(parts) > _MAX_TASKS:
        raise InputError(f"on_done has {len(parts)} tasks; give 1 to {_MAX_TASKS}")
    shared = document["options"] if kind else {}
    on_done = OnDone(
        tuple(
            _task(part, _shared(shared, kind, is_first=part is parts[0], is_last=part is parts[-1]), app)
            for part in parts
        ),
        is_chain=kind == "chain",
    )
    check_tasks(on_done)
    for task in on_done.tasks[:1] if on_done.is_chain else on_done.tasks:
        _check_arguments(task, app)
    return on_done


def check_tasks(on_done: OnDone) -> None:
    """Refuse tasks and queues that are not the project's.

    Raises:
        InputError: the message says which.
    """
    for task in on_done.tasks:
        if task.name.startswith(("celery.", "lepton.")):
            raise InputError(
                f"on_done names the task {task.name}, which is none of your own; give a task of your project"
            )
        if taken := {str(task.options.get(name)) for name in ("queue", "routing_key")} & set(JOB_QUEUES):
            raise InputError(
                f"the task {task.name} of on_done would go to the queue {min(taken)}, whose workers take "
                "messages of jobs only; name a queue of your own: with task_routes, or on_done=task.s().set(queue='mail')"
            )
        if unknown := sorted(task.options.keys() - _OPTIONS):
            raise InputError(
                f"the task {task.name} of on_done has the option {', '.join(unknown)}, which cannot be kept until the job "
                "has ended; give a signature that was neither frozen nor taken from a chord"
            )
        if task.options.get("serializer", "json") != "json":
            raise InputError(
                f"the task {task.name} of on_done has the serializer {task.options['serializer']!r}; it is sent as JSON"
            )


def _to_json(signature: Signature) -> dict[str, Any]:
    """The signature as JSON values: dates and the like as kombu writes them."""
    try:
        text = dumps(signature)
    except (TypeError, ValueError, EncodeError) as error:
        raise InputError(
            f"on_done cannot be sent as JSON ({error}); give numbers, texts, lists and dicts as arguments, such as ids"
        ) from error
    if len(text) > MAX_MESSAGE_BYTES:
        raise InputError(
            f"on_done has {len(text):,} bytes as JSON, and at most {MAX_MESSAGE_BYTES:,} are kept; give an id instead"
        )
    document: dict[str, Any] = json.loads(text)
    return document


def _shared(options: Mapping[str, Any], kind: str | None, *, is_first: bool, is_last: bool) -> dict[str, Any]:
    """The options of a chain or a group that its tasks take: as in Celery, a chain's `link` follows its last task, errors of
    all its tasks are told, and the other options are those of its first task."""
    if kind != "chain":
        return dict(options)
    return {
        name: value
        for name, value in options.items()
        if name == "link_error" or (is_last if name == "link" else is_first)
    }


def _task(part: Mapping[str, Any], shared: Mapping[str, Any], app: Celery) -> TaskToSend:
    kind = part.get("subtask_type")
    if kind is not None:
        raise InputError(
            f"on_done has a {kind} within a chain or a group; give one task, a chain of tasks or a group of tasks, or a "
            "task of your own that starts the rest"
        )
    options = {**shared, **part["options"]}
    for name in ("link", "link_error"):
        callbacks = [*_listed(part["options"].get(name)), *_listed(shared.get(name))]
        if callbacks:
            options[name] = callbacks
    name, args, kwargs = part["task"], list(part["args"]), dict(part["kwargs"])
    if not any(options.get(key) for key in _DESTINATION):
        options |= _destination(app, name, args, kwargs, options)
    return TaskToSend(name, args, kwargs, options, bool(part["immutable"]))


def _listed(callbacks: Any) -> Sequence[Any]:
    return callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []


def _destination(
    app: Celery, name: str, args: list[Any], kwargs: dict[str, Any], options: Mapping[str, Any]
) -> dict[str, str]:
    """Where the application would send a task now."""
    task: Any = app.tasks.get(name)  # its class for the stubs, the task itself for routers
    given = {key: value for key in _DESTINATION if (value := getattr(task, key, None))}
    try:
        route = app.amqp.router.route({**given, **options}, name, tuple(args), kwargs, task)
    except QueueNotFound as error:
        raise InputError(
            f"the task {name} of on_done has no queue: {error}; correct task_routes or task_queues"
        ) from error
    queue = route.get("queue")
    if isinstance(queue, Queue):
        return {"queue": queue.name}
    return {key: route[key] for key in _DESTINATION if isinstance(route.get(key), str) and route[key]}


def _check_arguments(task: TaskToSend, app: Celery) -> None:
    """Refuse arguments that the task does not take, as Celery does when a task is called."""
    registered: Any = app.tasks.get(task.name)
    if registered is None:
        if app.conf.task_always_eager:
            raise InputError(
                f"on_done names the task {task.name!r}, which this application does not have, and task_always_eager has it "
                "called here; import the module that defines it"
            )
        return
    if not registered.typing:
        return
    args = task.args if task.immutable else ["<job id>", "<state>", *task.args]
    try:
        registered.__header__(*args, **task.kwargs)
    except TypeError as error:
        raise InputError(
            f"the task {task.name} of on_done does not take these arguments ({error}): it is called with the job's id and "
            "its state, then with those of the signature; task.si() makes one that takes only its own"
        ) from error
