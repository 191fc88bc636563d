"""Parameters of requests: read by their types, and refused by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from lepton_celery.errors import InputError
from lepton_celery.text import quoted

T = TypeVar("T")

_MAX_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a query."""

    name: str
    kind: Any
    """Its type, with limits as `msgspec.Meta`."""
    about: str
    """What it means, as a sentence."""
    default: Any = None
    many: bool = False
    """Whether it may be given several times."""

    def read(self, query: Mapping[str, Sequence[str]]) -> Any:
        """Its value in a query.

        Raises:
            InputError: it has another type or is out of range; the message names it and says what is allowed.
        """
        given = query.get(self.name, ())
        if self.many:
            return [self._value(text) for text in given]
        if len(given) > 1:
            raise InputError(f"{self.name} is given {len(given)} times; give it once")
        return self._value(given[0]) if given else self.default

    def _value(self, text: str) -> Any:
        if len(text) > _MAX_CHARS:
            raise InputError(f"{self.name} has {len(text):,} characters; give at most {_MAX_CHARS:,}")
        try:
            return msgspec.convert(text, self.kind, strict=False)
        except msgspec.ValidationError as error:
            raise InputError(f"{self.name} is {quoted(text)}; give {_right(self.kind) or error}") from error


def _right(kind: Any) -> str:
    """What a value of a type looks like, as words; empty if that is not known."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    base, *more = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    words = {int: "a whole number", float: "a number"}.get(base, "")
    meta = next((one for one in more if isinstance(one, msgspec.Meta)), msgspec.Meta())
    first, last = meta.ge, meta.le if meta.lt is None else meta.lt - 1
    if words and first is not None:
        words += f" from {first:,}"
    return words + (f" to {last:,}" if words and last is not None else "")


def read_all(parameters: Sequence[Parameter], query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The values of all parameters of a route.

    Raises:
        InputError: one is refused, or the query has another one.
    """
    known = {parameter.name for parameter in parameters}
    if unknown := sorted(set(query) - known):
        allowed = f"this takes {', '.join(sorted(known))}" if known else "this takes none"
        raise InputError(f"there is no parameter {quoted(unknown[0])}; {allowed}")
    return {parameter.name: parameter.read(query) for parameter in parameters}
