"""Identity: what exactly is judging, and its hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from edit_rrm.card import JudgeCard
from edit_rrm.prompts import PromptSet
from edit_rrm.wire import Identity
from edit_rrm_service.engines.base import EngineFacts
from edit_rrm_service.images import PREPROCESSING

_IDENTITY_VERSION = 1


def judge_identity(card: JudgeCard, prompts: PromptSet, facts: EngineFacts) -> Identity:
    """Everything that could move a score, and the SHA-256 over it.

    The card's name, summary, training history and metrics describe the judge without changing what it says, so they
    are not part of the hash.
    """
    described: dict[str, Any] = {
        "identity_version": _IDENTITY_VERSION,
        "engine": facts.engine,
        # A checkpoint may move to another folder; a remote model has nothing but its name to go by.
        "weights": facts.weights_digest or f"remote:{facts.model}",
        "dtype": facts.dtype,
        "supports_probe": facts.supports_probe,
        "engine_details": dict(facts.details),
        "prompts": {"set": prompts.name, "fingerprint": prompts.fingerprint},
        "preprocessing": {"version": PREPROCESSING, **card.image.model_dump()},
        "labels": card.labels.model_dump(mode="json"),
        "label_mass_floor": card.label_mass_floor,
        "sampling": card.sampling.model_dump(),
        "aggregation": {"think": card.think_aggregation.value, "probe": card.probe_aggregation.value},
    }
    canonical = json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Identity(
        identity=hashlib.sha256(canonical.encode()).hexdigest(), name=card.name, summary=card.summary, facts=described
    )
