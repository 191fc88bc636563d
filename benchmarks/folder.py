"""The temporary folder of inputs and outputs."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn


@contextmanager
def work_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder, in memory unless `parent` is given, which is removed at the end and also on SIGTERM."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent or (shared if shared.is_dir() else None)))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, before)
