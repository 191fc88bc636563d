"""Runs one system in a process of its own: `python -m benchmarks.driver SYSTEM WORK`.

It reads tasks as JSON lines from standard input and answers each with its seconds, as a JSON line on standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks.cases import Task
from benchmarks.systems import make_system


def main(name: str, work: Path) -> None:
    # libraries that print to standard output must not write between the answers
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _leave)
    system = make_system(name)
    try:
        system.start(work)
        answers.write(json.dumps({"ready": True}) + "\n")
        for line in sys.stdin:
            task = Task.from_json(line)
            started = time.perf_counter()
            error = ""
            try:
                system.run(task)
            except Exception as failure:  # the table shows the error
                error = f"{type(failure).__name__}: {failure}"
            seconds = time.perf_counter() - started
            answers.write(json.dumps({"seconds": seconds, "error": error}) + "\n")
    finally:
        system.stop()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
