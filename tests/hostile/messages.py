"""Messages in Redis as an attacker would write them, from a generator with a seed."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import random
import zlib
from collections.abc import Iterator
from typing import Any

from tests.hostile.documents import changed, paths_of

PLACES = [
    "0-99999999999",
    "0-9999999999",
    "0-200000000",
    "5-1",
    "0--1",
    "-1",
    "",
    ",",
    "0,,1",
    "1e9",
    "0x10",
    "٣",
    "0\n1",
    "0-65536",
    ",".join(map(str, range(30_000))),
    "9" * 5000,
]
"""Texts of places that are none, or too many."""

WRONG: list[Any] = [
    None,
    True,
    -1,
    0,
    1 << 70,
    1e308,
    "",
    "x",
    "\ud800",
    "../..",
    "\x1b[2J\nforged",
    [],
    [[]],
    {},
    {"a": 1},
]
"""Values of the wrong type, or out of range."""


def honest(job_id: str = "0123456789ab", text: str = "0-15,18") -> dict[str, Any]:
    """A message as a sender of this package stores it in Redis, with its body as a value."""
    headers = {"lang": "py", "task": "lepton.process", "retries": 0, "id": "5PdlVrVXkkUvUQbr", "ignore_result": True}
    texts = {"argsrepr": f"job {job_id} stage 1/1 blocks {text[:40]}", "group": "uCrBRt", "group_index": 0}
    properties = {
        "correlation_id": "5PdlVrVXkkUvUQbr",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "lepton.default"},
        "priority": 0,
        "body_encoding": "utf-8",
        "delivery_tag": "0a8f3f9a-35c0-4f3a-b8d6-51e9a1d9a3a4",
    }
    return {
        "body": [[job_id, 0, text], {}, {}],
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {**headers, **texts},
        "properties": properties,
    }


def stored(message: dict[str, Any]) -> bytes:
    """The bytes in Redis of a message whose body may be a value or text."""
    body = message.get("body")
    text = body if isinstance(body, str) else json.dumps(body)
    return json.dumps({**message, "body": text}).encode()


def unchecked_by_main_process(seed: int) -> Iterator[tuple[str, bytes]]:
    """Messages of the right form whose places or stages are wrong; the process that does the work refuses them."""
    chosen = random.Random(seed)
    for text in chosen.sample(PLACES, len(PLACES)):
        yield f"places {text[:20]!r}", stored(honest(text=text[:4000]))


def hostile(seed: int) -> Iterator[tuple[str, bytes]]:
    """Messages that no sender of this package writes."""
    chosen = random.Random(seed)
    yield from _bombs()
    yield from _no_messages()
    for path in paths_of(honest()):
        for value in chosen.sample(WRONG, 4):
            message = changed(honest(), path, value)
            if not _may_be_honest(path, value):
                yield f"{'.'.join(map(str, path))} = {value!r:.20}", stored(message)
        if path not in _OPTIONAL and path[:2] != ("body", 0):
            yield f"without {'.'.join(map(str, path))}", stored(changed(honest(), path, ...))


def remote_control() -> Iterator[tuple[str, bytes]]:
    """What is no command of remote control, or one that would be unpacked without a limit."""
    command = {**honest(), "headers": {}}
    command["properties"]["body_encoding"] = "base64"
    command["properties"]["delivery_info"]["exchange"] = "celery.pidbox"
    bomb = base64.b64encode(gzip.compress(bytes(1 << 27))).decode()
    yield "bomb", stored({**command, "headers": {"compression": "gzip"}, "body": bomb})
    for body in (b"[]", b"null", b"5", b"[" * 50_000, b'{"method":"x","arguments":5}', b"x"):
        yield f"command {body[:9]!r}", stored({**command, "body": base64.b64encode(body).decode()})
    for item in (b"x", b"null", b"[]", b"5", b"{}", b'{"body":"","properties":{}}', b'{"properties":null}'):
        yield f"item {item!r}", item


def _bombs() -> Iterator[tuple[str, bytes]]:
    plain = json.dumps(honest()["body"]).encode()
    bombs = {"gzip": gzip.compress(b"0" * (1 << 24)), "zlib": zlib.compress(b"[" * (1 << 24)), "plain": plain}
    for name, packed in bombs.items():
        for method in ("application/x-gzip", "gzip", "zlib", "bzip2", "brotli"):
            message = honest()
            message["headers"]["compression"] = method
            message["properties"]["body_encoding"] = "base64"
            message["body"] = base64.b64encode(packed).decode()
            yield f"{name} as {method}", stored(message)
    for name, body in {
        "deep list": "[" * 20_000 + "]" * 20_000,
        "deep mapping": '[["a",0,"0"],{},' + '{"chord":' * 4000 + "{}" + "}" * 4000 + "]",
        "long arguments": json.dumps([["a" * 5_000_000, 0, "0"], {}, {}]),
        "many arguments": json.dumps([["a"] * 100_000, {}, {}]),
        "keyword arguments": '[["a",0,"0"],{"job_id":"b"},{}]',
        "callback": '[["a",0,"0"],{},{"callbacks":[{"task":"celery.backend_cleanup","args":[]}]}]',
        "errback": '[["a",0,"0"],{},{"errbacks":[{"task":"other.task","args":[]}]}]',
        "chain": '[["a",0,"0"],{},{"chain":[{"task":"other.task","args":[]}]}]',
        "foreign chord": '[["a",0,"0"],{},{"chord":{"task":"other.task","args":[]}}]',
        "null": "null",
        "number": "1" * 10_000,
        "no JSON": "{",
        "NaN": "[[NaN],{},{}]",
        "empty": "",
    }.items():
        yield name, stored({**honest(), "body": body})
    for kind in ("application/x-python-serialize", "application/x-yaml", "application/x-msgpack", "text/plain"):
        for body in (base64.b64encode(pickle.dumps(print)).decode(), "x", plain.decode()):
            yield f"{kind} {body[:8]}", stored({**honest(), "content-type": kind, "body": body})
    for task in (
        "other.task",
        "celery.backend_cleanup",
        "celery.chord_unlock",
        "lepton.process\n",
        "",
        "lepton.tidy.x",
    ):
        message = honest()
        message["headers"]["task"] = task
        yield f"task {task!r}", stored(message)


def _no_messages() -> Iterator[tuple[str, bytes]]:
    for number, item in enumerate(
        [
            b"",
            b"x",
            b"\xff\xfe",
            b"null",
            b"[]",
            b"{}",
            b'"text"',
            b"1",
            b"[" * 50_000,
            b'{"body":' * 20_000,
            b"\x00" * 70_000,
        ]
    ):
        yield f"no message {number}", item
    yield (
        "protocol 1",
        json.dumps({**honest(), "headers": {}, "body": json.dumps({"task": "lepton.process", "id": "a"})}).encode(),
    )


_OPTIONAL = {("headers", name) for name in ("lang", "retries", "ignore_result", "argsrepr", "group", "group_index")} | {
    ("properties", name) for name in ("correlation_id", "delivery_mode", "priority", "body_encoding")
}
"""What a message need not have."""

_FREE = {("headers", "lang"), ("properties", "delivery_mode")}
"""What no worker looks at."""


def _may_be_honest(path: tuple[Any, ...], value: Any) -> bool:
    """Whether a message with this value could come from an honest sender."""
    if path in _FREE or (path in _OPTIONAL and value is None):
        return True
    if isinstance(value, str) and path[-1] in ("argsrepr", "group", "correlation_id", "exchange", "routing_key"):
        return value != "\ud800"
    if path[-1] in ("id", "delivery_tag") and isinstance(value, str):
        return value not in ("", "\ud800")
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if path[-1] == "group_index" and is_number:
        return True
    if path[-1] in ("retries", "priority") and value == 0 and is_number:
        return True
    if path[-1] == "ignore_result" and value is True:
        return True
    if path == ("body", 1) or path == ("body", 2):
        return value == {} or (path == ("body", 2) and value == {"a": 1})  # what is unknown there is not acted on
    return path[:2] == ("body", 0)  # the process that does the work checks each argument
