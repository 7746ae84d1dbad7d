"""What a group costs in counts: a change that computes a prefix twice, or sees an image twice, fails here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.widened import resized

EDITS = 6
PRINCIPLES = 5
IMAGE = (252 // 28) ** 2
"""Tokens of an image."""
QUESTION = 32
"""Tokens that follow the edited image, at most."""
BLOCK = 32
"""Of the prefix cache: what is left of a prefix that fills no block is computed again."""


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    judge = tmp_path_factory.mktemp("judge") / "nano-252"
    resized(judge, side=252)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.counters", "--judge", str(judge), "--side", "252"]
    command += ["--size", str(EDITS), "--principles", str(PRINCIPLES)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return found


def test_every_image_is_seen_once(counted: dict[str, Any]) -> None:
    assert counted["judge's order"]["encoder_runs"] == 1 + EDITS


def test_a_source_that_came_before_is_not_seen_again(counted: dict[str, Any]) -> None:
    again = counted["same source again"]
    assert again["encoder_runs"] == EDITS
    assert again["computed_tokens"] <= counted["judge's order"]["computed_tokens"] - IMAGE


def test_prompts_compute_what_is_theirs_alone(counted: dict[str, Any]) -> None:
    found = counted["judge's order"]
    assert found["prompts"] == EDITS * PRINCIPLES
    prefix = found["prompt_tokens"] // found["prompts"]
    edits = EDITS * (IMAGE + BLOCK)
    assert found["computed_tokens"] <= prefix + edits + found["prompts"] * (QUESTION + BLOCK / 2)
    assert found["computed_tokens"] <= 0.55 * counted["question first"]["computed_tokens"]
