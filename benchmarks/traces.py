"""Makes the traces that the package has, always the same: `python -m benchmarks.traces`.

The times of blocks are those that `benchmarks.simulation` measured (docs/benchmarks.md): the 5th, 50th and 95th percentile.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from lepton_celery.fleet.simulation.measured import Stage
from lepton_celery.fleet.simulation.trace import SHIPPED, Arrival, Trace, write_trace

FOLDER = Path(__file__).parents[1] / "lepton_celery/fleet/simulation/traces"

_W1 = (0.0254, 0.0289, 0.0364)
_W4 = (0.0505, 0.0531, 0.0575)
_W3 = ((0.000901, 0.000988, 0.00151), (0.00886, 0.0094, 0.013), (0.0105, 0.0146, 0.0269))
_SMALL = (0.11, 0.14, 0.17)
"""A job of 512² pixels and four stages, which is one message."""
_BATCH_S = 0.75
"""About the time of a batch."""
_TARGETS = {"interactive": 2.0, "default": 60.0, "batch": 900.0}


def stage(work_s: float, block_s: tuple[float, ...], merge_s: float = 0.0) -> Stage:
    """A stage of about so much work."""
    each = sum(block_s) / len(block_s)
    return Stage(max(1, round(work_s / each)), max(1, round(_BATCH_S / each)), block_s, round(merge_s, 3))


def small(at: float) -> Arrival:
    """A job that somebody waits for."""
    return Arrival(round(at, 2), "interactive", (Stage(1, 1, _SMALL),))


def filters(at: float, lane: str, work_s: float, tenant: str = "", *, pixels: int = 1) -> Arrival:
    """A job of one stage, whose blocks have the given number of megapixels."""
    block_s = _W4 if work_s > 1000 else _W1
    return Arrival(round(at, 1), lane, (stage(work_s, tuple(round(pixels * s, 4) for s in block_s)),), tenant)


def labels(at: float, lane: str, work_s: float, tenant: str = "") -> Arrival:
    """A job of three stages with merges: labels and their table."""
    total = sum(sum(times) for times in _W3)
    stages = tuple(stage(work_s * sum(times) / total, times, min(20.0, work_s / 200)) for times in _W3)
    return Arrival(round(at, 1), lane, stages, tenant)


def constant(_: float) -> float:
    """A rate that does not change."""
    return 1.0


def poisson(chance: random.Random, until_s: float, share: Callable[[float], float], highest: float) -> Iterator[float]:
    """The times of events at a share of the highest rate, which changes, by thinning."""
    at = 0.0
    while (at := at + chance.expovariate(highest)) < until_s:
        if chance.random() < share(at):
            yield at


def mixed(chance: random.Random, until_s: float, *, every_s: float, default_s: float, batch_s: float) -> list[Arrival]:
    """A steady stream: a small job every `every_s`, and slots of other work on average."""
    found = [small(at) for at in poisson(chance, until_s, constant, 1 / every_s)]
    for lane, slots, size in (("default", default_s, 40.0), ("batch", batch_s, 600.0)):
        if slots:
            for at in poisson(chance, until_s, constant, slots / size):
                make = labels if chance.random() < 0.5 else filters
                found.append(make(at, lane, size * chance.uniform(0.5, 1.5), chance.choice("abc")))
    return found


def steady(seed: int = 1) -> Trace:
    """Two hours of about 60 slots of work."""
    chance = random.Random(seed)
    jobs = mixed(chance, 6600, every_s=10, default_s=12, batch_s=48)
    return Trace("steady", "two hours of about 60 slots of work", 7200, _TARGETS, 4, 200, arrivals=tuple(jobs))


def burst(seed: int = 2) -> Trace:
    """Little work, and three bursts."""
    chance = random.Random(seed)
    jobs = mixed(chance, 10_500, every_s=10, default_s=3, batch_s=6)
    for begin, count in ((1200, 30), (4800, 60), (8000, 20)):
        jobs += [labels(begin + chance.uniform(0, 60), "batch", chance.uniform(1000, 2000), "b") for _ in range(count)]
    about = "about ten slots of work, and bursts of 30, 60 and 20 jobs of 1,500 s within a minute"
    return Trace("burst", about, 11_400, _TARGETS, 2, 400, arrivals=tuple(jobs))


def daily(seed: int = 3) -> Trace:
    """A day, with few jobs at night and many at noon, on workers that are lost at times."""
    chance = random.Random(seed)
    day = 86_400.0

    def wave(at: float) -> float:
        return 0.1 + 0.9 * math.sin(math.pi * at / day) ** 3

    jobs = [small(at) for at in poisson(chance, day - 3600, wave, 1 / 40)]
    for lane, slots, size in (("default", 4, 480.0), ("batch", 240, 9000.0)):
        for at in poisson(chance, day - 3600, wave, slots / size):
            jobs.append(filters(at, lane, size * chance.uniform(0.4, 1.6), chance.choice("abcd"), pixels=64))
    about = "a day of 25 to 250 slots of work in large blocks, on spot workers of which one in 50 is lost in an hour"
    return Trace("daily", about, day, _TARGETS, 4, 400, losses_per_hour=0.02, arrivals=tuple(jobs))


def giant(seed: int = 4) -> Trace:
    """One giant job, and many small ones."""
    chance = random.Random(seed)
    jobs = mixed(chance, 6000, every_s=6, default_s=8, batch_s=0)
    jobs.append(filters(600, "batch", 150_000, "giant"))
    about = "a job of 150,000 s of work, and a small job every 6 s"
    return Trace("giant", about, 7200, _TARGETS, 4, 400, arrivals=tuple(jobs))


def poison(seed: int = 5) -> Trace:
    """A job of which some blocks kill the processes that do them."""
    chance = random.Random(seed)
    jobs = mixed(chance, 6600, every_s=10, default_s=6, batch_s=18)
    jobs.append(replace(filters(1800, "batch", 4000, "p"), poison=40))
    about = "about 25 slots of work, and a job of which 40 blocks kill four processes each before they are given up"
    return Trace("poison", about, 7200, _TARGETS, 4, 200, losses_per_hour=0.05, arrivals=tuple(jobs))


KINDS: dict[str, Callable[..., Trace]] = {each.__name__: each for each in (steady, burst, daily, giant, poison)}
"""The kinds of traces by name; each function takes a seed."""


def made(kind: str, *seed: int) -> Trace:
    """A trace of a kind: the one that the package has, or with a seed, another one."""
    trace = KINDS[kind](*seed)
    return replace(trace, arrivals=tuple(sorted(trace.arrivals, key=lambda arrival: arrival.at)))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in SHIPPED:
        trace = made(name)
        write_trace(FOLDER / f"{name}.jsonl", trace)
        print(f"{name}: {len(trace.arrivals):,} jobs, {trace.work_s / 3600:,.1f} slot-hours of work")


if __name__ == "__main__":
    main()
