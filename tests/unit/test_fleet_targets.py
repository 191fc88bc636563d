"""Target waits as a person writes them, and the lanes that they name."""

from __future__ import annotations

import pytest

from lepton_celery.errors import InputError
from lepton_celery.fleet.targets import named_lanes, seconds_of, targets_of, written_time


@pytest.mark.parametrize(
    ("text", "seconds"), [("2s", 2), ("500ms", 0.5), ("15m", 900), ("1h", 3600), ("7", 7), (" 2.5 s ", 2.5)]
)
def test_a_duration(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["2s", "90s", "15m", "1h", "500ms", "1500ms", "61s"])
def test_a_duration_is_written_as_it_is_given(text: str) -> None:
    assert written_time(seconds_of(text)) == text


@pytest.mark.parametrize("text", ["", "0", "0s", "-2s", "2 days", "inf", "nan", "1e3", "s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InputError, match="is no duration; give a number above 0"):
        seconds_of(text)


def test_lanes_without_a_target_have_the_usual_one() -> None:
    assert targets_of(["batch=1m"]) == {"interactive": 2.0, "default": 60.0, "batch": 60.0}
    assert targets_of([], ["batch"]) == {"batch": 900.0}


@pytest.mark.parametrize("entry", ["batch", "batch:60", "=2s"])
def test_what_is_no_target(entry: str) -> None:
    with pytest.raises(InputError, match=r"give LANE=TIME|target of no lane"):
        targets_of([entry])


def test_a_lane_that_is_not_served_has_no_target() -> None:
    with pytest.raises(InputError, match="no lane that is served; those are batch"):
        targets_of(["interactive=2s"], ["batch"])


def test_lanes_are_sorted_by_urgency() -> None:
    assert named_lanes("batch, interactive") == ("interactive", "batch")
    with pytest.raises(InputError, match=r"no lane 'fast'; give some of interactive, default, batch"):
        named_lanes("batch,fast")
    with pytest.raises(InputError, match="no lane is given"):
        named_lanes("")
