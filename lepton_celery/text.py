"""Text from outside, shown as text: no line, escape sequence, direction or password of it reaches logs and terminals."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from functools import cache
from reprlib import Repr
from typing import Any
from urllib.parse import unquote

from lepton_celery.log_fields import add_fields

SHOWN_CHARS = 400
"""Longest text from outside that is shown, in characters."""
_MESSAGE_CHARS = 4000
"""Longest message that is shown, in characters."""
_QUOTED_CHARS = 120
"""Longest value in quotes, in characters."""

_SCHEME = r"\w[\w+.\-]{0,40}://"
_URL = re.compile(rf"(?P<scheme>{_SCHEME})(?P<rest>(?:(?![;,]{_SCHEME})\S)*)")
"""A URL in a text; those of a list are separated by semicolons, for Celery's sentinels, or by commas."""
_WHOLE_URL = re.compile(rf"(?P<scheme>{_SCHEME})(?P<rest>(?:(?![;,]{_SCHEME}).)*)", re.DOTALL)
"""The same in a text that has nothing but URLs, whose passwords may have spaces."""
_SECRET = re.compile(
    r"(?P<name>[?&;][^=&;\s]{0,40}(?:pass|pwd|secret|token)[^=&;\s]{0,40}=).*?(?=[&;][\w.\-]{1,40}=|$)",
    re.IGNORECASE | re.DOTALL,
)
_INDENTED = "\n  "

_SEARCHED_CHARS = 100_000
"""Longest text that is searched for passwords as a whole; a longer one is shortened before."""


def shown(value: object, limit: int = SHOWN_CHARS) -> str:
    """A text from outside on one line, without passwords; its middle is left out if it is long.

    What is not printable is escaped as Python would: control characters, ends of lines, changes of direction, characters
    without a width, and halves of characters that no encoding has.
    """
    return _escaped(_shortened(_as_text(value), limit))


def shown_lines(value: object, limit: int = _MESSAGE_CHARS) -> str:
    """The same for a message of several lines, whose ends of lines stay."""
    return "\n".join(map(_escaped, _shortened(_as_text(value), limit).split("\n")))


def quoted(value: object) -> str:
    """A value from outside as Python writes it, for an error; what is long or nested deep in it is left out."""
    if isinstance(value, str):
        return shown(repr(_cut(value, _QUOTED_CHARS)))
    try:
        return shown(_short_repr().repr(value))
    except Exception:  # a repr may raise anything
        return f"<{type(value).__name__}>"


def masked(url: object) -> str:
    """A URL, or several, without users and passwords.

    A password may have any character, also those that end the host of a URL, so what cannot be told from it is left out too.
    """
    urls = [url] if isinstance(url, str) or not isinstance(url, Iterable) else url
    return ", ".join(shown(_WHOLE_URL.sub(_without_password, str(one)[:_SEARCHED_CHARS])) for one in urls)


def without_passwords(text: str) -> str:
    """A text whose URLs have neither users nor passwords."""
    return _URL.sub(_without_password, text) if "://" in text else text


def password_of(url: str) -> str:
    """The password in a URL; empty if there is none."""
    return unquote(url.partition("://")[2].rpartition("@")[0].partition(":")[2])


@cache
def logger(name: str) -> logging.Logger:
    """The logger of a module; its records show all arguments and tracebacks as text, and have the fields of `log_fields`."""
    found = logging.getLogger(name)
    found.addFilter(add_fields)
    found.addFilter(as_text)
    return found


def as_text(record: logging.LogRecord) -> bool:
    """A filter of loggers and handlers: no text in a record begins a line at the margin, or is a control sequence."""
    if isinstance(record.args, dict):
        record.args = {name: _argument(value) for name, value in record.args.items()}
    elif record.args:
        record.args = tuple(map(_argument, record.args))
    elif isinstance(record.msg, str):
        record.msg = shown_lines(record.msg).replace("\n", _INDENTED)
    if record.exc_info and record.exc_info[0] is not None:
        lines = shown_lines(_formatter().formatException(record.exc_info), 4 * _MESSAGE_CHARS)
        record.exc_text = "  " + lines.replace("\n", _INDENTED)
    return True


class _Argument:
    """An argument of a record, which is shown as text whether its format is `%s` or `%r`."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return shown(self._value, _MESSAGE_CHARS)

    def __repr__(self) -> str:
        return shown(repr(self._value), _MESSAGE_CHARS)


def _argument(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | _Argument) else _Argument(value)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except Exception:  # of an object of somebody else
        return f"<{type(value).__name__}>"


def _shortened(text: str, limit: int) -> str:
    """A text without passwords, and without its middle if it is long."""
    if len(text) > _SEARCHED_CHARS:
        text = _cut(text, max(limit, _MESSAGE_CHARS))
    return _cut(without_passwords(text), limit)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[: limit * 2 // 3]} … ({len(text):,} characters) … {text[-(limit // 4) :]}"


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def _without_password(match: re.Match[str]) -> str:
    scheme, rest = match["scheme"], match["rest"]
    before, at, after = rest.rpartition("@")
    if at and "?" in before:  # part of a password, or of an option
        return f"{scheme}***"
    shown_rest = f"***@{after}" if at else rest
    return scheme + _SECRET.sub(r"\g<name>***", shown_rest)


@cache
def _short_repr() -> Repr:
    short = Repr()
    short.maxstring = short.maxother = short.maxlong = _QUOTED_CHARS
    short.maxlevel, short.maxdict, short.maxlist, short.maxtuple = 4, 8, 12, 12
    return short


@cache
def _formatter() -> logging.Formatter:
    return logging.Formatter()
