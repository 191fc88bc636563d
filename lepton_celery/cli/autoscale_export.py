"""`lepton autoscale --export`: jobs, and how many workers each lane should have, for Prometheus and KEDA."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

import click

from lepton_celery.cli.long_running import teller
from lepton_celery.cli.where import need_settings
from lepton_celery.errors import InputError
from lepton_celery.fleet.export import serve
from lepton_celery.fleet.policy import Limits
from lepton_celery.fleet.replicas import LaneFleet, Replicas
from lepton_celery.fleet.targets import TARGETS, seconds_of, targets_of
from lepton_celery.ledger import open_ledger
from lepton_celery.priority import LANES
from lepton_celery.text import quoted
from lepton_celery.views.metrics import JobMetrics

PORT = 9808


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, help="Port to listen on; 0 for a free one.")
@click.option("--bind", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on.")
@click.option("--min", "least", default="0", metavar="N", help="Fewest workers of a lane, as 0,interactive=1.")
@click.option("--max", "most", default="8", metavar="N", help="Most workers of a lane, as 8,batch=100.")
@click.option(
    "--target-wait",
    default="",
    metavar="LANE=TIME,…",
    help="How long work may wait, as interactive=2s,batch=15m.  [default: LEPTON_TARGET_WAIT, else 2s, 1m, 15m]",
)
@click.option("--slots", type=click.IntRange(1), default=1, help="Processes of a worker.")
@click.option("--start-up", default="30s", metavar="TIME", help="Time from the order of a worker until it takes work.")
@click.option("--period", default="5s", metavar="TIME", help="Time between two decisions.")
def export(
    port: int, bind: str, least: str, most: str, target_wait: str, slots: int, start_up: str, period: str
) -> None:
    """Serve how many workers each lane should have, for Prometheus and KEDA.

    /metrics has Prometheus metrics of the lanes and of the jobs, /keda/LANE the number for KEDA's scaler metrics-api
    (valueLocation: desired), /healthz whether the ledger answers. Each lane has workers of its own, which an orchestrator
    starts and stops.
    """
    settings = need_settings()
    fleets = lane_fleets(least, most, target_wait, slots, start_up, period, targets_of(settings.target_wait))
    ledger = open_ledger(settings.ledger)
    tell = teller(settings)
    replicas = Replicas(ledger, fleets, tell)
    server = serve(replicas, bind, port, [JobMetrics(ledger)])
    try:
        address = f"http://{bind}:{server.server_port}"
        tell(f"the desired workers of each lane: {address}/metrics and /keda/LANE; Ctrl-C ends it")
        with suppress(KeyboardInterrupt):
            replicas.start()
            server.serve_forever()
    finally:
        replicas.stop()
        server.server_close()
        tell("no more decisions are made")


def lane_fleets(
    least: str,
    most: str,
    target_wait: str,
    slots: int,
    start_up: str,
    period: str,
    known: Mapping[str, float] = TARGETS,
) -> dict[str, LaneFleet]:
    """The terms of each lane, from the options of the command; `known` has the target waits that they do not give."""
    minima, maxima = _counts("--min", least), _counts("--max", most)
    targets = targets_of(_entries(target_wait), default=known)
    for lane in LANES:
        if minima.get(lane, 0) > maxima.get(lane, 8):
            raise InputError(
                f"--min {minima[lane]} is more than --max {maxima.get(lane, 8)} for lane {lane}; give a --min that is not"
            )
        if not maxima.get(lane, 8):
            raise InputError(f"--max of lane {lane} is 0; give at least 1, or no worker would ever do its work")
    return {
        lane: LaneFleet(
            Limits(
                minimum=minima.get(lane, 0) * slots,
                maximum=maxima.get(lane, 8) * slots,
                slots_per_worker=slots,
                reserved=0,
                period_s=seconds_of(period),
                stale_after_s=max(30.0, 3 * seconds_of(period)),
            ),
            targets[lane],
            seconds_of(start_up),
        )
        for lane in LANES
    }


def _counts(option: str, text: str) -> dict[str, int]:
    """The number for each lane: `N` for all, `LANE=N` for one."""
    found: dict[str, int] = {}
    named: dict[str, int] = {}
    for entry in _entries(text):
        lane, equals, number = entry.rpartition("=")
        if not (number.isdecimal() and number.isascii() and len(number) < 7):
            raise InputError(f"{option} {quoted(entry)} is not understood; give a number, or LANE=NUMBER")
        if equals and lane not in LANES:
            raise InputError(f"{option} {quoted(entry)}: there is no such lane; there are {', '.join(LANES)}")
        if equals:
            named[lane] = int(number)
        else:
            found = dict.fromkeys(LANES, int(number))
    return found | named


def _entries(text: str) -> Iterable[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]
