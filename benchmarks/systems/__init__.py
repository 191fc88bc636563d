"""The systems that are compared, one class and module each."""

from __future__ import annotations

from importlib import import_module

from benchmarks.systems.base import System

_HOMES = {
    "a": "whole:Whole",
    "f": "pool:Pool",
    "c": "dask_threads:DaskThreads",
    "dz": "dask_processes:DaskProcesses",
    "er": "ray_reference:Ray",
    "g": "celery_naive:NaiveCelery",
    "h": "celery_reference:CeleryReference",
    "lepton": "lepton:LeptonCelery",
    "inline": "lepton:LeptonInline",
}

TITLES = {
    "a": "scikit-image on the whole image, one process",
    "f": "written by hand: multiprocessing.Pool(2), memory maps, halo read, core written",
    "fb": "f, many blocks a task",
    "c": "dask.array, threads",
    "dz": "dask.distributed, LocalCluster of 2 processes",
    "er": "Ray tasks by reference",
    "eb": "er, many blocks a task",
    "g": "naive Celery chord: pixels pickled through Redis",
    "h": "Celery chord by reference, written by hand",
    "hb": "h, many blocks a task",
    "lepton": "lepton_celery on Celery, 2 workers, ledger and all",
    "inline": "lepton_celery on 2 threads of one process",
}

BATCHED = {"fb": "f", "eb": "er", "hb": "h"}
"""The system that each batched system is, but for its many blocks per task."""

PEERS = ("c", "dz", "er", "eb", "g", "h", "hb")
"""Systems that somebody would use in place of lepton_celery; `a`, `f` and `fb` are the references."""

_OBJECTS = "dask-image measures every object by tasks of its own: not done in minutes for tens of thousands of objects"

CANNOT = {("W3t", "c"): _OBJECTS, ("W3t", "dz"): _OBJECTS}
"""Why a system has no row for a workload, by workload and system."""


def make_system(name: str) -> System:
    """Create the system with this short name; only its own module is imported."""
    module, _, kind = _HOMES[name].partition(":")
    system: System = getattr(import_module(f"benchmarks.systems.{module}"), kind)()
    return system
