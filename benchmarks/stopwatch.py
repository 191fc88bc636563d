"""Records when a worker's steps and ledger calls begin and end, by wrapping functions of `lepton_celery` at run time."""

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
"""Environment variable with the file that the times go to. Nothing is timed when it is unset."""
UNGUARDED = "BENCHMARK_UNGUARDED"
"""Environment variable that, when set, makes workers do blocks without claiming them."""


@dataclass(frozen=True)
class Span:
    """One timed step of a worker, in seconds of the monotonic clock, which all processes of a machine share."""

    name: str
    begin: float
    end: float
    process: int

    @property
    def seconds(self) -> float:
        return self.end - self.begin


class _Recorder:
    """Appends spans to a file. Each line is a single write, so that lines of several processes do not mix."""

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
    """The recorded spans, in the order in which they ended."""
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
    """A ledger that grants every block without a lease: a lost worker's blocks stay lost, and a repeated message is
    done twice. Receipts, merges and fences stay, since they end the stages."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def claim(self, job_id: str, number: StageNumber, places: Iterable[Place], **_: Any) -> Claim:
        return Claim(list(places), [], [], [], active=True)

    def renew(self, job_id: str, number: StageNumber, **_: Any) -> bool:
        return True


def install() -> None:
    """Wrap the worker of this process as the environment variables ask."""
    log = os.environ.get(LOG)
    unguarded = UNGUARDED in os.environ
    around = _Recorder(log) if log else None

    def opened(url: str) -> Ledger:
        ledger = open_ledger(url)
        if unguarded:
            ledger = cast("Ledger", _UnguardedLedger(ledger))
        return cast("Ledger", _TimedLedger(ledger, around)) if around is not None else ledger

    # the worker looks these names up in its module when it runs, so replacing them there is enough
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
            # blocks done in one call are one span, with the name of a single block
            vars(module)[name] = _timed(around, name.replace("blocks", "block"), vars(module)[name])


def _timed(around: _Around, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        with around(name):
            return function(*args, **kwargs)

    return timed
