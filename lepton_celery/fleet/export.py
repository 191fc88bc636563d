"""Serves the desired workers of each lane: as Prometheus metrics, and for KEDA's scaler `metrics-api`.

    /metrics      Prometheus
    /keda/LANE    {"desired": 3}; 503 while the ledger does not answer, so that KEDA takes its fallback
    /healthz      200 if the last decision succeeded

It answers without asking the ledger: a thread decides once a period, and other metrics are read once in some seconds.
So it takes any number of requests, but gives them to whoever reaches its port; there is nothing secret in the answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from lepton_celery.errors import BrokerUnreachable, InputError
from lepton_celery.fleet.policy import Finding
from lepton_celery.fleet.replicas import LaneReplicas, Replicas
from lepton_celery.text import quoted

if TYPE_CHECKING:  # an extra
    from prometheus_client import Metric
    from prometheus_client.registry import Collector as AnyCollector

_REQUEST_S = 10.0
"""Seconds that a client has for its request."""

Answer = Callable[[str, list[tuple[str, str]]], Any]

_FIGURES: Mapping[str, tuple[str, Callable[[LaneReplicas], float]]] = {
    "lepton_desired_workers": ("Workers that the lane should have.", lambda found: found.workers),
    "lepton_desired_slots": ("Slots that the lane should have.", lambda found: found.decision.desired),
    "lepton_ready_slots": ("Slots of the workers that serve the lane.", lambda found: found.observation.ready),
    "lepton_busy_slots": ("Slots that work for the lane.", lambda found: found.load.busy_slots),
    "lepton_outstanding_blocks": ("Blocks that are not done.", lambda found: found.load.blocks),
    "lepton_outstanding_work_seconds": ("Predicted seconds of outstanding work.", lambda found: found.load.work_s),
    "lepton_oldest_wait_seconds": ("How long the oldest waiting work has waited.", lambda found: found.load.oldest_s),
    "lepton_target_wait_seconds": ("How long work may wait.", lambda found: found.load.target_wait_s),
}
"""The metrics of a lane, with their help."""


class Collector:
    """The decisions as Prometheus metrics. Stale ones are left out, so that nobody scales by them."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def collect(self) -> Iterator[Metric]:
        """The metrics of now."""
        from prometheus_client.core import GaugeMetricFamily

        found = self._replicas.last()
        for name, (text, value_of) in _FIGURES.items():
            gauge = GaugeMetricFamily(name, text, labels=["lane"])
            for lane, replicas in found.items():
                gauge.add_metric([lane], value_of(replicas))
            yield gauge
        gauge = GaugeMetricFamily(
            "lepton_autoscale_finding", "What keeps a lane from its slots or its target.", labels=["lane", "finding"]
        )
        for lane, replicas in found.items():
            for finding in Finding:
                gauge.add_metric([lane, finding.value], float(finding in replicas.decision.findings))
        yield gauge
        is_up = GaugeMetricFamily("lepton_ledger_up", "Whether the ledger answered the last time.")
        is_up.add_metric([], float(is_healthy(self._replicas)))
        yield is_up


def is_healthy(replicas: Replicas) -> bool:
    """Whether there are decisions of now."""
    try:
        replicas.current()
    except BrokerUnreachable:
        return False
    return True


def wsgi_app(
    replicas: Replicas, others: Iterable[AnyCollector] = ()
) -> Callable[[dict[str, Any], Answer], Iterable[bytes]]:
    """The web application; `others` have further metrics for `/metrics`.

    Raises:
        InputError: prometheus-client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app
    except ImportError:
        raise InputError("serving metrics needs prometheus-client; pip install 'lepton-celery[metrics]'") from None
    registry = CollectorRegistry()
    registry.register(Collector(replicas))
    for other in others:
        registry.register(other)
    metrics: Any = make_wsgi_app(registry)

    def app(environ: dict[str, Any], answer: Answer) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _say(answer, "405 Method Not Allowed", {"error": "give GET"})
        if path == "/metrics":
            found: Iterable[bytes] = metrics(environ, answer)
            return found
        if path == "/healthz":
            return _desired(replicas, None, answer)
        if path.startswith("/keda/"):
            return _desired(replicas, path.removeprefix("/keda/"), answer)
        return _say(answer, "404 Not Found", {"error": "there are /metrics, /keda/LANE and /healthz"})

    return app


def _desired(replicas: Replicas, lane: str | None, answer: Answer) -> Iterable[bytes]:
    """The desired workers of a lane; without a lane, of all."""
    if lane is not None and lane not in replicas.lanes:
        text = f"there is no lane {quoted(lane)}; there are {', '.join(replicas.lanes)}"
        return _say(answer, "404 Not Found", {"error": text})
    try:
        found = replicas.current()
    except BrokerUnreachable as error:
        return _say(answer, "503 Service Unavailable", {"error": str(error)})
    if lane is None:
        return _say(answer, "200 OK", {name: decided.workers for name, decided in found.items()})
    return _say(answer, "200 OK", {"desired": found[lane].workers, "reason": found[lane].decision.reason})


def _say(answer: Answer, status: str, document: Mapping[str, Any]) -> Iterable[bytes]:
    body = json.dumps(document).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    answer(status, headers)
    return [body]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_S  # of the connection: a client that sends nothing is not waited for

    def log_message(self, format: str, *args: Any) -> None:  # the name is the standard library's
        """Nothing: requests come every few seconds for ever."""


def serve(replicas: Replicas, bind: str, port: int, others: Iterable[AnyCollector] = ()) -> WSGIServer:
    """A server that listens; `serve_forever` answers. `others` have further metrics for `/metrics`.

    Raises:
        InputError: the address is in use or not one of this machine, or prometheus-client is not installed.
    """
    app: Any = wsgi_app(replicas, others)
    try:
        return make_server(bind, port, app, _Server, _Handler)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"cannot listen on {bind} port {port}: {error}; give another --port, or an address of this machine as --bind"
        ) from error
