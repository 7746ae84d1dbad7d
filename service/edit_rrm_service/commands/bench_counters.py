"""What a service counted while it was under load, from its own metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Counts = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
"""Samples by name and labels."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What changed between two looks at `/metrics`; None where the service has no such series (yet)."""

    cpu_s: float | None
    """CPU seconds of the service's process. vLLM's engine has its own, which is not in it."""
    stage_s: dict[str, float]
    """Seconds that requests spent in each stage, added up; requests overlap."""
    decompositions: float | None
    decompositions_cached: float | None
    refused: float
    """Requests turned away."""

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def read(text: str) -> Counts:
    """Samples of a page of metrics, in Prometheus' text format.

    Raises:
        ValueError: It is no such page.
    """
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def between(before: Counts, after: Counts) -> Counted:
    """What was counted from one look to the next."""
    change = {key: value - before.get(key, 0.0) for key, value in after.items()}

    def total(name: str, **labels: str) -> float | None:
        found = [
            value for (one, given), value in change.items() if one == name and labels.items() <= dict(given).items()
        ]
        return sum(found) if found else None

    stages = {
        dict(labels)["stage"]: value
        for (name, labels), value in change.items()
        if name == "edit_rrm_stage_duration_seconds_sum"
    }
    return Counted(
        cpu_s=total("process_cpu_seconds_total"),
        stage_s={stage: seconds for stage, seconds in sorted(stages.items()) if seconds > 0.0},
        decompositions=total("edit_rrm_stage_duration_seconds_count", stage="decompose"),
        decompositions_cached=total("edit_rrm_cache_requests_total", cache="decomposition", result="hit"),
        refused=total("edit_rrm_admission_rejected_total") or 0.0,
    )
