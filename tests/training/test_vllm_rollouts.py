"""GCPO whose rollouts a real vLLM writes, in the trainer's own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.judge.vllm_rollouts import one_pad_per_image

PAD = 7
RECIPE = {
    "pairs": 4,
    "pairs_per_step": 4,
    "rollouts": 4,
    "micro_batch": 32,
    "steps": 2,
    "learning_rate": 1e-3,
    "warmup_steps": 0,
    "max_completion_tokens": 128,
    # Every step asks about the same images, whose features of the step before are stale then.
    "freeze_vision": False,
    "dtype": "bfloat16",
    "vllm": True,
    "vllm_memory": 0.1,
    "vllm_max_length": 512,
}


@given(st.lists(st.one_of(st.integers(0, 6), st.integers(1, 12).map(lambda size: [PAD] * size)), max_size=20))
def test_every_run_of_placeholders_becomes_one_and_all_else_stays(parts: list[Any]) -> None:
    tokens = [token for part in parts for token in (part if isinstance(part, list) else [part])]
    collapsed = one_pad_per_image(tokens, PAD)
    assert [token for token in collapsed if token != PAD] == [token for token in tokens if token != PAD]
    assert (PAD, PAD) not in pairwise(collapsed)
    assert one_pad_per_image(collapsed, PAD) == collapsed
    assert (PAD in collapsed) == (PAD in tokens)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"lora_rank": 8, "freeze_vision": True}], ids=["whole", "lora"])
def test_vllm_sees_what_the_trainer_sees_with_the_newest_weights(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Both say how likely each token of a rollout was: another image, position or weight would show in it."""
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | changes), encoding="utf-8")
    command = [sys.executable, "-m", "edit_rrm_service", "train", "gcpo", "--init-from", str(SHIPPED_JUDGE)]
    command += ["--recipe", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    state = json.loads((tmp_path / "run" / "checkpoints" / "checkpoint-2" / "trainer_state.json").read_text())
    steps = [entry for entry in state["log_history"] if "gcpo/unread" in entry]
    assert len(steps) == 2
    for entry in steps:
        assert entry["sampling/sampling_logp_difference/mean"] < 0.01
        assert entry["gcpo/unread"] < 0.1
