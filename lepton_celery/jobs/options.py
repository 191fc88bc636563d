"""The options of a job as keywords; every function that submits takes the same ones."""

from __future__ import annotations

from typing import TypedDict, get_args

from lepton_celery.errors import InputError
from lepton_celery.execution.manifest import JobOptions, Lane, OnError
from lepton_celery.planning.options import Limits


class JobKeywords(TypedDict, total=False):
    """The keywords of `lepton.submit` that describe a job, and are documented there."""

    priority: Lane
    title: str
    block_shape: tuple[int, ...] | None
    workers: int | None
    overwrite: bool
    limits: Limits | None
    on_error: OnError
    fill_value: float


def job_options(keywords: JobKeywords, *, scratch: str = "") -> JobOptions:
    """The `JobOptions` among the keywords; the other keywords are options of the plan.

    Raises:
        InputError: a keyword is unknown, or its value is not one of the choices.
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
        raise InputError(f"on_error is {on_error!r}; give 'fail' or 'fill'")
    return JobOptions(
        lane=lane,
        title=keywords.get("title", ""),
        overwrite=keywords.get("overwrite", False),
        on_error=on_error,
        fill_value=float(keywords.get("fill_value", 0.0)),
        scratch=scratch,
    )
