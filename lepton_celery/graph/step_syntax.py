"""The syntax of steps, on the command line and in stored pipelines; `docs/command-line.md` describes it for users.

    STEP       [NAME[,NAME...]=]OPERATION[:ARGUMENT[,ARGUMENT...]]  or  @NAME
    ARGUMENT   [NAME=]VALUE
    VALUE      2  0.5  true  none  text  'quoted text'  label+area  (1, 2)  [2, 98]  @NAME  disk(3)

A step is parsed and never evaluated: only the functions of `shapes` can be called, with literal arguments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from lepton_celery.errors import InputError
from lepton_celery.graph import shapes
from lepton_celery.text import quoted

_NAME = re.compile(r"[A-Za-z_]\w*")
_KEYWORD = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)")
_REFERENCE = re.compile(r"@([A-Za-z_]\w*)")
_OPERATION = re.compile(r"[A-Za-z_][\w.]*")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_BARE = re.compile(r"[^,()\[\]]+")
_WORDS = {"true": True, "false": False, "none": None}
_MAX_DEPTH = 16
"""Brackets within brackets in one value."""


@dataclass(frozen=True)
class Reference:
    """`@NAME`: the result of a step, or an input, by its name."""

    name: str


@dataclass(frozen=True)
class Step:
    """A parsed step."""

    text: str
    """The step as it was written."""
    names: tuple[str, ...]
    """Names that are given to its results; empty if it names none."""
    operation: str
    """Name of an operation; empty for a step that only returns to an earlier result."""
    positional: list[Any]
    keyword: dict[str, Any]
    target: Reference | None = None
    """The result that a step `@NAME` returns to."""


def parse_step(text: str) -> Step:
    """Parse one step.

    Raises:
        InputError: the step does not have the form of a step.
    """
    where = f"step {quoted(text)}"
    if match := _REFERENCE.fullmatch(text.strip()):
        return Step(text, (), "", [], {}, Reference(match[1]))
    head, _, rest = text.partition(":")
    named, equals, operation = head.rpartition("=")
    operation = operation.strip()
    names = tuple(name.strip() for name in named.split(",")) if equals else ()
    for name in names:
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{where}: {quoted(name)} is not a name for a result; write letters and digits, as in smooth=gaussian"
            )
    if not _OPERATION.fullmatch(operation):
        raise InputError(
            f"{where}: {quoted(operation)} is not the name of an operation; arguments follow a colon, as in "
            "gaussian:sigma=2, and a result gets a name as in smooth=gaussian:sigma=2"
        )
    return Step(text, names, operation, *parse_arguments(rest, where))


def parse_arguments(text: str, where: str) -> tuple[list[Any], dict[str, Any]]:
    """The positional and the named arguments in a text; `where` says in messages what the text belongs to.

    Raises:
        InputError: the text is not a list of arguments.
    """
    return _Reader(text, where).arguments("")


class _Reader:
    """Reads values from a text, from left to right."""

    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._at = 0
        self._depth = 0

    def arguments(self, closing: str) -> tuple[list[Any], dict[str, Any]]:
        """Arguments up to the closing bracket, or up to the end of the text if `closing` is empty."""
        positional: list[Any] = []
        keyword: dict[str, Any] = {}
        while not self._ends(closing):
            if match := _KEYWORD.match(self._text, self._at):
                self._at = match.end()
                if match[1] in keyword:
                    self._refuse(f"{match[1]} is given twice; give it once")
                keyword[match[1]] = self._value()
            else:
                began = self._at
                value = self._value()
                if keyword:
                    given = self._text[began : self._at].strip()
                    self._refuse(f"{quoted(given)} has no name but comes after a named argument; name it too")
                positional.append(value)
            self._separator(closing)
        return positional, keyword

    def _value(self) -> Any:
        self._skip_spaces()
        if match := _QUOTED.match(self._text, self._at):
            self._at = match.end()
            return match[1] if match[1] is not None else match[2]
        if match := _REFERENCE.match(self._text, self._at):
            self._at = match.end()
            return Reference(match[1])
        if self._peek() in ("(", "["):
            return self._sequence()
        match = _BARE.match(self._text, self._at)
        if match is None or not match[0].strip():
            self._refuse("a value is missing; write NAME=VALUE, with commas between arguments")
        self._at = match.end()
        word = match[0].strip()
        return self._called(word) if self._peek() == "(" else _plain(word)

    def _sequence(self) -> Any:
        """A tuple, a list, or a value in brackets."""
        is_list = self._take() == "["
        closing = "]" if is_list else ")"
        values: list[Any] = []
        has_comma = False
        self._enter()
        while not self._ends(closing):
            values.append(self._value())
            has_comma = self._separator(closing) or has_comma
        self._depth -= 1
        if is_list:
            return values
        return values[0] if len(values) == 1 and not has_comma else tuple(values)

    def _called(self, name: str) -> Any:
        """The shape that a call such as `disk(3)` makes."""
        self._take()
        self._enter()
        positional, keyword = self.arguments(")")
        self._depth -= 1
        try:
            return shapes.make(name, positional, keyword)
        except InputError as error:
            self._refuse(str(error))

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._refuse(f"brackets are nested more than {_MAX_DEPTH} deep; write a plainer value")

    def _ends(self, closing: str) -> bool:
        """Whether the list ends here; a closing bracket is taken."""
        self._skip_spaces()
        if closing and self._peek() == closing:
            self._take()
            return True
        if not self._peek() and closing:
            self._refuse(f"{closing!r} is missing; close every bracket")
        return not self._peek()

    def _separator(self, closing: str) -> bool:
        """Take the comma after a value; whether there was one."""
        self._skip_spaces()
        if self._peek() == ",":
            self._take()
            return True
        if self._peek() not in ("", closing):
            self._refuse(f"{quoted(self._text[self._at :])} is not expected there; put a comma between arguments")
        return False

    def _skip_spaces(self) -> None:
        while self._peek().isspace():
            self._at += 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _refuse(self, why: str) -> NoReturn:
        raise InputError(f"{self._where}: {why}")


def _plain(word: str) -> Any:
    """A number, a truth value, None, a list of values joined by `+`, or the text itself."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    for parse in (lambda text: int(text, 0), float):
        try:
            return parse(word)
        except ValueError:
            pass
    return [_plain(item.strip()) for item in word.split("+")] if "+" in word.strip("+") else word
