"""`lepton explain`: the plan of a job, without computing anything."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lepton_celery.calibration import calibrate as calibration
from lepton_celery.cli.console import json_option, print_json, say
from lepton_celery.cli.documents import plan_document
from lepton_celery.cli.pipeline import STEPS_HELP, pipeline_options, requested_outputs
from lepton_celery.cli.where import find_settings
from lepton_celery.errors import BrokerUnreachable
from lepton_celery.planning.cost.keep import model_of_folder
from lepton_celery.planning.explain import explain_outputs
from lepton_celery.planning.options import PlanOptions
from lepton_celery.planning.planner import alternatives, make_plan


@click.command(help="Show the plan of a job and how long it would take.\n\n    Nothing is computed." + STEPS_HELP)
@click.argument("input")
@click.argument("steps", metavar="[STEP]...", nargs=-1)
@pipeline_options
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Number of worker processes.  [default: one per processor of this machine]",
)
@json_option
def explain(
    input: str,
    steps: tuple[str, ...],
    pipeline: Path | None,
    inputs: tuple[str, ...],
    block_shape: tuple[int, ...] | None,
    workers: int | None,
    as_json: bool,
) -> None:
    outputs = requested_outputs(input, "output" if pipeline is None else str(Path.cwd()), steps, pipeline, inputs)
    try:
        cost = calibration.current(find_settings())
    except BrokerUnreachable:
        cost = model_of_folder()
    options = PlanOptions(block_shape, workers=workers or os.cpu_count() or 1, cost=cost)
    if as_json:
        planned = make_plan(outputs, options)
        print_json(plan_document(planned.plan, alternatives(planned)))
    else:
        say(explain_outputs(outputs, options))
