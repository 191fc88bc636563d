"""Runs code in a child process with little time and memory, and says how much it took."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

HEADER = """
import json, os, resource, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
import lepton_celery as lepton
from lepton_celery import stores
from lepton_celery.errors import LeptonError
from lepton_celery.grid import Region
import zarr, tifffile, PIL.Image, skimage.filters, scipy.ndimage, zarr.codecs  # their memory is not counted
def status(name):
    return next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith(name))
open("/proc/self/clear_refs", "w").write("5")
room = int(sys.argv[1]) << 20
resource.setrlimit(resource.RLIMIT_AS, ((status("VmSize") << 20) + room,) * 2)
began, before = time.process_time(), status("VmRSS")
"""

FOOTER = """
print(json.dumps([said, time.process_time() - began, status("VmHWM") - before]))
"""


@dataclass(frozen=True)
class Outcome:
    """What a piece of code said, and what it took."""

    said: str
    """Type and message of the error that it raised, or `done`."""
    seconds: float
    """Processor time."""
    megabytes: int
    """Largest growth of the memory."""
    printed: str = ""
    """The last line that it printed."""


def bounded(code: str, *, megabytes: int = 512, timeout_s: float = 60, given: str = "") -> Outcome:
    """Run code in a process that may take so many megabytes; it fails if it is killed or does not end.

    The process reads `given` from its standard input.
    """
    body = "\n".join(f"    {line}" for line in code.splitlines())
    caught = "except (LeptonError, MemoryError) as error:\n    said = f'{type(error).__name__}: {error}'\n"
    program = f"{HEADER}\ntry:\n{body}\n    said = 'done'\n{caught}{FOOTER}"
    command = [sys.executable, "-c", program, str(megabytes)]
    found = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    *printed, outcome = found.stdout.splitlines()
    said, seconds, growth = json.loads(outcome)
    return Outcome(said, seconds, growth, printed[-1] if printed else "")
