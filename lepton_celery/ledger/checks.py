"""What every ledger refuses before it looks at a job, and how it says so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lepton_celery.errors import InputError

MAX_BLOCKS = 2**32
"""Blocks in a stage: a Redis bitmap holds 512 MiB."""


def check_new_job(job_id: str, stages: int, blocks: int) -> None:
    """Raises `InputError` unless a job can be created so."""
    if not job_id:
        raise InputError("the job id is empty; give one")
    if stages < 1:
        raise InputError(f"job {job_id!r} has {stages} stages; it needs at least 1")
    check_block_count(job_id, blocks)


def check_block_count(job_id: str, blocks: int) -> None:
    """Raises `InputError` unless a stage can have so many blocks."""
    if not 0 <= blocks <= MAX_BLOCKS:
        raise InputError(f"a stage of job {job_id!r} would have {blocks} blocks; give 0 to {MAX_BLOCKS}")


def check_next_stage(job_id: str, next_blocks: int | None, *, has_result: bool) -> None:
    """Raises `InputError` unless a merge can be committed so."""
    if next_blocks is None:
        return
    check_block_count(job_id, next_blocks)
    if has_result:
        raise InputError(f"job {job_id!r} goes on with another stage; give its result when it is done")


def check_at_least(name: str, value: float, least: float) -> None:
    """Raises `InputError` for a value under `least`."""
    if not value >= least:
        raise InputError(f"{name} is {value}; it must be at least {least}")


def check_lease(lease_s: float) -> None:
    """Raises `InputError` for a lease that would be over at once, or never."""
    if not 0 < lease_s < math.inf:
        raise InputError(f"lease_s is {lease_s}; a lease lasts a positive number of seconds")


def distinct(blocks: Sequence[int]) -> list[int]:
    """The blocks as Python integers, each once, in the order given. Raises `InputError` for a negative one."""
    # A block named twice in one claim would otherwise look like an owner that comes back for it.
    indices = list(dict.fromkeys(map(int, blocks)))
    if indices and min(indices) < 0:
        raise InputError(f"block {min(indices)} is negative; blocks are numbered from 0")
    return indices


def finite(stats: Mapping[str, float]) -> dict[str, float]:
    """The statistics as floats. Raises `InputError` for one that cannot be summed."""
    for name, value in stats.items():
        if not math.isfinite(value):
            raise InputError(f"statistic {name!r} is {value}; give finite numbers")
    return {name: float(value) for name, value in stats.items()}


def block_beyond(job_id: str, stage: int, block: int, total: int) -> InputError:
    """The refusal of a block that the stage does not have."""
    return InputError(f"block {block} of job {job_id!r}: stage {stage} has {total} blocks, numbered from 0")


def no_next_stage(job_id: str, stage: int, stages: int) -> InputError:
    """The refusal to open a stage after the last."""
    return InputError(
        f"stage {stage} of job {job_id!r} is the last of {stages}; commit its merge with next_blocks=None"
    )
