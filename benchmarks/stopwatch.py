"""When things happen in a lepton_celery job: the worker's steps and ledger calls, written down as they end.

It stands around the functions of a running worker; the product knows nothing of it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from lepton_celery.engines.celery.sending import canvas
from lepton_celery.engines.celery.worker import batch, merge, work
from lepton_celery.grid import Place, StageNumber
from lepton_celery.ledger import Ledger, open_ledger
from lepton_celery.ledger.info import Claim

LOG = "BENCHMARK_LOG"
"""Environment: file for the times; none: nothing is timed."""
UNGUARDED = "BENCHMARK_UNGUARDED"
"""Environment: set, and blocks are done without asking for them."""


@dataclass(frozen=True)
class Span:
    """Something that a worker did."""

    name: str
    begin: float
    end: float
    """Seconds of the clock that all processes of a machine share."""
    process: int

    @property
    def seconds(self) -> float:
        return self.end - self.begin


class _Recorder:
    """Appends spans to a file; a line is one write, so that processes do not mix."""

    def __init__(self, path: str) -> None:
        self._path = path

    @contextmanager
    def __call__(self, name: str) -> Any:
        begin = time.monotonic()
        try:
            yield
        finally:
            line = json.dumps([name, begin, time.monotonic(), os.getpid()]) + "\n"
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, line.encode())
            os.close(file)


def spans(path: Path) -> list[Span]:
    """What was written down, in the order in which it ended."""
    return [Span(*json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


class _Around(Protocol):
    def __call__(self, name: str) -> Any: ...


class _TimedLedger:
    """A ledger whose calls are timed."""

    def __init__(self, ledger: Ledger, around: _Around) -> None:
        self._ledger = ledger
        self._around = around

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ledger, name)
        if not callable(found):
            return found

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self._around(f"ledger.{name}"):
                return found(*args, **kwargs)

        return timed


class _UnguardedLedger:
    """A ledger that grants every block unasked: no leases, so that a lost worker's blocks stay lost and a message that
    comes twice is done twice. Receipts stay, since they tell when a stage is over; so do the merge and its fence."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def claim(self, job_id: str, number: StageNumber, places: Iterable[Place], **_: Any) -> Claim:
        return Claim(list(places), [], [], [], active=True)

    def renew(self, job_id: str, number: StageNumber, **_: Any) -> bool:
        return True


def install() -> None:
    """Stand around the worker of this process, as the environment asks."""
    log = os.environ.get(LOG)
    unguarded = UNGUARDED in os.environ
    around = _Recorder(log) if log else None

    def opened(url: str) -> Ledger:
        ledger = open_ledger(url)
        if unguarded:
            ledger = cast("Ledger", _UnguardedLedger(ledger))
        return cast("Ledger", _TimedLedger(ledger, around)) if around is not None else ledger

    # by the module's dictionary: these are names that the worker's own code looks up when it runs
    vars(work)["open_ledger"] = opened
    if around is not None:
        for module, name in (
            (work, "process"),
            (work, "close"),
            (batch, "run_blocks"),
            (merge, "merge_stage"),
            (merge, "publish"),
            (canvas, "send_wave"),
        ):
            # blocks done at once are one span, as one of them is
            vars(module)[name] = _timed(around, name.replace("blocks", "block"), vars(module)[name])


def _timed(around: _Around, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        with around(name):
            return function(*args, **kwargs)

    return timed
