"""Functions for `map_blocks` that go wrong on blocks with a pixel of 255, in the ways that blocks do.

A user's function is tried on a few pixels when the job is submitted; those are dark.
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
    """What all of these give where nothing goes wrong."""
    return 255 - block


def _is_bright(block: Block) -> bool:
    return bool(block.max(initial=0) == 255)


def _note(log: str, block: Block) -> None:
    """A line for each run, with the block's first pixel, which tells them apart."""
    with Path(log).open("a") as file:
        file.write(f"{block.flat[0]}\n")


def counted(block: Block, log: str) -> Block:
    """Leaves a line in `log`."""
    if block.size >= 4096:  # not when it is tried at submission
        _note(log, block)
    return inverted(block)


def raises(block: Block, log: str = "", cured: str = "") -> Block:
    """Raises until there is a file `cured`."""
    if log:
        counted(block, log)
    if _is_bright(block) and not (cured and Path(cured).exists()):
        raise ValueError("a bright pixel")
    return inverted(block)


def dies(block: Block) -> Block:
    """Takes its process down."""
    if _is_bright(block):
        os.kill(os.getpid(), signal.SIGKILL)
    return inverted(block)


def hungry(block: Block, bytes_per_pixel: int) -> Block:
    """Needs much memory for each pixel."""
    if _is_bright(block):
        np.ones(block.size * bytes_per_pixel, np.uint8)
    return inverted(block)


def stubborn(block: Block, seconds: float, log: str) -> Block:
    """Holds the interpreter's lock, as compiled code may, and gives no other thread a turn."""
    if _is_bright(block):
        _note(log, block)
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return inverted(block)


def late(block: Block, seconds: float, log: str) -> Block:
    """Takes long on a bright block, the first time."""
    if _is_bright(block):
        is_first = not Path(log).exists()
        _note(log, block)
        if is_first:
            time.sleep(seconds)
    return inverted(block)


def slow(block: Block, seconds: float) -> Block:
    """Takes its time."""
    if block.size >= 4096:
        time.sleep(seconds)
    return inverted(block)


def missing(block: Block, path: str) -> Block:
    """Finds that a file of its own is not there."""
    if _is_bright(block):
        raise StoreNotFound(f"there is nothing at {path}")
    return inverted(block)
