"""Text from outside is shown as text: in one line, without escape sequences, changes of direction and passwords."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_celery.text import as_text, logger, masked, quoted, shown, shown_lines

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
"""Also with lone surrogates."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nuclei × 3 é 日本", "nuclei × 3 é 日本"),
        ("a\nERROR forged\r", r"a\nERROR forged\r"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("\u202egnp.exe\u2066\u200b\ufeff", r"\u202egnp.exe\u2066\u200b\ufeff"),
        ("\x85\u2028\u2029\xa0", r"\x85\u2028\u2029\xa0"),
        ("half \ud83d", r"half \ud83d"),
        ("\x00", r"\x00"),
        ("[red]x[/blue]", "[red]x[/blue]"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(ANY_TEXT)
def test_any_text_is_printable_and_has_an_encoding(text: str) -> None:
    for made in (shown(text), quoted(text), quoted([text])):
        assert made.isprintable()
        assert made.encode().decode() == made
    assert all(line.isprintable() for line in shown_lines(text).split("\n"))


def test_long_text_is_shortened_at_both_ends() -> None:
    text = shown("/data/" + "x" * 10_000 + "/image.tif")
    assert len(text) < 500
    assert text.startswith("/data/xxx") and text.endswith("xxx/image.tif") and "(10,016 characters)" in text
    assert len(quoted("y" * 10**7)) < 200
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert len(quoted(deep)) < 200
    assert len(quoted(dict.fromkeys(range(999), "z" * 999))) < 3000


def test_an_object_that_cannot_be_shown_has_its_type() -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    assert shown(Rude()) == "<Rude>"
    assert "Rude" in quoted(Rude())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:s3cret@host/0", "redis://***@host/0"),
        ("rediss://me:s3%40cret@host:1/0?ssl_cert_reqs=none", "rediss://***@host:1/0?ssl_cert_reqs=none"),
        ("redis+socket:///tmp/r?virtual_host=1&password=s3cret", "redis+socket:///tmp/r?virtual_host=1&password=***"),
        ("redis+socket:///tmp/r?password=a@s3cret", "redis+socket://***"),
        ("redis://me:s3cret@[::1", "redis://***@[::1"),
        ("redis://:s3#cret@host/0", "redis://***@host/0"),
        ("redis://:s3/cr@et@host:6379/0", "redis://***@host:6379/0"),
        ("redis://:s3?cret@host/0", "redis://***"),
        ("redis://:s3;cret@host/0", "redis://***@host/0"),
        ("amqp://guest:s3cret@host//", "amqp://***@host//"),
        ("sentinel://:s3cret@a:1/0;sentinel://:s3cret@b:2/0", "sentinel://***@a:1/0;sentinel://***@b:2/0"),
        ("sentinel://:s3cret@a:1;:s3cret@b:2", "sentinel://***@b:2"),
        (["redis://:s3cret@a", "redis://:s3cret@b"], "redis://***@a, redis://***@b"),
        ("redis://:s3 cret@host", "redis://***@host"),
        ("a word", "a word"),
    ],
)
def test_users_and_passwords_are_masked(url: Any, expected: str) -> None:
    assert masked(url) == expected
    assert "cret" not in masked(url)


@given(
    st.text(st.characters(exclude_characters="&;"), min_size=1, max_size=20).filter(lambda text: text.split() == [text])
)
def test_no_password_with_any_characters_is_shown(word: str) -> None:
    secret = f"QX{word}XQ"
    for url in (f"redis://:{secret}@host:6379/0", f"amqp://user:{secret}@host", f"unix:///r.sock?password={secret}"):
        for made in (masked(url), shown(f"cannot connect to {url} now"), shown_lines(url), shown(url, 20)):
            assert "QX" not in made and "XQ" not in made, made


def test_a_record_of_a_log_is_one_line_and_its_traceback_is_indented(caplog: pytest.LogCaptureFixture) -> None:
    log = logger("lepton_celery.tests")
    try:
        raise ValueError("bad\n[2026-01-01 ERROR] forged \x1b[2J at redis://:s3#cret@host")
    except ValueError:
        log.exception("job %s failed after %d tries: %s", "x\n[ERROR] forged", 3, ValueError("\u202e"))
    formatted = logging.Formatter("%(levelname)s %(message)s").format(caplog.records[-1])
    first, *rest = formatted.split("\n")
    assert first == r"ERROR job x\n[ERROR] forged failed after 3 tries: \u202e"
    assert "ValueError" in formatted
    assert all(line.startswith("  ") for line in rest)
    assert "\x1b" not in formatted and "cret" not in formatted


def test_records_with_named_arguments_and_without_any_are_shown_as_text() -> None:
    named = logging.LogRecord("x", 20, "", 0, "Task %(name)s", ({"name": "a\nb"},), None)
    assert as_text(named) and named.getMessage() == r"Task a\nb"
    written = logging.LogRecord("x", 20, "", 0, "%r, %5.1f, %-4s|", (ValueError("a\nb"), 2.0, "é"), None)
    assert as_text(written) and as_text(written) and written.getMessage() == r"ValueError('a\nb'),   2.0, é   |"
    plain = logging.LogRecord("x", 20, "", 0, "100 % \x1b[0m", (), None)
    assert as_text(plain) and plain.getMessage() == r"100 % \x1b[0m"
