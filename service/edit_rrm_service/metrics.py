"""Prometheus metrics. Labels come from fixed sets (routes, outcomes, modes, categories), never from requests."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from edit_rrm.grammar import FailureKind
from edit_rrm.verdicts import Mode, Outcome, Usage, Verdict

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""From one probe of a small judge to a long chain of thought of a large one under load."""
_SCORES = tuple(float(score) for score in range(11))

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """The service's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter("http_requests", "HTTP requests answered", "route", "status")
        self._request_seconds = self._histogram("http_request_duration_seconds", "Time to answer", "route")
        self._outcomes = self._counter("outcomes", "Judged edits by outcome", "outcome")
        self._unread = self._counter("parse_failures", "Answers of the judge that could not be read", "task", "kind")
        self._verdicts = self._counter("verdicts", "Verdicts", "category", "passed")
        self._tokens = self._counter("tokens", "Tokens by kind (cached ones are prompt tokens too)", "kind")
        self._stages = self._histogram("stage_duration_seconds", "Time by stage", "stage")
        self._scores = Histogram("edit_rrm_score", "Scores given", ("mode",), buckets=_SCORES, registry=self.registry)
        self.in_flight = Gauge("edit_rrm_edits_in_flight", "Edits being judged", registry=self.registry)
        self.ready = Gauge("edit_rrm_ready", "1 while the service takes work", registry=self.registry)
        self.info = Gauge("edit_rrm_judge_info", "What is judging", ("identity", "engine"), registry=self.registry)
        for outcome in Outcome:
            self._outcomes.labels(outcome.value)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def outcome(self, outcome: Outcome, edits: int = 1) -> None:
        """Count how the judging of edits ended."""
        self._outcomes.labels(outcome.value).inc(edits)

    def scored(self, mode: Mode, score: float, verdicts: Sequence[Verdict]) -> None:
        """Count one scored edit."""
        self.outcome(Outcome.SCORED)
        self._scores.labels(mode.value).observe(score)
        for verdict in verdicts:
            self._verdicts.labels(verdict.principle.category.value, str(verdict.passed).lower()).inc()

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

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"edit_rrm_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"edit_rrm_{name}", text, labels, buckets=_SECONDS, registry=self.registry)
