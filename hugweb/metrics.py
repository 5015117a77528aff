"""Figures for Prometheus: requests of the APIs, answers of models, and what the engine holds.

Requests are counted outside of everything, refusals included, by the pattern of their address, so
that what clients write cannot make new series. Answers are counted as usage is, whoever asks, by the
model that gave them: a name that stood for none has no answer. ``docs/metrics.md`` is the table of all.
"""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Iterable, Iterator

from django.urls import Resolver404, resolve
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hugweb.api.shape import dialect_of
from hugweb.asgi_types import Application, Message, Receive, Scope, Send
from inference.protocol import LoadedModel
from inference.usage.meter import QUEUED, Measured

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
ANSWERS = Counter(
    "hugweb_answers",
    "Requests that a model has answered, by what was asked and how that ended.",
    ("model", "kind", "outcome"),
    registry=REGISTRY,
)
TOKENS = Counter(
    "hugweb_tokens",
    "Tokens: of prompts, of those what was read before, and of answers.",
    ("model", "kind"),
    registry=REGISTRY,
)
FIRST_TOKEN_SECONDS = Histogram(
    "hugweb_first_token_seconds",
    "From a request to the first token of its answer, waiting and loading included.",
    ("model",),
    buckets=BUCKETS,
    registry=REGISTRY,
)
QUEUE_SECONDS = Histogram(
    "hugweb_queue_seconds",
    "How long a request waited for others.",
    ("model",),
    buckets=BUCKETS,
    registry=REGISTRY,
)
# Models that have figures of their own; those that come after so many share theirs.
MOST_MODELS = 100
_models: set[str] = set()


def count_answer(row: Measured) -> None:
    """A model has answered, or failed to."""
    model = model_label(row.model)
    ANSWERS.labels(model, row.kind, row.outcome).inc()
    for kind in ("prompt", "cached", "completion"):
        TOKENS.labels(model, kind).inc(getattr(row.usage, kind))
    QUEUE_SECONDS.labels(model).observe(row.queued_ns / 1e9)
    if row.first_token_ns is not None and row.kind == "generate":
        FIRST_TOKEN_SECONDS.labels(model).observe(row.first_token_ns / 1e9)


def model_label(model: str) -> str:
    """What ``model`` is counted as."""
    if len(_models) < MOST_MODELS:
        _models.add(model)
    return model if model in _models else OTHER


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
        queued = GaugeMetricFamily(
            "hugweb_queue_length", "Requests that wait for others at this moment.", labels=("model",)
        )
        for model, count in waiting().items():
            queued.add_metric((model,), count)
        yield queued
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


def waiting() -> Counts[str]:
    """How many requests to each model wait for others; 0 for a model that has answered before."""
    counts = Counts(dict.fromkeys(_models, 0))
    for model, count in QUEUED.items():
        counts[model_label(model)] += count
    return counts


def exposition(models: tuple[LoadedModel, ...] | None) -> bytes:
    """All figures, in Prometheus's text format."""
    engine = CollectorRegistry()
    engine.register(EngineFigures(models))
    return generate_latest(REGISTRY) + generate_latest(engine)
