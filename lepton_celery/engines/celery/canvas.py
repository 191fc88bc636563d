"""Split → process → merge as Celery canvas: chords of batches, in waves that overlap.

    wave 0   process_batch × n ─┐
    wave 1   process_batch × n ─┤ close_wave: send the next wave; if every block has its receipt, merge the stage
    …                          ─┘

Tasks are named, not imported: whoever submits needs none of the workers' code. A message carries the job's id and block
numbers, its size does not depend on the job's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from celery import Celery, chord
from celery.canvas import Signature

from lepton_celery.config import Settings
from lepton_celery.engines.celery.defaults import queue_of
from lepton_celery.ledger.base import JobInfo, Ledger

PROCESS = "lepton.process"
CLOSE = "lepton.close"

_RANGES_PER_MESSAGE = 16
"""Stretches of blocks in one message, so that its size stays bounded however scattered they are."""


def format_blocks(blocks: Sequence[int]) -> str:
    """Block numbers, ascending, as text: `0-15,18`."""
    return ",".join(f"{a}" if a == z else f"{a}-{z}" for a, z in _stretches(blocks))


def parse_blocks(text: str) -> list[int]:
    """The block numbers that `format_blocks` wrote."""
    blocks: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        blocks.extend(range(int(first), int(last or first) + 1))
    return blocks


def _stretches(blocks: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = -1
    for block in blocks:
        if first >= 0 and block == last + 1:
            last = block
            continue
        if first >= 0:
            yield first, last
        first = last = block
    if first >= 0:
        yield first, last


def process_signature(app: Celery, info: JobInfo, blocks: Sequence[int]) -> Signature:
    """One batch. Flower shows the text, not the arguments."""
    text = format_blocks(blocks)
    sign = app.signature(PROCESS, args=(info.job_id, info.stage, text), immutable=True, app=app)
    shown = f"job {info.job_id} · stage {info.stage + 1}/{info.stages} · blocks {text}"
    return sign.set(queue=queue_of(info.lane), argsrepr=shown, kwargsrepr="")


def close_signature(app: Celery, info: JobInfo) -> Signature:
    """The end of a wave, or a look whether a stage can be merged."""
    sign = app.signature(CLOSE, args=(info.job_id, info.stage), immutable=True, app=app)
    shown = f"job {info.job_id} · stage {info.stage + 1}/{info.stages} · close wave"
    return sign.set(queue=queue_of(info.lane), argsrepr=shown, kwargsrepr="")


def send_wave(app: Celery, info: JobInfo, blocks: Sequence[int], batch_blocks: int) -> None:
    """Publish batches of these blocks as one chord."""
    batches = list(_batches(blocks, batch_blocks))
    header = [process_signature(app, info, batch) for batch in batches]
    chord(header, app=app).apply_async(body=None) if not header else chord(
        header, close_signature(app, info), app=app
    )()


def _batches(blocks: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    batch: list[int] = []
    stretches = 0
    for block in blocks:
        stretches += not batch or block != batch[-1] + 1
        if batch and (len(batch) == size or stretches > _RANGES_PER_MESSAGE):
            yield batch
            batch, stretches = [], 1
        batch.append(block)
    if batch:
        yield batch


def send_merge(app: Celery, info: JobInfo) -> None:
    """Ask for a look whether the stage can be merged."""
    close_signature(app, info).apply_async()


def fill_window(app: Celery, ledger: Ledger, settings: Settings, job_id: str, stage: int, batch_blocks: int) -> int:
    """Send waves of a job until its window is full or its stage is all sent.

    Returns:
        How many blocks were sent.
    """
    sent = 0
    while True:
        start, stop = ledger.take(
            job_id,
            stage,
            count=settings.wave_batches * batch_blocks,
            window=settings.window_batches * batch_blocks,
        )
        if stop == start:
            return sent
        send_wave(app, ledger.info(job_id), range(start, stop), batch_blocks)
        sent += stop - start
