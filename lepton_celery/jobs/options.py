"""The options of a job as keywords; every function that submits takes the same ones."""

from __future__ import annotations

from typing import TypedDict, get_args

from lepton_celery.errors import InputError
from lepton_celery.execution.manifest import JobOptions, Lane, OnError
from lepton_celery.planning.options import Limits


class JobKeywords(TypedDict, total=False):
    """The keywords of `lepton.submit` that describe a job."""

    priority: Lane
    """The lane: `interactive` is served before `default`, and `default` before `batch`."""
    title: str
    """The job's name; by default the names of its outputs."""
    block_shape: tuple[int, ...] | None
    """Shape of a block in pixels; None to let the planner choose."""
    workers: int | None
    """Worker processes to plan for; None for as many as this machine has processors."""
    overwrite: bool
    """Whether outputs may replace files of the same names when the job is done."""
    limits: Limits | None
    """Limits of the plan."""
    on_error: OnError
    """The fate of the job when a block fails, or takes its worker down, as often as the setting `max_attempts` says."""
    fill_value: float
    """Pixels of filled blocks; 0 if the dtype cannot hold it."""


def job_options(keywords: JobKeywords, *, scratch: str = "") -> JobOptions:
    """The options among the keywords that concern the job and not its plan.

    Raises:
        InputError: a keyword is unknown, or its value is none of the choices.
    """
    unknown = sorted(keywords.keys() - JobKeywords.__annotations__.keys())
    if unknown:
        raise InputError(
            f"{', '.join(unknown)}: there is no such option; give {', '.join(JobKeywords.__annotations__)}"
        )
    lane, on_error = keywords.get("priority", "default"), keywords.get("on_error", "fail")
    if lane not in get_args(Lane):
        raise InputError(f"priority {lane!r} is not a lane; give one of {', '.join(get_args(Lane))}")
    if on_error not in get_args(OnError):
        raise InputError(f"on_error {on_error!r} is not a way to go on; give 'fail' or 'fill'")
    return JobOptions(
        lane=lane,
        title=keywords.get("title", ""),
        overwrite=keywords.get("overwrite", False),
        on_error=on_error,
        fill_value=float(keywords.get("fill_value", 0.0)),
        scratch=scratch,
    )
