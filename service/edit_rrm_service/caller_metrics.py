"""What came of each caller's edits and groups.

Callers are the API keys of the configuration, and a fixed number of them, so that no request makes a series.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Histogram

from edit_rrm.verdicts import SCORE_MAX, Outcome

MOST_CALLERS = 128
"""Callers with series of their own, about forty each; those after them in the configuration share one name."""
OTHER = "other"
"""That name."""
NO_SPREAD = 1e-3
"""Marks; less is what trainers' epsilon (1e-4 of a reward) makes no advantage of."""

_REWARDS = tuple(tenth / 10.0 for tenth in range(11))
_SPREADS = (NO_SPREAD, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5)
"""Marks; two edits with nothing and everything right are 7.07 apart."""


class DeadGroup(StrEnum):
    """Why a group has no advantages to learn from."""

    NONE_SCORED = "none_scored"
    ONE_SCORED = "one_scored"
    NO_SPREAD = "no_spread"
    """Two edits or more were scored, and all alike."""


class CallerMetrics:
    """Series by caller."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._known: frozenset[str] = frozenset()
        self._outcomes = Counter(
            "edit_rrm_caller_outcomes", "Judged edits by caller and outcome", ("caller", "outcome"), registry=registry
        )
        self._rewards = Histogram(
            "edit_rrm_caller_reward", "Rewards given, 0 to 1", ("caller",), buckets=_REWARDS, registry=registry
        )
        self._groups = Counter(
            "edit_rrm_groups", "Requests of two edits or more that were judged", ("caller",), registry=registry
        )
        self._spreads = Histogram(
            "edit_rrm_group_score_std",
            "Standard deviation of a group's scores, in marks, where two or more were scored",
            ("caller",),
            buckets=_SPREADS,
            registry=registry,
        )
        self._dead = Counter(
            "edit_rrm_dead_groups", "Groups that can teach nothing", ("caller", "reason"), registry=registry
        )

    def expect(self, names: Sequence[str]) -> None:
        """Count these callers by name, from 0 on; everybody else, and those beyond `MOST_CALLERS`, as `other`."""
        self._known = frozenset(names[:MOST_CALLERS])
        for name in self._known:
            for outcome in Outcome:
                self._outcomes.labels(name, outcome.value)
            for reason in DeadGroup:
                self._dead.labels(name, reason.value)
            for metric in (self._rewards, self._groups, self._spreads):
                metric.labels(name)

    def outcome(self, caller: str, outcome: Outcome, edits: int = 1) -> None:
        """Count how the judging of edits ended."""
        self._outcomes.labels(self._name(caller), outcome.value).inc(edits)

    def score(self, caller: str, score: float) -> None:
        """Count one edit's score, 0 to 10, as its reward."""
        self._rewards.labels(self._name(caller)).observe(score / SCORE_MAX)

    def group(self, caller: str, scores: Sequence[float | None]) -> None:
        """Count one request that was judged to its end, by its edits' scores; a single edit is no group."""
        if len(scores) < 2:
            return
        name = self._name(caller)
        self._groups.labels(name).inc()
        scored = [score for score in scores if score is not None]
        if len(scored) < 2:
            self._dead.labels(name, DeadGroup.ONE_SCORED if scored else DeadGroup.NONE_SCORED).inc()
            return
        spread = statistics.stdev(scored)
        self._spreads.labels(name).observe(spread)
        if spread < NO_SPREAD:
            self._dead.labels(name, DeadGroup.NO_SPREAD).inc()

    def _name(self, caller: str) -> str:
        return caller if caller in self._known else OTHER
