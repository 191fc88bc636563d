"""Runs all stages of a job in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable

from lepton_celery.execution.context import Context
from lepton_celery.execution.merge import merge_stage
from lepton_celery.execution.outputs import open_outputs
from lepton_celery.grid import StageIndex, StageNumber


def run_stages(
    context: Context, do_blocks: Callable[[StageNumber], None], *, stop_before: StageIndex | None = None
) -> None:
    """Run the stages of a plan, repeating a stage until its rounds change nothing.

    `do_blocks` does all blocks of a stage. The run ends before the stage `stop_before`, if that is given.
    """
    number: StageNumber | None = StageNumber(0)
    while number is not None and context.plan.stage_run(number).stage != stop_before:
        open_outputs(context, number)
        do_blocks(number)
        number = context.plan.following(number, again=merge_stage(context, number))
