"""What the ledger refuses before it looks at a job, and how it says so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from lepton_celery.errors import InputError
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger.info import FollowingStage

MAX_BLOCKS = 2**32
"""Most blocks of a stage: a Redis bitmap holds 512 MiB."""


def check_new_job(job_id: str, stages: int, blocks: int) -> None:
    """Raise `InputError` unless a job can be created like this."""
    if not job_id:
        raise InputError("the job id is empty; give one")
    if stages < 1:
        raise InputError(f"job {job_id!r} has {stages} stages; it needs at least 1")
    check_block_count(job_id, blocks)


def check_block_count(job_id: str, blocks: int) -> None:
    """Raise `InputError` unless a stage can have this number of blocks."""
    if not 0 <= blocks <= MAX_BLOCKS:
        raise InputError(f"a stage of job {job_id!r} would have {blocks} blocks; give 0 to {MAX_BLOCKS}")


def check_following(job_id: str, following: FollowingStage, *, has_result: bool) -> None:
    """Raise `InputError` unless a merge can open this stage."""
    check_block_count(job_id, following.blocks)
    if has_result:
        raise InputError(f"job {job_id!r} goes on with another stage; give its result when it is done")


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise `InputError` for a value under `least`."""
    if not value >= least:
        raise InputError(f"{name} is {value}; it must be at least {least}")


def check_lease(lease_s: float) -> None:
    """Raise `InputError` for a lease that would be over at once, or never."""
    if not 0 < lease_s < math.inf:
        raise InputError(f"lease_s is {lease_s}; a lease lasts a finite, positive number of seconds")


def distinct(places: Iterable[Place]) -> list[Place]:
    """The places as Python integers, each once, in the order given. Raises `InputError` for a negative one."""
    # a place named twice in one claim would look like an owner that comes back for its block
    unique = [Place(number) for number in dict.fromkeys(map(int, places))]
    if unique and min(unique) < 0:
        raise InputError(f"place {min(unique)} is negative; places are counted from 0")
    return unique


def finite(stats: Mapping[str, float]) -> dict[str, float]:
    """The statistics as floats. Raises `InputError` for one that cannot be summed."""
    for name, value in stats.items():
        if not math.isfinite(value):
            raise InputError(f"statistic {name!r} is {value}; give finite numbers")
    return {name: float(value) for name, value in stats.items()}


def place_beyond(job_id: str, number: StageNumber, place: str | int, blocks: int) -> InputError:
    """The refusal of a place that the stage does not have."""
    return InputError(f"place {place} of job {job_id!r}: stage number {number} has {blocks} blocks, in places from 0")
