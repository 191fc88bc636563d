"""Memory is retained from block to block, and then released."""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
import traceback
import weakref

import pytest

from lepton_celery.errors import StoreError
from lepton_celery.execution.freed_memory import free_arrays_of

CODE = """
import json, re, resource
import numpy as np
from lepton_celery.execution.freed_memory import release_freed_memory

def faults_of(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        one, other = np.ones(1 << 20), np.ones(1 << 19)  # 12 MB
        del one, other
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_mb():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmRSS:\\s+(\\d+)", status.read())[1]) >> 10

first = resident_mb()
retained = release_freed_memory()
faults_of(1)
result = {"retained": retained, "faults": faults_of(50), "held": resident_mb() - first}
release_freed_memory()
print(json.dumps({**result, "left": resident_mb() - first}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the C library of Linux")
def test_memory_of_a_block_serves_the_next_and_is_released() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    if not found["retained"]:
        pytest.skip("needs glibc")
    assert found["faults"] < 50  # thousands if each round faulted in its pages again
    assert found["held"] > 6
    assert found["left"] < 4


class Large:
    """Stands for an array, which other objects may refer to weakly."""


def failing(refs: list[weakref.ref[Large]], within: Exception | None = None) -> None:
    """Raise an error that refers to its own traceback, from a function with a large variable."""
    large = Large()
    refs.append(weakref.ref(large))
    try:
        raise StoreError("the disk is full")
    except StoreError as error:
        kept = error  # noqa: F841  # a cycle, which reference counts do not free
        if within is not None:
            raise within from error
        raise


@pytest.mark.parametrize("within", [None, ValueError("in a function")])
def test_an_error_keeps_no_array_alive(within: Exception | None) -> None:
    refs: list[weakref.ref[Large]] = []
    with pytest.raises(Exception) as caught:
        try:
            failing(refs)
        except StoreError:
            failing(refs, within)
    gc.collect()
    error = caught.value
    assert all(ref() is not None for ref in refs)
    free_arrays_of(error)
    assert [ref() for ref in refs] == [None, None]
    assert "in failing" in "".join(traceback.format_exception(error))
    free_arrays_of(error)


COMPUTE = """
import json, re
import numpy as np
import lepton_celery as lepton
from lepton_celery.execution.freed_memory import freed_memory_retained

def resident_mb():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmRSS:\\s+(\\d+)", status.read())[1]) >> 10

def work(size):
    image = lepton.open(np.ones((size, size)))
    return lepton.compute((image + 1) * image, block_shape=(size, size), threads=1)

work(16)
first = resident_mb()
with freed_memory_retained():
    work(1536)
    held = resident_mb() - first
print(json.dumps({"held": held, "left": resident_mb() - first}))
"""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_a_computation_in_this_process_leaves_no_memory_behind() -> None:
    done = subprocess.run([sys.executable, "-c", COMPUTE], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["held"] > 12  # an inner computation leaves the memory of its blocks to the outer one
    assert found["left"] < 6
