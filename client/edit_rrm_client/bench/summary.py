"""Figures of a load: throughput, goodput, latencies, tokens. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edit_rrm.verdicts import Usage
from edit_rrm_client.bench.load import Served


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a load."""

    seconds: float
    """From the first group's being due to the last answer."""
    edits: int
    scored: int
    rewards_per_s: float
    """Edits that were scored, a second."""
    goodput_per_s: float | None
    """Those of groups that were back within the deadline, a second; None without one."""
    latency_p50: float
    """Of a group, seconds."""
    latency_p95: float
    latency_p99: float
    latency_max: float
    outcomes: dict[str, int]
    attempts_per_group: float
    """1 where nothing had to be sent again."""
    prompt_tokens_per_reward: float | None
    """None where nothing was scored."""
    cached_share: float | None
    """Of prompt tokens, those that the engine had computed before."""
    completion_tokens_per_reward: float | None

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def summary(served: Sequence[Served], deadline: float | None = None) -> Summary:
    """Sum up.

    Args:
        served: Groups, at least one.
        deadline: Seconds within which a group is of use to its caller.

    Raises:
        ValueError: There are no groups.
    """
    if not served:
        raise ValueError("a load of no groups has no figures")
    seconds = max(one.ended for one in served) - min(one.due for one in served)
    scored = sum(one.scored for one in served)
    latencies = [one.latency for one in served]
    p50, p95, p99 = (float(value) for value in np.percentile(latencies, (50, 95, 99), method="higher"))
    usage = sum((one.usage for one in served), Usage())
    good = None
    if deadline is not None:
        good = sum(one.scored for one in served if one.latency <= deadline) / seconds
    return Summary(
        seconds=seconds,
        edits=sum(len(one.outcomes) for one in served),
        scored=scored,
        rewards_per_s=scored / seconds,
        goodput_per_s=good,
        latency_p50=p50,
        latency_p95=p95,
        latency_p99=p99,
        latency_max=max(latencies),
        outcomes=dict(Counter(outcome.value for one in served for outcome in one.outcomes)),
        attempts_per_group=sum(one.attempts for one in served) / len(served),
        prompt_tokens_per_reward=usage.prompt_tokens / scored if scored else None,
        cached_share=usage.cached_tokens / usage.prompt_tokens if usage.prompt_tokens else None,
        completion_tokens_per_reward=usage.completion_tokens / scored if scored else None,
    )
