"""Functions for `map_blocks` that fail on blocks with a pixel of 255.

They do not fail when `map_blocks` tries them on a few pixels, which are dark.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_celery.errors import StoreNotFound

Block = NDArray[np.uint8]


def inverted(block: Block) -> Block:
    """The result of every function here that does not fail."""
    return 255 - block


def _is_bright(block: Block) -> bool:
    return bool(block.max(initial=0) == 255)


def _note(log: str, block: Block) -> None:
    """Append the first pixel of the block, which identifies it, to `log`."""
    with Path(log).open("a") as file:
        file.write(f"{block.flat[0]}\n")


def counted(block: Block, log: str) -> Block:
    """Notes each run in `log`."""
    if block.size >= 4096:  # not the pixels that `map_blocks` tries
        _note(log, block)
    return inverted(block)


def raises(block: Block, log: str = "", cured: str = "") -> Block:
    """Raises until the file `cured` exists."""
    if log:
        counted(block, log)
    if _is_bright(block) and not (cured and Path(cured).exists()):
        raise ValueError("a bright pixel")
    return inverted(block)


def dies(block: Block) -> Block:
    """Kills its process."""
    if _is_bright(block):
        os.kill(os.getpid(), signal.SIGKILL)
    return inverted(block)


def hungry(block: Block, bytes_per_pixel: int) -> Block:
    """Allocates `bytes_per_pixel` for each pixel."""
    if _is_bright(block):
        np.ones(block.size * bytes_per_pixel, np.uint8)
    return inverted(block)


def stubborn(block: Block, seconds: float, log: str) -> Block:
    """Holds the GIL for some seconds, as compiled code may."""
    if _is_bright(block):
        _note(log, block)
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return inverted(block)


def late(block: Block, seconds: float, log: str) -> Block:
    """Sleeps on a bright block in its first run only."""
    if _is_bright(block):
        is_first = not Path(log).exists()
        _note(log, block)
        if is_first:
            time.sleep(seconds)
    return inverted(block)


def slow(block: Block, seconds: float) -> Block:
    """Sleeps on every block."""
    if block.size >= 4096:
        time.sleep(seconds)
    return inverted(block)


def missing(block: Block, path: str) -> Block:
    """Raises because a file is missing."""
    if _is_bright(block):
        raise StoreNotFound(f"there is nothing at {path}")
    return inverted(block)
