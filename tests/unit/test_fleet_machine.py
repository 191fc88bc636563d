"""Memory and processors within the limits of cgroups, of both versions, from files as the kernel writes them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lepton_celery.fleet.machine import Usage, memory_limits, processors

GIB = 1 << 30


def write(root: Path, **texts: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / name.replace("__", ".")).write_text(text)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


def test_the_second_version_limits_by_the_folder_and_those_above(tmp_path: Path, own: Path) -> None:
    own.write_text("0::/pod/worker\n")
    root = tmp_path / "cgroup"
    write(
        root / "pod",
        memory__max=f"{4 * GIB}\n",
        memory__current=f"{3 * GIB}\n",
        memory__stat=f"anon 5\ninactive_file {GIB}\n",
    )
    write(root / "pod" / "worker", memory__max="max\n", memory__current=f"{GIB}\n", cpu__max="50000 100000\n")
    assert memory_limits(own, root) == [(4 * GIB, 2 * GIB)]
    assert processors(own, root) == 0.5


def test_the_first_version_has_a_tree_for_each_controller(tmp_path: Path, own: Path) -> None:
    own.write_text("7:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/\n")
    root = tmp_path / "cgroup"
    write(root / "memory", **{"memory.limit_in_bytes": f"{(1 << 63) - 4096}\n", "memory.usage_in_bytes": "7\n"})
    write(root / "memory" / "a", **{"memory.limit_in_bytes": f"{GIB}\n", "memory.usage_in_bytes": "7\n"})
    write(root / "cpu" / "a", **{"cpu.cfs_quota_us": "25000\n", "cpu.cfs_period_us": "100000\n"})
    assert memory_limits(own, root) == [(GIB, 7)]
    assert processors(own, root) == 0.25


@pytest.mark.parametrize("text", ["", "0::/\n", "0::/../..\n", "nonsense\n"])
def test_without_limits_the_machine_is_the_limit(tmp_path: Path, own: Path, text: str) -> None:
    own.write_text(text)
    assert memory_limits(own, tmp_path / "none") == []
    assert processors(own, tmp_path / "none") == (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    assert memory_limits(tmp_path / "missing", tmp_path) == []


def test_the_use_of_processes_is_that_since_the_last_call() -> None:
    usage = Usage()
    usage.measure([os.getpid()], 1)
    began = time.process_time()
    while time.process_time() - began < 0.05:
        pass
    memory, cores = usage.measure([os.getpid(), 1 << 22], 1)  # no process has that number
    assert cores.used > 0
    assert 0 < cores.per_slot <= 1
    assert memory is not None
    assert memory.per_slot >= 128 << 20
    assert memory.used <= memory.limit
