"""UniRL's side of `/score`, written after the requests and answers of its `RemoteRewardBackend` (June 2026)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.service.running import in_base64


@dataclass(frozen=True)
class Sample:
    """One edit of a step."""

    prompt: str
    source: bytes | None
    edited: bytes


def payload(samples: Sequence[Sample], rewards: Sequence[str], scorer_version: str | None = None) -> dict[str, Any]:
    """What it posts."""
    requests = []
    for index, sample in enumerate(samples):
        turns = [sample.edited] if sample.source is None else [sample.source, sample.edited]
        requests.append(
            {
                "history": [{"text": sample.prompt, "image_b64": in_base64(image)} for image in turns],
                "required_rewards": list(rewards),
                "metadata": {"policy_version": 3},
                "request_id": f"sample-{index}",
                "sample_id": f"sample-{index}",
                "group_id": None,
                "source_rank": 0,
                "policy_version": 3,
                "scorer_version": scorer_version,
                "idempotency_key": hashlib.sha256(sample.edited).hexdigest(),
            }
        )
    return {"protocol_version": "1", "requests": requests}


async def compute_rewards(
    client: httpx2.AsyncClient,
    samples: Sequence[Sample],
    rewards: Sequence[str] = ("edit_rrm",),
    *,
    scorer_version: str | None = None,
    tries: int = 3,
) -> tuple[list[float], list[bool], list[str | None]]:
    """Rewards, successes and errors as it makes them of the answer; raises where it would.

    It posts again on 429 and 5xx and gives up on other errors. A sample is a success where every reward is there and
    finite, and of several sub-metrics the first is the reward.
    """
    body = payload(samples, rewards, scorer_version)
    reply = await client.post("/score", json=body)
    for _ in range(tries - 1):
        if reply.status_code != 429 and reply.status_code < 500:
            break
        reply = await client.post("/score", json=body)
    reply.raise_for_status()
    answer = reply.json()
    assert answer["protocol_version"] == "1"
    for sent, echoed in zip(body["requests"], answer["identities"], strict=True):
        for name in ("request_id", "sample_id", "group_id", "source_rank", "policy_version", "idempotency_key"):
            assert echoed.get(name) == sent.get(name), name
        if scorer_version is not None and echoed["scorer_version"] != scorer_version:
            raise ValueError("scorer_version")
    values: list[float] = []
    successes: list[bool] = []
    errors: list[str | None] = []
    for result, told in zip(answer["results"], answer["errors"], strict=True):
        scores = []
        parts = []
        for name in rewards:
            if name not in result:
                parts.append(f"{name}: {told.get(name, 'missing from server response without error')}")
                continue
            first = next(iter(result[name].values()))
            assert isinstance(first, float)
            assert math.isfinite(first)
            scores.append(first)
        values.append(sum(scores) / len(scores) if scores else 0.0)
        successes.append(bool(scores) and not parts)
        errors.append("; ".join(parts) or None)
    return values, successes, errors
