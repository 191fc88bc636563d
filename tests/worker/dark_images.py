"""Jobs on an image whose blocks differ, with one bright pixel at which functions of `tests.faults.blocks` fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celery import Celery

import lepton_celery as lepton

SIDE, BLOCK = 256, 64
BRIGHT = (70, 200)
"""The pixel of 255, in block 7."""


def mapped(tmp_path: Path, function: str, **parameters: Any) -> Any:
    return lepton.map_blocks(f"tests.faults.blocks:{function}", lepton.open(tmp_path / "input.npy"), **parameters)


def submit(tmp_path: Path, app: Celery, image: Any, **options: Any) -> lepton.Job:
    return lepton.submit({str(tmp_path / "o.npy"): image}, app=app, block_shape=(BLOCK, BLOCK), **options)


def left_behind(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name.startswith("."))
