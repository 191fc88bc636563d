"""Target waits of lanes, as a person writes them: `interactive=2s,batch=15m`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from lepton_celery.errors import InputError
from lepton_celery.priority import LANES
from lepton_celery.text import quoted

TARGETS: Mapping[str, float] = {"interactive": 2.0, "default": 60.0, "batch": 900.0}
"""Target waits of the lanes in seconds, unless others are given."""

POOL_TARGETS: Mapping[str, float] = dict.fromkeys(LANES, 2.0)
"""Target waits in the pool of one worker, unless others are given. Its machine runs anyway, so a process more costs nothing,
and all lanes have as many as find work."""

_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")


def seconds_of(text: str) -> float:
    """The seconds of a duration such as `2s`, `500ms`, `15m`, `1h` or `2`.

    Raises:
        InputError: it is none, or no time at all.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds < math.inf:
        raise InputError(f"{quoted(text)} is no duration; give a number above 0 with ms, s, m or h, such as 2s or 15m")
    return seconds


def written_time(seconds: float) -> str:
    """A duration as `seconds_of` takes it, in the largest unit that makes a whole number: `2s`, `15m`, `1.5s`."""
    for unit, length_s in (("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001)):
        if (count := round(seconds / length_s, 3)) >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:g}s"


def lanes_of(targets: Mapping[str, float]) -> tuple[str, ...]:
    """The lanes that have a target, the most urgent first.

    Raises:
        InputError: there is no such lane, or none at all, or a target is not a number of seconds above 0.
    """
    for lane, seconds in targets.items():
        if lane not in LANES:
            raise InputError(f"there is no lane {quoted(lane)}; give some of {', '.join(LANES)}")
        if not 0 < seconds < math.inf:
            raise InputError(f"the target wait of lane {lane} is {seconds} s; give a number of seconds above 0")
    if not targets:
        raise InputError(f"no lane is given; give some of {', '.join(LANES)}")
    return tuple(lane for lane in LANES if lane in targets)


def named_lanes(text: str) -> tuple[str, ...]:
    """The lanes of a list such as `interactive,batch`, the most urgent first.

    Raises:
        InputError: there is no such lane, or none at all.
    """
    return lanes_of({name.strip(): 1.0 for name in text.split(",") if name.strip()})


def targets_of(
    entries: Iterable[str], lanes: Iterable[str] = LANES, *, default: Mapping[str, float] = TARGETS
) -> dict[str, float]:
    """The target waits of some lanes in seconds: those of `lane=duration` entries, else those of `default`.

    Raises:
        InputError: an entry has another form, or names another lane.
    """
    lanes = tuple(lanes)
    found = {lane: default[lane] for lane in lanes}
    for entry in entries:
        name, equals, duration = entry.strip().partition("=")
        if not equals:
            raise InputError(
                f"the target wait {quoted(entry)} is not understood; give LANE=TIME, such as interactive=2s"
            )
        if name not in lanes:
            raise InputError(f"{quoted(entry)} is the target of no lane that is served; those are {', '.join(lanes)}")
        found[name] = seconds_of(duration)
    return found
