"""Creates a job's outputs before its first block, and discards them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from lepton_celery import stores
from lepton_celery.errors import LeptonError
from lepton_celery.execution.context import Context
from lepton_celery.grid import StageIndex, StageNumber
from lepton_celery.planning.plan import StageRun
from lepton_celery.stores.base import ArrayOutput, Target


def _image_outputs(context: Context) -> Iterator[ArrayOutput]:
    return (context.output(target) for targets in context.targets.values() for target in targets)


def create_outputs(context: Context) -> None:
    """Create the parts of all image outputs, so that a missing permission is found before any block runs."""
    for output in _image_outputs(context):
        output.create()


def reserve_outputs(context: Context) -> None:
    """Reserve the disk space of all image outputs, so that a full disk is found early. Workers may already be writing."""
    for output in _image_outputs(context):
        output.reserve()


def open_outputs(context: Context, number: StageNumber) -> None:
    """Open all outputs of a stage's blocks. Threads that share a context must not do this concurrently."""
    run = context.plan.stage_run(number)
    for node in context.plan.stages[run.stage].stores:
        context.outputs(node, run)


def collect_images(context: Context) -> dict[int, stores.MemoryOutput]:
    """Add outputs in memory for the images among a plan's outputs, and return them by node."""
    images: dict[int, stores.MemoryOutput] = {}
    for index in set(context.plan.outputs.values()):
        node = context.plan.nodes[index]
        if node.gives == "image":
            target = Target("memory", node.shape, node.dtype, context.plan.block_of(index), "memory")
            images[index] = stores.MemoryOutput(target)
            images[index].create()
            for number, stage in enumerate(context.plan.stages):
                if index in stage.stores:
                    context.outputs(index, StageRun(StageIndex(number), 0)).append(images[index])
    return images


def discard(context: Context) -> None:
    """Remove all files of an unfinished job: the parts of its outputs, and its workspace.

    Raises:
        LeptonError: one of them cannot be removed; the others are.
    """
    failed: list[LeptonError] = []
    removals: list[Callable[[], None]] = [
        *(partial(_discard_image, context, target) for targets in context.targets.values() for target in targets),
        *(partial(stores.discard_file, path, context.job_id, roots=context.roots) for path in context.files),
        context.workspace.discard,
    ]
    for remove in removals:
        try:
            remove()
        except LeptonError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def _discard_image(context: Context, target: Target) -> None:
    context.output(target).discard()
