"""A single job, alone on a number of workers: what limits it, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_celery.fleet.simulation.cluster import Cluster
from lepton_celery.fleet.simulation.events import new_environment
from lepton_celery.fleet.simulation.measured import Stage, Times, World
from lepton_celery.fleet.simulation.spending import Spending
from lepton_celery.fleet.simulation.trace import Arrival


def simulate_job(stages: Sequence[Stage], times: Times, world: World, workers: int, *, seed: int = 1) -> Spending:
    """How a job takes its time, alone on workers with one slot each."""
    environment = new_environment()
    cluster = Cluster(environment, [("default", 1.0)], times, world, seed=seed)
    for _ in range(workers):
        cluster.add_slot()
    cluster.submit(Arrival(0.0, "default", tuple(stages)))
    while cluster.unfinished:
        environment.step()
    cluster.count_idle()
    cluster.spending.seconds = environment.now + times.job_s
    return cluster.spending
