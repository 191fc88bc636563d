"""Refuses messages on the lanes that no sender of this package has written, before they are unpacked.

Whoever can write to the broker can write anything: a gigabyte in a kilobyte of gzip, a hundred megabytes of arguments, text
that is no message. Celery would unpack it in the worker's main process, keep it, or end with an error. A refused message is
logged and gone; it is never retried. The ledger knows what was to be done, so nothing is lost.
"""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from celery import bootsteps
from msgspec import Meta, Struct

from lepton_celery.engines.celery.sending.canvas import CLOSE, PROCESS, TIDY
from lepton_celery.engines.celery.sending.queues import JOB_QUEUES, serves_jobs
from lepton_celery.engines.celery.worker.restoring import guard_restoring
from lepton_celery.errors import InputError
from lepton_celery.limits import MAX_MESSAGE_BYTES
from lepton_celery.text import logger, shown

log = logger(__name__)

_MAX_CONTROL_BYTES = 1 << 20
"""Longest command of remote control, in bytes."""
_REMOTE_CONTROL = ".pidbox"
"""The end of the names of queues of remote control."""
_MAX_ETA = timedelta(days=1)
"""Longest time for which a worker holds a message that is to be done later; retries wait for half a minute."""
_LOG_EVERY_S = 60.0
"""Shortest time between two lines in the log about messages that are refused for the same reason."""

_Short = Annotated[str, Meta(max_length=512)]
_Tag = Annotated[str, Meta(min_length=1, max_length=256)]
_Seconds = Annotated[float, Meta(ge=1)]
_Argument = Annotated[str, Meta(max_length=4096)] | Annotated[int, Meta(ge=0, le=1 << 53)] | None


class _Headers(Struct):
    """The headers on which a worker acts; it passes others on, such as those of tracing libraries."""

    task: Literal["lepton.process", "lepton.close", "lepton.tidy"]
    id: _Tag
    retries: Annotated[int, Meta(ge=0, le=1000)] | None = None
    eta: datetime | None = None
    expires: _Short | float | None = None
    group: _Short | None = None
    group_index: int | None = None
    root_id: _Short | None = None
    parent_id: _Short | None = None
    shadow: _Short | None = None
    origin: _Short | None = None
    argsrepr: _Short | None = None
    kwargsrepr: _Short | None = None
    ignore_result: bool | None = None
    timelimit: tuple[_Seconds | None, _Seconds | None] | None = None
    replaced_task_nesting: int | None = None
    compression: None = None
    stamps: dict[str, Any] | None = None
    stamped_headers: list[str] | None = None


class _Chord(Struct):
    """What follows the last message of a wave."""

    task: Literal["lepton.close"]


class _Embedded(Struct):
    """What follows a message."""

    callbacks: None = None
    errbacks: None = None
    chain: None = None
    chord: _Chord | None = None


_Body = tuple[Annotated[list[_Argument], Meta(max_length=8)], dict[str, None], _Embedded]


class _DeliveryInfo(Struct):
    exchange: _Short
    routing_key: _Short


class _Properties(Struct):
    """Properties of a message in Redis."""

    delivery_tag: _Tag
    delivery_info: _DeliveryInfo
    body_encoding: Literal["utf-8", "base64"] | None = None
    priority: Annotated[int, Meta(ge=0, le=255)] | None = None
    correlation_id: _Short | None = None
    reply_to: _Short | None = None


class _Envelope(Struct, rename={"content_type": "content-type", "content_encoding": "content-encoding"}):
    """A message in Redis."""

    body: str
    properties: _Properties
    headers: _Headers
    content_type: str
    content_encoding: str


assert {PROCESS, CLOSE, TIDY} == {"lepton.process", "lepton.close", "lepton.tidy"}


class _OtherHeaders(Struct):
    """The headers of any message of Celery without which, or with another type, its consumer ends with an error."""

    task: str | None = None
    compression: str | None = None


class _Other(Struct):
    """A message of a project's own, or of remote control, as Redis stores it."""

    properties: _Properties
    body: str | None = None
    headers: _OtherHeaders | None = None


def check_other(message: Any, queue: str) -> None:
    """Check that a message for another queue than a lane has the form of one, and that remote control is no bomb.

    Raises:
        InputError: a worker would end with an error, or unpack it without a limit.
    """
    try:
        found = msgspec.convert(message, _Other)
    except (ValueError, RecursionError) as error:
        raise InputError(f"it is no message of Celery ({shown(error)})") from None
    if queue.endswith(_REMOTE_CONTROL):
        if len(found.body or "") > _MAX_CONTROL_BYTES:
            raise InputError(f"it is longer than {_MAX_CONTROL_BYTES >> 10} KiB")
        if found.headers is not None and found.headers.compression:
            raise InputError("it is compressed, which no command of remote control is")


def check_json(item: bytes | str) -> None:
    """Check that a message is a JSON object; its values are not looked at.

    Raises:
        InputError: it is something else.
    """
    try:
        msgspec.json.decode(item, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError) as error:
        raise InputError(f"it is no message of Celery ({shown(error)})") from None


def check_stored(item: bytes | str) -> None:
    """Check a message as Redis stores it.

    Raises:
        InputError: it is none of this package; the reason does not quote it.
    """
    _check_size(len(item))
    try:
        found = msgspec.json.decode(item, type=_Envelope)
        body = b64decode(found.body, validate=True) if found.properties.body_encoding == "base64" else found.body
    except (ValueError, RecursionError) as error:  # also of msgspec, and of bytes that are no text
        raise InputError(f"it is no message of this package ({shown(error)})") from None
    _check_content(found.headers, found.content_type, found.content_encoding, body)


def check_delivered(headers: Mapping[str, Any], content_type: object, content_encoding: object, body: Any) -> None:
    """Check a message as RabbitMQ delivers it.

    Raises:
        InputError: it is none of this package.
    """
    _check_size(len(body or b""))
    try:
        found = msgspec.convert(dict(headers), _Headers, strict=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"its headers are not those of this package ({shown(error)})") from None
    _check_content(found, content_type, content_encoding, body)


def _check_size(size: int) -> None:
    if size > MAX_MESSAGE_BYTES:
        raise InputError(f"it is longer than {MAX_MESSAGE_BYTES >> 10} KiB")


def _check_content(headers: _Headers, content_type: object, content_encoding: object, body: bytes | str) -> None:
    if content_type != "application/json" or str(content_encoding).lower() != "utf-8":
        raise InputError("its content is no JSON in UTF-8, which is all that this package sends")
    if headers.eta is not None:
        eta = headers.eta if headers.eta.tzinfo else headers.eta.replace(tzinfo=UTC)
        if eta - datetime.now(UTC) > _MAX_ETA:
            raise InputError(f"it is to be done more than {_MAX_ETA.days} day from now")
    try:
        msgspec.json.decode(body, type=_Body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"its body is not one of this package ({shown(error)})") from None


class MessageGateStep(bootsteps.StartStopStep):
    """Checks each message on a lane as soon as a worker has it."""

    requires = ("celery.worker.consumer:Tasks",)

    def include_if(self, parent: Any) -> bool:
        return serves_jobs(parent.app)

    def start(self, parent: Any) -> None:
        channel = parent.task_consumer.channel
        if hasattr(channel, "_brpop_read"):
            _guard_redis(channel)
        else:
            _guard_rabbitmq(channel, parent.task_consumer)


def _guard_redis(channel: Any) -> None:
    """Look at what the command that takes a message from a queue returns; kombu has no hook before it is unpacked."""
    parse = channel.client.parse_response
    refusals = _Refusals()

    def checked(connection: Any, command: str, **options: Any) -> Any:
        reply = parse(connection, command, **options)
        if command != "BRPOP" or not reply:
            return reply
        queue = _text(reply[0]).rpartition(channel.sep)[0] or _text(reply[0])
        check = check_stored if _is_lane(queue) else check_json
        # without a reply kombu asks again; the message has left its queue
        return reply if refusals.accepts(queue, check, reply[1]) else None

    transport = channel.connection  # of all channels of this connection, also that of remote control
    deliver = transport._deliver  # noqa: SLF001

    def checked_delivery(message: Any, queue: str) -> None:
        if _is_lane(queue) or refusals.accepts(queue, check_other, message, queue):
            deliver(message, queue)

    channel.client.parse_response = checked
    transport._deliver = checked_delivery  # noqa: SLF001
    guard_restoring(transport)


def _guard_rabbitmq(channel: Any, consumer: Any) -> None:
    """Look at each message before kombu makes its own of it."""
    refusals = _Refusals()
    others = consumer.on_decode_error

    class Checked(channel.Message):  # type: ignore[misc]  # of the channel's transport
        def __init__(self, raw: Any, channel: Any = None, **options: Any) -> None:
            queue, properties = str(raw.delivery_info.get("routing_key", "")), raw.properties
            headers = properties.get("application_headers") or {}
            content = (properties.get("content_type"), properties.get("content_encoding"), raw.body)
            is_refused = _is_lane(queue) and not refusals.accepts(queue, check_delivered, headers, *content)
            if is_refused:
                raw.body, properties["application_headers"] = b"", {}
            super().__init__(raw, channel, **options)
            if is_refused:
                error = InputError("refused")
                self.errors.append((InputError, error, None))

    def on_decode_error(message: Any, error: Exception) -> None:
        if isinstance(error, InputError):
            message.ack()
        else:
            others(message, error)

    channel.Message = Checked
    consumer.on_decode_error = on_decode_error


class _Refusals:
    """Tells of refused messages in the log, of each reason at most once a minute."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._silent = 0

    def accepts(self, queue: str, check: Callable[..., None], *arguments: Any) -> bool:
        """Whether a check accepts a message."""
        try:
            check(*arguments)
        except InputError as error:
            self._tell(queue, str(error))
            return False
        return True

    def _tell(self, queue: str, reason: str) -> None:
        kind, now = reason.partition(" (")[0], time.monotonic()
        if now - self._told.get(kind, -_LOG_EVERY_S) < _LOG_EVERY_S:
            self._silent += 1
            return
        self._told[kind] = now
        more = f" ({self._silent} more were refused before)" if self._silent else ""
        log.warning("a message in %s is refused: %s%s", queue, reason, more)
        self._silent = 0


def _is_lane(routing_key: str) -> bool:
    """Whether a queue is a lane, also if RabbitMQ delays its messages."""
    return any(routing_key == name or routing_key.endswith(f".{name}") for name in JOB_QUEUES)


def _text(name: bytes | str) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
