"""What vLLM is told: memory that is bounded, and what the operator wants instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from edit_rrm.card import JudgeCard
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.vllm_setup import engine_arguments

CARD = JudgeCard(name="judge")


@pytest.mark.parametrize(
    ("on_cpu", "wanted", "told"),
    [(True, None, 0.25), (True, 2.0, 2.0), (False, None, None), (False, 8.0, 8.0)],
)
def test_its_cache_of_images_is_small_on_a_cpu_unless_the_operator_says_otherwise(
    on_cpu: bool, wanted: float | None, told: float | None
) -> None:
    options = EngineOptions(image_cache_gib=wanted)
    arguments = engine_arguments(Path("judge"), CARD, options, on_cpu=on_cpu)
    assert arguments.get("mm_processor_cache_gb") == told
    assert ("kv_cache_memory_bytes" in arguments) is on_cpu
    assert ("gpu_memory_utilization" in arguments) is not on_cpu
