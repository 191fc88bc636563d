"""Split → process → merge as Celery canvas: chords of batches, in waves that overlap.

    wave 0   process_batch × n ─┐
    wave 1   process_batch × n ─┤ close_wave: send the next wave; if every block has its receipt, merge the stage
    …                          ─┘

Tasks are named, not imported: whoever submits needs none of the workers' code. A message carries the job's id and block
numbers, its size does not depend on the job's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from celery import Celery, chord
from celery.canvas import Signature

from lepton_celery.config import LANES, Settings
from lepton_celery.engines.celery.brokers import queue_of
from lepton_celery.engines.celery.messages import short_id
from lepton_celery.engines.celery.publisher import publisher_of
from lepton_celery.ledger.base import JobInfo, Ledger

PROCESS = "lepton.process"
CLOSE = "lepton.close"
TIDY = "lepton.tidy"

_TEXT_CHARS = 60
"""Longest text of scattered blocks in one message, so that its size stays bounded."""


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
    """One batch."""
    text = format_blocks(blocks)
    return _signature(app, PROCESS, info, (info.job_id, info.stage, text), f"blocks {_short(text)}")


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:20] + " ..."


def close_signature(app: Celery, info: JobInfo) -> Signature:
    """The end of a wave, or a look whether a stage can be merged."""
    return _signature(app, CLOSE, info, (info.job_id, info.stage), "close wave")


def _signature(app: Celery, task: str, info: JobInfo, args: tuple[Any, ...], what: str) -> Signature:
    """A task on the job's lane; Flower shows the text instead of the arguments."""
    options = {
        "queue": queue_of(info.lane),
        "task_id": short_id(),
        "ignore_result": True,
        "argsrepr": f"job {info.job_id} stage {info.place} {what}",
        "kwargsrepr": "",
    }
    return app.signature(task, args=args, immutable=True, app=app, options=options)


def send_wave(app: Celery, info: JobInfo, blocks: Sequence[int], batch_blocks: int) -> None:
    """Publish batches of these blocks as one chord."""
    publisher = publisher_of(app)
    header = [process_signature(publisher, info, batch) for batch in _batches(blocks, batch_blocks)]
    # the id becomes that of the chord's group, which every message carries
    chord(header, close_signature(publisher, info), app=publisher, task_id=short_id()).apply_async()


def _batches(blocks: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    batch: list[int] = []
    for block in blocks:
        if batch and (len(batch) == size or (block != batch[-1] + 1 and len(format_blocks(batch)) > _TEXT_CHARS)):
            yield batch
            batch = []
        batch.append(block)
    if batch:
        yield batch


def send_merge(app: Celery, info: JobInfo) -> None:
    """Ask for a look whether the stage can be merged."""
    close_signature(publisher_of(app), info).apply_async()


def send_tidy(app: Celery, job_id: str) -> None:
    """Have what a job has left removed, by a worker that has nothing more urgent to do."""
    options = {"queue": queue_of(LANES[-1]), "ignore_result": True, "argsrepr": f"job {job_id}", "kwargsrepr": ""}
    publisher = publisher_of(app)
    publisher.signature(TIDY, args=(job_id,), immutable=True, app=publisher, options=options).apply_async()


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
