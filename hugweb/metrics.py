"""Figures for Prometheus: requests of the APIs, and what the engine holds.

Requests are counted outside of everything, refusals included, by the pattern of their address, so
that what clients write cannot make new series. Knows nothing of what requests are for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from django.urls import Resolver404, resolve
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hugweb.api.shape import dialect_of
from hugweb.asgi_types import Application, Message, Receive, Scope, Send
from inference.protocol import LoadedModel, Usage

# Bounds of times, in seconds: a refusal takes milliseconds, a long answer minutes.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
OTHER = "other"
# What a request is counted as whose client left before anything was answered.
LEFT = "left"

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
REQUESTS = Counter(
    "hugweb_requests", "Requests of the APIs that have ended.", ("endpoint", "status"), registry=REGISTRY
)
ACTIVE = Gauge("hugweb_requests_active", "Requests of the APIs in flight.", registry=REGISTRY)
FIRST_SECONDS = Histogram(
    "hugweb_request_first_seconds",
    "From a request to the first byte of its answer: for a stream, to the first text.",
    ("endpoint",),
    buckets=BUCKETS,
    registry=REGISTRY,
)
SECONDS = Histogram(
    "hugweb_request_seconds",
    "From a request to the end of its answer.",
    ("endpoint",),
    buckets=BUCKETS,
    registry=REGISTRY,
)

TOKENS = Counter(
    "hugweb_tokens",
    "Tokens of API requests: of prompts, of those what was read before, and of answers.",
    ("kind",),
    registry=REGISTRY,
)


def count_tokens(usage: Usage) -> None:
    """A request has ended well, having used so much."""
    for kind in ("prompt", "cached", "completion"):
        TOKENS.labels(kind).inc(getattr(usage, kind))


def measured(app: Application) -> Application:
    """``app``, its API requests counted and timed."""

    async def measuring(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or dialect_of(scope["path"]) is None:
            await app(scope, receive, send)
            return
        call = Call(endpoint_of(scope["path"]), send)
        with ACTIVE.track_inprogress():
            try:
                await app(scope, receive, call.send)
            finally:
                call.end()

    return measuring


def endpoint_of(path: str) -> str:
    """The pattern that ``path`` matches, as ``/api/blobs/<str:digest>``."""
    try:
        route = resolve(path).route
    except Resolver404:
        return OTHER
    return OTHER if route.startswith("^") else f"/{route}"


class Call:
    """One request that is being answered."""

    def __init__(self, endpoint: str, send: Send) -> None:
        self._endpoint = endpoint
        self._send = send
        self._began = time.perf_counter()
        self._status = LEFT

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = str(message["status"])
            FIRST_SECONDS.labels(self._endpoint).observe(time.perf_counter() - self._began)
        await self._send(message)

    def end(self) -> None:
        """Nothing more is sent."""
        REQUESTS.labels(self._endpoint, self._status).inc()
        SECONDS.labels(self._endpoint).observe(time.perf_counter() - self._began)


class EngineFigures(Collector):
    """What the engine holds at this moment; ``None`` where it gives no answer."""

    def __init__(self, models: tuple[LoadedModel, ...] | None) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("hugweb_engine_up", "Whether the engine answers.")
        up.add_metric((), float(self._models is not None))
        yield up
        models = self._models or ()
        yield _gauge("hugweb_model_bytes", "Memory that a loaded model takes.", models, "size")
        yield _gauge(
            "hugweb_model_requests", "Requests that a loaded model has, waiting ones too.", models, "active"
        )


def _gauge(name: str, help: str, models: Iterable[LoadedModel], field: str) -> Metric:
    family = GaugeMetricFamily(name, help, labels=("model", "device", "state"))
    for model in models:
        family.add_metric((model.name, model.device, model.state), getattr(model, field))
    return family


def exposition(models: tuple[LoadedModel, ...] | None) -> bytes:
    """All figures, in Prometheus's text format."""
    engine = CollectorRegistry()
    engine.register(EngineFigures(models))
    return generate_latest(REGISTRY) + generate_latest(engine)
