"""Messages: what this package sends is accepted, and what it never sends is refused before it is unpacked."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from lepton_celery import create_app
from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.worker.message_gate import check_delivered, check_stored
from lepton_celery.errors import InputError
from lepton_celery.grid import Place
from lepton_celery.ledger.info import JobInfo
from lepton_celery.limits import MAX_PLACES
from lepton_celery.planning.batches import format_places, parse_places, places_between
from tests.hostile import messages
from tests.server.server import running_server


def test_the_messages_of_this_package_are_accepted(tmp_path: Path) -> None:
    plain = {"job_id": "0123456789ab", "state": "running", "lane": "default", "title": "", "stage": 0, "stages": 1}
    counts = {"blocks_done": 0, "blocks_total": 9, "dispatched": 9, "created_at": 1e9, "updated_at": 1e9}
    info = msgspec.convert(plain | counts, JobInfo)
    with running_server(tmp_path) as server, redis.Redis(port=server.port) as client:
        app = create_app(Settings(broker_url=server.url))
        batches = [places_between(0, 16), places_between(16, 20)]
        canvas.send_wave(app, info, batches, closed=True)
        canvas.send_wave(app, info, batches, closed=False)
        canvas.send_merge(app, info)
        canvas.send_check(app, info, Place(9))
        canvas.send_tidy(app, [info.job_id] * 32, "batch")
        with app.connection_for_write() as connection:  # as a retry of a worker is sent
            signature = canvas.process_signature(app, info, batches[0])
            signature.apply_async(countdown=20, retries=3, connection=connection)
        items = [*client.lrange("lepton.default", 0, -1), *client.lrange("lepton.control", 0, -1)]
    assert len(items) == 8
    for item in items:
        check_stored(item)


@pytest.mark.parametrize("seed", range(3))
def test_what_no_sender_writes_is_refused_at_once(seed: int) -> None:
    check_stored(messages.stored(messages.honest()))
    hostile = list(messages.hostile(seed))
    assert len(hostile) > 120
    accepted = []
    tracemalloc.start()
    for name, item in hostile:
        tracemalloc.reset_peak()
        before, began = tracemalloc.get_traced_memory()[0], time.process_time()
        try:
            check_stored(item)
        except InputError as error:
            assert str(error).isprintable() and len(str(error)) < 600, name
        else:
            accepted.append(name)
        assert time.process_time() - began < 1, name
        assert tracemalloc.get_traced_memory()[1] - before < 4 << 20, name
    tracemalloc.stop()
    assert accepted == []


@pytest.mark.parametrize("seed", range(3))
def test_places_are_refused_before_memory_is_taken(seed: int) -> None:
    tracemalloc.start()
    for name, item in messages.unchecked_by_main_process(seed):
        text = msgspec.json.decode(msgspec.json.decode(item)["body"])[0][2]
        with pytest.raises(InputError, match="places"):
            parse_places(text)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20, name
    tracemalloc.stop()


@given(st.text(st.sampled_from("0123456789-, x"), max_size=40))
def test_any_text_of_places_is_understood_or_refused(text: str) -> None:
    try:
        found = parse_places(text)
    except InputError:
        return
    assert 0 < len(found) <= MAX_PLACES
    assert parse_places(format_places(found)) == found


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(item: bytes) -> None:
    with pytest.raises(InputError):
        check_stored(item)


def test_messages_of_rabbitmq_are_checked_too() -> None:
    honest = messages.honest()
    body = msgspec.json.encode(honest["body"])
    check_delivered(honest["headers"], "application/json", "utf-8", body)
    for change in ({"compression": "gzip"}, {"task": "other"}, {"retries": -1}, {"task": ["a"]}, {"id": None}):
        with pytest.raises(InputError):
            check_delivered({**honest["headers"], **change}, "application/json", "utf-8", body)
    for content in (("application/x-python-serialize", "binary", body), ("application/json", "utf-8", b"x" * 10**8)):
        with pytest.raises(InputError):
            check_delivered(honest["headers"], *content)
