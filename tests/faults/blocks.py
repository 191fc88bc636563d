"""Functions for `map_blocks` that fail on blocks with a pixel of 255.

They do not fail when `map_blocks` tries them on a few pixels, which are dark.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
import warnings
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


def poisoned(block: Block, cured: str, enough: str, deadly: bool = False) -> Block:
    """Raises on a bright block, or kills its process, until the file `cured` exists.

    A block whose last pixel is 1 waits until the file `enough` exists. It should come after the bright ones, because
    a worker that waits does no other block of its batch.
    """
    if _is_bright(block) and not Path(cured).exists():
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("a bright pixel")
    while block.size >= 4096 and block.flat[-1] == 1 and not Path(enough).exists():
        time.sleep(0.05)
    return inverted(block)


def raises_undecodable(block: Block) -> Block:
    """Raises an error whose message has a lone surrogate, as the name of a file may have that is not UTF-8."""
    if _is_bright(block):
        raise ValueError("caf\udce9.tif")
    return inverted(block)


def raises_text(block: Block, text: str) -> Block:
    """Raises an error with this message."""
    if _is_bright(block):
        raise ValueError(text)
    return inverted(block)


def warns_undecodable(block: Block) -> Block:
    """Warns with such a message."""
    if _is_bright(block):
        warnings.warn("caf\udce9.tif", UserWarning, stacklevel=1)
    return inverted(block)


def dies(block: Block) -> Block:
    """Kills its process."""
    if _is_bright(block):
        os.kill(os.getpid(), signal.SIGKILL)
    return inverted(block)


def above_minimum(block: Block) -> Block:
    """A result that depends on the whole block."""
    found: Block = block - block.min(initial=255)
    return found


def dies_twice(block: Block, log: str) -> Block:
    """Kills its process in its first two runs on a bright block; its result depends on the whole block."""
    if _is_bright(block):
        _note(log, block)
        if len(Path(log).read_text().split()) < 3:
            os.kill(os.getpid(), signal.SIGKILL)
    return above_minimum(block)


def hungry(block: Block, bytes_per_pixel: int, log: str) -> Block:
    """Allocates `bytes_per_pixel` for each pixel in its first two runs on a bright block, as `dies_twice` dies."""
    if _is_bright(block):
        _note(log, block)
        if len(Path(log).read_text().split()) < 3:
            np.ones(block.size * bytes_per_pixel, np.uint8)
    return above_minimum(block)


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


def slow(block: Block, seconds: float, until: str = "", log: str = "") -> Block:
    """Sleeps on every block, until the file `until` exists."""
    if log:
        counted(block, log)
    if block.size >= 4096 and not (until and Path(until).exists()):
        time.sleep(seconds)
    return inverted(block)


def held(block: Block, until: str, log: str) -> Block:
    """Waits on every block until the file `until` exists."""
    if block.size >= 4096:
        counted(block, log)
        while not Path(until).exists():
            time.sleep(0.05)
    return inverted(block)


def missing(block: Block, path: str) -> Block:
    """Raises because a file is missing."""
    if _is_bright(block):
        raise StoreNotFound(f"there is nothing at {path}")
    return inverted(block)


def ends_worker(block: Block) -> Block:
    """Kills its whole worker, as a container without memory does."""
    if _is_bright(block):
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    return inverted(block)
