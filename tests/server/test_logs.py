"""Fields of log lines, and lines as JSON: one object each, whatever is in them; handlers of others stay as they are."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from celery.utils.log import ColorFormatter

from lepton_celery.config import load_settings
from lepton_celery.errors import InputError
from lepton_celery.json_lines import json_formatter, use_json
from lepton_celery.log_fields import about, add_fields, begin
from lepton_celery.text import logger


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged as JSON during a test."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ColorFormatter())
    root = logging.getLogger("lepton_celery.tests")
    root.addHandler(handler)
    use_json(root)
    yield stream
    root.removeHandler(handler)
    begin()


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


log = logger("lepton_celery.tests")


def test_lines_have_what_they_are_about(lines: io.StringIO) -> None:
    log.warning("nothing")
    begin(job="4f2a", stage_label="1/2")
    with about(blocks="0-3"):
        log.warning("a block")
    with about(job="99"):
        log.warning("another job")
    log.warning("the stage", extra={"blocks": "7"})
    begin()
    log.warning("nothing again")
    found = [{name: line[name] for name in ("job", "stage", "blocks") if name in line} for line in logged(lines)]
    assert found == [
        {},
        {"job": "4f2a", "stage": "1/2", "blocks": "0-3"},
        {"job": "99"},
        {"job": "4f2a", "stage": "1/2", "blocks": "7"},
        {},
    ]


def test_another_thread_is_about_nothing(lines: io.StringIO) -> None:
    with about(job="4f2a"):
        thread = threading.Thread(target=log.warning, args=("elsewhere",))
        thread.start()
        thread.join()
    assert "job" not in logged(lines)[0]


@pytest.mark.parametrize("text", ['\n{"level": "FORGED"}', "\r\x1b[2J\x85\u2028\u202e", '"}', "\udcff", "x" * 100_000])
def test_a_line_is_one_object_whatever_is_in_it(lines: io.StringIO, text: str) -> None:
    with about(job=text):
        log.warning("job %s", text)
        try:
            raise ValueError(text)
        except ValueError:
            log.exception(text)
    assert len(lines.getvalue().splitlines()) == 2
    assert [line["level"] for line in logged(lines)] == ["WARNING", "ERROR"]
    assert all(line["job"] == text for line in logged(lines)) or not text.isprintable()


def test_no_password_is_logged(lines: io.StringIO) -> None:
    try:
        raise ConnectionError("redis://user:secret@host does not answer")
    except ConnectionError as error:
        log.exception("failed: %s", error)
    assert "secret" not in lines.getvalue() and "does not answer" in logged(lines)[0]["exception"]


def test_formatters_of_others_stay() -> None:
    theirs, own = logging.Formatter("%(message)s"), logging.getLogger("theirs")
    plain, formatted = logging.StreamHandler(), logging.StreamHandler()
    formatted.setFormatter(theirs)
    own.handlers = [plain, formatted]
    use_json(own)
    assert plain.formatter is None and formatted.formatter is theirs and not formatted.filters


def test_a_format_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="LEPTON_LOG_FORMAT is 'yaml'; give text or json"):
        load_settings({"LEPTON_LOG_FORMAT": "yaml"})


def test_a_record_of_another_library_gets_the_fields_too() -> None:
    record = logging.makeLogRecord({"msg": "text"})
    with about(job="4f2a"):
        assert add_fields(record)
    assert json.loads(json_formatter().format(record))["job"] == "4f2a"
