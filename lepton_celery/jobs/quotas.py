"""Refuses jobs of whom has too many open ones: a tenant in a lane, or an owner."""

from __future__ import annotations

from lepton_celery.config import Settings
from lepton_celery.errors import QueueFull
from lepton_celery.execution.manifest import JobOptions
from lepton_celery.ledger import Ledger
from lepton_celery.ledger.quotas import Excess, owner_holder, tenant_holder
from lepton_celery.text import quoted


def check_quotas(options: JobOptions, ledger: Ledger, settings: Settings) -> None:
    """Refuse a job that `admit` would refuse now.

    Raises:
        QueueFull: its tenant or its owner has too many open jobs.
    """
    _refuse(ledger.quotas.excess(_holders(options, settings)), options, settings)


def admit(job_id: str, options: JobOptions, ledger: Ledger, settings: Settings) -> None:
    """Count a job as one of its tenant and of its owner, before it is created. Of several at once, no more are counted than
    may be open.

    Raises:
        QueueFull: its tenant or its owner has too many open jobs.
    """
    _refuse(ledger.admit(job_id, _holders(options, settings)), options, settings)


def _holders(options: JobOptions, settings: Settings) -> dict[str, int]:
    holders = {tenant_holder(options.lane, options.tenant): settings.max_open_jobs}
    return {**holders, owner_holder(options.owner): settings.max_open_jobs_of_owner} if options.owner else holders


def _refuse(excess: Excess | None, options: JobOptions, settings: Settings) -> None:
    if excess is None:
        return
    if options.owner and excess.holder == owner_holder(options.owner):
        name, most, whose = (
            "max_open_jobs_of_owner",
            settings.max_open_jobs_of_owner,
            f"owner {quoted(options.owner)} has",
        )
        where = ""
    else:
        name, most, where = "max_open_jobs", settings.max_open_jobs, f" in the lane {options.lane!r}"
        whose = f"tenant {options.tenant!r} has" if options.tenant else "there are"
    raise QueueFull(
        f"{whose} {excess.jobs:,} open jobs{where}, and {name} is {most:,}: submit again when some have ended, cancel "
        f"some, or set LEPTON_{name.upper()}"
    )
