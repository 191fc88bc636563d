"""Which messages this process accepts. Anybody who can write to the broker can send one, so nothing in it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from celery import Task
from msgspec import Meta

from lepton_celery.config import Settings
from lepton_celery.engines.celery.sending.canvas import CLOSE, PROCESS, SIGNED, TIDY
from lepton_celery.engines.celery.worker import log_lines
from lepton_celery.errors import InputError
from lepton_celery.limits import JOB_ID, MAX_PLACES_CHARS, BlockCount, Count
from lepton_celery.planning.batches import parse_places
from lepton_celery.signing import is_signed

_Id = Annotated[str, Meta(pattern=rf"^{JOB_ID.pattern}\Z")]
_Places = Annotated[str, Meta(pattern=r"^\d{1,10}(-\d{1,10})?(,\d{1,10}(-\d{1,10})?)*\Z", max_length=MAX_PLACES_CHARS)]
_Ids = Annotated[str, Meta(pattern=rf"^{JOB_ID.pattern}(,{JOB_ID.pattern})*\Z", max_length=4096)]

_CHECK = tuple[_Id, Count, BlockCount]
"""The arguments of a check, which is a message of the task `CLOSE`."""
_ARGUMENTS: Mapping[str, Any] = {
    PROCESS: tuple[_Id, Count, _Places],
    CLOSE: tuple[_Id, Count],
    TIDY: tuple[_Ids],
}
"""The arguments of each task; a signature may follow them."""


def accepted(task: Task[..., None], given: Sequence[Any], keywords: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The arguments of a message without its signature, and its places as numbers.

    None if it is refused, which the log says once for each reason.
    """
    settings: Settings = task.app.conf["lepton"]
    try:
        return _checked(task.name, given, keywords, settings.secret_key)
    except InputError as error:
        log_lines.warn_once(f"a message for {task.name} is refused: {error}; others like it are refused without a word")
        return None


def _checked(name: str, given: Sequence[Any], keywords: Mapping[str, Any], keys: Sequence[str]) -> tuple[Any, ...]:
    signature = ""
    if given and isinstance(given[-1], str) and given[-1].startswith(SIGNED):
        *given, signature = given
    try:
        kind = _CHECK if name == CLOSE and len(given) == 3 else _ARGUMENTS[name]
        arguments: tuple[Any, ...] = msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"its arguments are not those of a message of this package ({error})") from error
    if keywords:
        raise InputError("it has arguments by name, which no message of this package has")
    if not is_signed(arguments, name, signature.removeprefix(SIGNED), keys):
        raise InputError(
            "none of this worker's keys has signed it; give its submitter and all workers the same LEPTON_SECRET_KEY"
        )
    return (*arguments[:2], parse_places(arguments[2])) if name == PROCESS else arguments
