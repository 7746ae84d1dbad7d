"""Prometheus metrics. Labels come from fixed sets (routes, outcomes, modes, categories, keys), never from requests."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edit_rrm.grammar import FailureKind
from edit_rrm.verdicts import Mode, Outcome, Usage, Verdict
from edit_rrm_service.caller_metrics import CallerMetrics
from edit_rrm_service.callers import Priority
from edit_rrm_service.engines.base import Backend
from edit_rrm_service.images import ImageFault
from edit_rrm_service.lifecycle import Phase
from edit_rrm_service.sentinel import Verdict as SentinelVerdict
from edit_rrm_service.store import OPERATIONS

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""From one probe of a small judge to a long chain of thought of a large one under load."""
_WAITS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_COUNTS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 128.0)
_MASSES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""From a round trip in one machine to what is waited for at most."""
_SCORES = tuple(float(score) for score in range(11))

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class _Backends(Collector):
    """Series of an engine's servers, read at every scrape."""

    def __init__(self, backends: Callable[[], Sequence[Backend]]) -> None:
        self._backends = backends

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("edit_rrm_backend_up", "1 while a server is used", labels=["backend"])
        in_flight = GaugeMetricFamily("edit_rrm_backend_in_flight", "Requests under way", labels=["backend"])
        ended = CounterMetricFamily("edit_rrm_backend_requests", "Attempts by end", labels=["backend", "result"])
        for backend in self._backends():
            up.add_metric([backend.name], backend.up)
            in_flight.add_metric([backend.name], backend.in_flight)
            for result, number in backend.requests.items():
                ended.add_metric([backend.name, result], number)
        yield from (up, in_flight, ended)


class Metrics:
    """The service's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter("http_requests", "HTTP requests answered", "route", "status")
        self._request_seconds = self._histogram("http_request_duration_seconds", "Time to answer", "route")
        self.under_way = Gauge(
            "edit_rrm_http_requests_in_flight", "Requests that are not answered yet", registry=self.registry
        )
        self.callers = CallerMetrics(self.registry)
        self._outcomes = self._counter("outcomes", "Judged edits by outcome", "outcome")
        self._unread = self._counter("parse_failures", "Answers of the judge that could not be read", "task", "kind")
        self._verdicts = self._counter("verdicts", "Verdicts", "category", "passed")
        self._tokens = self._counter("tokens", "Tokens by kind (cached ones are prompt tokens too)", "kind")
        self._stages = self._histogram("stage_duration_seconds", "Time by stage", "stage")
        self._scores = Histogram("edit_rrm_score", "Scores given", ("mode",), buckets=_SCORES, registry=self.registry)
        self._in_flight = Gauge("edit_rrm_turns_in_flight", "Turns held at the engine", registry=self.registry)
        self._depth = Gauge("edit_rrm_queue_depth", "Turns waiting", ("priority",), registry=self.registry)
        self._queued = Gauge(
            "edit_rrm_queue_work_tokens", "Work let in and not begun", ("priority",), registry=self.registry
        )
        self._waits = Histogram(
            "edit_rrm_queue_wait_seconds", "Time until a turn", ("priority",), buckets=_WAITS, registry=self.registry
        )
        self._refused = self._counter("admission_rejected", "Requests refused before they were judged", "reason")
        self._retry_after = Histogram(
            "edit_rrm_retry_after_seconds", "Retry-After of refusals", buckets=_WAITS[7:], registry=self.registry
        )
        self._ready = Gauge("edit_rrm_ready", "1 while the service takes work", registry=self.registry)
        self._phase = Gauge("edit_rrm_phase", "1 for the phase it is in", ("phase",), registry=self.registry)
        self.info = Gauge(
            "edit_rrm_judge_info", "What is judging", ("identity", "engine", "model"), registry=self.registry
        )
        self._sentinel_scores = Gauge(
            "edit_rrm_sentinel_score", "Last score of a sentinel", ("sentinel", "mode"), registry=self.registry
        )
        self._sentinel_rounds = self._counter("sentinel_rounds", "Rounds of sentinels by what they said", "verdict")
        self._sentinels_enabled = Gauge(
            "edit_rrm_sentinels_enabled", "1 where sentinels are to be judged", registry=self.registry
        )
        self._sentinels_ok = Gauge(
            "edit_rrm_sentinels_ok", "1 while the sentinels' order holds", registry=self.registry
        )
        self._groups = Histogram("edit_rrm_group_size", "Edits of a request", buckets=_COUNTS, registry=self.registry)
        self._principles = Histogram(
            "edit_rrm_principles", "Principles of a scored edit", buckets=_COUNTS, registry=self.registry
        )
        self._label_mass = Histogram(
            "edit_rrm_label_mass", "Label mass of probes", buckets=_MASSES, registry=self.registry
        )
        self._below_floor = self._counter("probes_below_floor", "Probes with less label mass than the card's floor")
        self._images = self._counter("images", "Images received, by what is wrong with them", "result")
        self._cache = self._counter("cache_requests", "Caches asked", "cache", "tier", "result")
        self._store_configured = Gauge(
            "edit_rrm_redis_configured", "1 where replicas are to share a Redis", registry=self.registry
        )
        self._store_up = Gauge("edit_rrm_redis_up", "1 while Redis is used", registry=self.registry)
        self._store_seconds = Histogram(
            "edit_rrm_redis_seconds", "Time of Redis operations", ("op",), buckets=_QUICK, registry=self.registry
        )
        self._store_errors = self._counter("redis_errors", "Redis operations that failed", "op")
        for outcome in Outcome:
            self._outcomes.labels(outcome.value)
        for result in ("ok", *ImageFault):
            self._images.labels(result)
        for reason in ("queue_full", "estimated_wait", "rate_limit", "draining"):
            self._refused.labels(reason)
        for priority in Priority:
            self.queue(priority, 0, 0)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def phase(self, phase: Phase) -> None:
        """The service is in this phase of its life."""
        self._ready.set(phase is Phase.READY)
        for one in Phase:
            self._phase.labels(one.value).set(one is phase)

    def configured(self, *, sentinels: bool, redis: bool) -> None:
        """Say what there is to be seen, so that what is off is told from what has not happened yet."""
        self._sentinels_enabled.set(sentinels)
        self._store_configured.set(redis)
        for verdict in typing.get_args(SentinelVerdict) if sentinels else ():
            self._sentinel_rounds.labels(verdict)
        for operation in OPERATIONS if redis else ():
            self._store_errors.labels(operation)

    def outcome(self, caller: str, outcome: Outcome, edits: int = 1) -> None:
        """Count how the judging of a caller's edits ended."""
        self._outcomes.labels(outcome.value).inc(edits)
        self.callers.outcome(caller, outcome, edits)

    def scored(self, caller: str, mode: Mode, score: float, verdicts: Sequence[Verdict]) -> None:
        """Count one scored edit of a caller's."""
        self.outcome(caller, Outcome.SCORED)
        self.callers.score(caller, score)
        self._scores.labels(mode.value).observe(score)
        self._principles.observe(len(verdicts))
        for verdict in verdicts:
            self._verdicts.labels(verdict.principle.category.value, str(verdict.passed).lower()).inc()

    def probe(self, mass: float, below_floor: bool) -> None:
        """Count one probe that was read, by the probability on its labels and whether that is too little."""
        self._label_mass.observe(mass)
        if below_floor:
            self._below_floor.inc()

    def queue(self, priority: Priority, turns: int, work: float) -> None:
        """Turns waiting, and work let in and not begun, at one priority."""
        self._depth.labels(priority.name.lower()).set(turns)
        self._queued.labels(priority.name.lower()).set(work)

    def turn(self, priority: Priority, waited_s: float) -> None:
        """A turn began after waiting this long."""
        self._waits.labels(priority.name.lower()).observe(waited_s)

    def running(self, turns: int) -> None:
        """Turns under way."""
        self._in_flight.set(turns)

    def refused(self, reason: str, retry_after_s: float) -> None:
        """A request was refused."""
        self._refused.labels(reason).inc()
        self._retry_after.observe(retry_after_s)

    def sentinel(self, name: str, mode: Mode, score: float | None) -> None:
        """A sentinel was judged."""
        self._sentinel_scores.labels(name, mode.value).set(math.nan if score is None else score)

    def sentinels(self, verdict: str) -> None:
        """A round of sentinels ended."""
        self._sentinel_rounds.labels(verdict).inc()
        if verdict != "inconclusive":
            self._sentinels_ok.set(verdict == "ok")

    def cache(self, cache: str, tier: str, result: str) -> None:
        """A cache was asked."""
        self._cache.labels(cache, tier, result).inc()

    def store_up(self, up: bool) -> None:
        """The store went away, or is back."""
        self._store_up.set(up)

    def store_operation(self, operation: str, seconds: float, failed: bool) -> None:
        """An operation on the store ended."""
        self._store_seconds.labels(operation).observe(seconds)
        if failed:
            self._store_errors.labels(operation).inc()

    def group(self, edits: int) -> None:
        """Count one request that was let in, by its edits."""
        self._groups.observe(edits)

    def image(self, fault: ImageFault | None) -> None:
        """Count one image that was decoded, or what is wrong with it."""
        self._images.labels("ok" if fault is None else fault.value).inc()

    def unread(self, task: str, kind: FailureKind) -> None:
        """Count one answer that the grammar refused."""
        self._unread.labels(task, kind.value).inc()

    def stage(self, stage: str, seconds: float) -> None:
        """Record how long a stage took."""
        self._stages.labels(stage).observe(seconds)

    def tokens(self, usage: Usage) -> None:
        """Add up what a request used."""
        self._tokens.labels("prompt").inc(usage.prompt_tokens)
        self._tokens.labels("cached").inc(usage.cached_tokens)
        self._tokens.labels("completion").inc(usage.completion_tokens)

    def watch_backends(self, backends: Callable[[], Sequence[Backend]]) -> None:
        """Expose the servers that an engine spreads its work over, as they are when they are asked for."""
        self.registry.register(_Backends(backends))

    def exposition(self) -> bytes:
        """All metrics as Prometheus text: these, the process's own, and vLLM's where it runs in this process."""
        return generate_latest(self.registry) + generate_latest(REGISTRY)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"edit_rrm_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"edit_rrm_{name}", text, labels, buckets=_SECONDS, registry=self.registry)
