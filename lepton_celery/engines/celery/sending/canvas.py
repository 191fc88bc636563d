"""Split → process → merge as Celery canvas: chords of batches, in waves that overlap.

    wave 0   process_batch × n ─┐
    wave 1   process_batch × n ─┤ close_wave: send the lane's next waves
    …                          ─┘

The batch that commits the last receipt of a stage merges the stage at once; `close_wave` also checks whether a merge is
left to do. A stage of one wave needs no `close_wave`, and is sent as a group.

A message carries the job's id, the stage's number and the places of its blocks, so its size does not depend on the job's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import AMQPError
from celery import Celery, chord, group
from celery.canvas import Signature
from kombu import Queue
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.messages import short_id
from lepton_celery.engines.celery.sending.publisher import publisher_of
from lepton_celery.engines.celery.sending.queues import control_queue_of
from lepton_celery.engines.celery.sending.urgent import urgent_options
from lepton_celery.errors import BrokerUnreachable
from lepton_celery.grid import Place
from lepton_celery.ledger import JobInfo, Ledger
from lepton_celery.planning.batches import batches, format_places
from lepton_celery.planning.plan import Plan
from lepton_celery.priority import queue_of
from lepton_celery.signing import signature_of
from lepton_celery.tracing.messages import sent_by

PROCESS = "lepton.process"
"""Name of the task that does a batch."""
CLOSE = "lepton.close"
"""Name of the task that ends a wave, and of the check that finds lost messages."""
TIDY = "lepton.tidy"
"""Name of the task that discards the files of ended jobs and forgets the jobs."""

SIGNED = "~"
"""The first character of a message's last argument if that is its signature; no other argument begins so."""

RESENT_BATCHES = 48
"""Largest number of batches that are sent again at a time."""
_TEXT_CHARS = 24
"""Longest text for the places of a batch in Flower, in characters."""


def process_signature(app: Celery, info: JobInfo, places: Sequence[Place]) -> Signature:
    """The message for one batch."""
    text = format_places(places)
    shown = text if len(text) <= _TEXT_CHARS else f"{text[: _TEXT_CHARS - 4]} ..."
    what = f"job {info.job_id} stage {info.stage_label} blocks {shown}"
    return _signature(app, PROCESS, (info.job_id, info.stage, text), queue_of(info.lane), what)


def close_signature(app: Celery, info: JobInfo) -> Signature:
    """The message that ends a wave, and has a worker check whether the stage can be merged."""
    what = f"job {info.job_id} stage {info.stage_label} close wave"
    return _signature(app, CLOSE, (info.job_id, info.stage), control_queue_of(info.lane), what)


def check_signature(app: Celery, info: JobInfo, below: Place) -> Signature:
    """The message that finds out whether messages of blocks below a place were lost; see `Ledger.begin_check`."""
    what = f"job {info.job_id} stage {info.stage_label} check"
    return _signature(app, CLOSE, (info.job_id, info.stage, below), queue_of(info.lane), what)


def _signature(app: Celery, task: str, args: tuple[Any, ...], queue: str, what: str) -> Signature:
    """A message on a queue of jobs; Flower shows `what` in place of the arguments."""
    options = {
        "queue": queue,
        "task_id": short_id(),
        "ignore_result": True,
        "argsrepr": what,
        "kwargsrepr": "",
    }
    settings: Settings = app.conf["lepton"]
    return app.signature(task, args=signed_args(task, args, settings), immutable=True, app=app, options=options)


def signed_args(task: str, args: tuple[Any, ...], settings: Settings) -> tuple[Any, ...]:
    """The arguments of a message, with a signature as the last one if there are secret keys."""
    keys = settings.secret_key
    return (*args, f"{SIGNED}{signature_of(args, task, keys)}") if keys else args


def _urgent(message: Signature) -> Signature:
    """The message, which is taken before those that wait in its queue."""
    return message.set(**urgent_options(message.app.conf["lepton"].broker_url))


def send_wave(
    app: Celery, info: JobInfo, wave: Sequence[Sequence[Place]], *, closed: bool = True, urgent: bool = False
) -> None:
    """Publish the batches of a wave: as a chord that ends with `close_wave` if `closed`, else as a group.

    A single batch is sent as a plain task. Urgent ones are taken before the messages that wait in the lane.
    """
    publisher = publisher_of(app)
    header = [process_signature(publisher, info, batch) for batch in wave]
    if urgent:
        header = [_urgent(message) for message in header]
    with publishing(), sent_by(app.conf["lepton"], info):
        if len(header) == 1:
            header[0].apply_async()
        elif closed:
            # this becomes the id of the chord's group, which every message carries
            chord(header, close_signature(publisher, info), app=publisher, task_id=short_id()).apply_async()
        elif header:
            group(header, app=publisher).apply_async()


def send_alone(app: Celery, info: JobInfo, places: Iterable[Place]) -> None:
    """Publish each block in a message of its own, so that a block that kills its worker affects no others."""
    send_wave(app, info, [[place] for place in places])


def send_taken_over(app: Celery, info: JobInfo, places: Iterable[Place]) -> None:
    """Publish blocks that others took from a worker, each alone, before the messages that wait in the lane."""
    send_wave(app, info, [[place] for place in places], closed=False, urgent=True)


def send_merge(app: Celery, info: JobInfo) -> None:
    """Ask a worker to check whether the stage can be merged, before all messages that wait in the queue."""
    with publishing(), sent_by(app.conf["lepton"], info):
        _urgent(close_signature(publisher_of(app), info)).apply_async()


def send_check(app: Celery, info: JobInfo, below: Place) -> None:
    """Publish a check, behind all messages that wait in the lane."""
    with publishing(), sent_by(app.conf["lepton"], info):
        check_signature(publisher_of(app), info, below).apply_async()


def send_tidy(app: Celery, job_ids: Sequence[str], lane: str) -> None:
    """Ask a worker that serves the jobs of a lane to discard the files of ended jobs and to forget the jobs."""
    what = f"job {job_ids[0]}" if len(job_ids) == 1 else f"{len(job_ids)} jobs"
    with publishing():
        _signature(publisher_of(app), TIDY, (",".join(job_ids),), control_queue_of(lane), what).apply_async()


def waiting_messages(app: Celery, lane: str) -> int:
    """Number of messages in a lane that no worker has taken yet.

    Raises:
        BrokerUnreachable: the broker does not answer.
    """
    with publishing(), publisher_of(app).connection_for_write() as connection:
        try:
            queue = Queue(queue_of(lane), channel=connection.channel())
            # passive: declaring it with other arguments than it has is an error on RabbitMQ
            declared: Any = queue.queue_declare(passive=True)  # a named tuple, whatever the stub says
        except connection.channel_errors:
            return 0  # the queue does not exist: Redis removes empty ones
        except connection.connection_errors as error:
            raise OSError(str(error)) from error
        return int(declared.message_count)


@contextmanager
def publishing() -> Iterator[None]:
    """Turn the errors of a broker that is unreachable, full or closed to this user into `BrokerUnreachable`."""
    try:
        yield
    except (KombuError, RedisError, AMQPError, OSError) as error:
        raise BrokerUnreachable(
            f"the broker does not answer: {error}; start it (`lepton up` starts one here), or correct its URL, which begins "
            "with rediss:// or amqps:// if the port speaks TLS"
        ) from error


def send_unreceipted(
    app: Celery, ledger: Ledger, info: JobInfo, plan: Plan, *, limit: int = RESENT_BATCHES, below: Place | None = None
) -> int:
    """Send dispatched blocks that have neither a receipt nor a lease again.

    With a place `below`, these are blocks before it, and they are sent before the messages that wait in the lane.

    Returns:
        The number of blocks that were sent again: at most `limit` full batches.
    """
    stage = plan.stages[info.stage_index]
    lost = ledger.unreceipted(info.job_id, info.stage, limit=limit * stage.batch_blocks, below=below)
    if lost:
        send_wave(app, info, batches(stage, plan.workers, lost), urgent=below is not None)
    return len(lost)
