"""A GCPO run that is really killed, and one whose disk is really full."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edit_rrm.card import CARD_FILE
from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.judge.gcpo import train_gcpo
from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
from edit_rrm_training.judge.recipes import load_recipe

ROOT = Path(__file__).parents[2]
RECIPE = """
pairs: 12
pairs_per_step: 2
rollouts: 2
micro_batch: 8
temperature: 1.5
learning_rate: 0.001
warmup_steps: 0
save_every: 1
max_completion_tokens: 128
steps: 4
"""
_MEGABYTE = 1 << 20


def command(folder: Path) -> list[str]:
    (folder / "recipe.yaml").write_text(RECIPE)
    start = "import sys; sys.argv[0] = 'edit-rrm'; from edit_rrm_service.cli import main; sys.exit(main())"
    options = ["--recipe", str(folder / "recipe.yaml"), "--init-from", str(SHIPPED_JUDGE), "--out", str(folder / "run")]
    return [sys.executable, "-c", start, "train", "gcpo", *options]


def environment() -> dict[str, str]:
    paths = [ROOT, *(ROOT / name for name in ("rrm", "client", "service", "training"))]
    # One thread, or sums are added up in another order every time.
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, paths))}


def weights(judge: Path) -> dict[str, torch.Tensor]:
    return load_file(str(judge / "model.safetensors"))


def wait_for(there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not there():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_is_killed_mid_step_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen(
        command(tmp_path), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_for((run / "checkpoints" / "checkpoint-2" / "trainer_state.json").exists, process)
        process.send_signal(signal.SIGKILL)
    assert not (run / "judge").exists()
    subprocess.run(command(tmp_path), env=environment(), capture_output=True, timeout=280, check=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        recipe = load_recipe(str(tmp_path / "recipe.yaml"), GcpoRecipe)
        whole = weights(train_gcpo(recipe, SHIPPED_JUDGE, tmp_path / "whole"))
    finally:
        torch.set_num_threads(threads)
    resumed = weights(run / "judge")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_full_disk_is_one_line_and_leaves_what_was_saved(tmp_path: Path) -> None:
    """Files may not grow past what the weights need: the optimiser's state, twice as big, does not fit any more."""
    recipe = load_recipe_with(tmp_path, steps=1)
    train_gcpo(recipe, SHIPPED_JUDGE, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "judge")
    before = (tmp_path / "run" / "checkpoints" / "checkpoint-1" / "model.safetensors").read_bytes()

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16 * _MEGABYTE, 16 * _MEGABYTE))

    done = subprocess.run(
        command(tmp_path),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        preexec_fn=small_files,
    )
    assert done.returncode == 1, (done.returncode, done.stderr[-2_000:])
    told = done.stderr.partition("edit-rrm: ")[2].splitlines()[0]
    assert "the checkpoint of step 2 could not be written" in told
    assert "Make room on the disk and run again" in told
    assert str(tmp_path / "run" / "checkpoints" / "checkpoint-1") in told
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-1" / "model.safetensors").read_bytes() == before


def load_recipe_with(folder: Path, steps: int) -> GcpoRecipe:
    command(folder)
    return load_recipe(str(folder / "recipe.yaml"), GcpoRecipe, steps=steps)


def test_a_checkpoint_with_another_tokenizer_is_refused(tmp_path: Path) -> None:
    judge = Path(shutil.copytree(SHIPPED_JUDGE, tmp_path / "judge"))
    tokenizer = json.loads((judge / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["added_tokens"] += [
        {**tokenizer["added_tokens"][0], "id": 704 + index, "content": f"<|more_{index}|>"} for index in range(4)
    ]
    (judge / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    assert (judge / CARD_FILE).exists()
    with pytest.raises(ValueError, match=r"has 708 tokens and the model embeds 704; tokenizer.json belongs to another"):
        train_gcpo(GcpoRecipe(steps=1), judge, tmp_path / "run")
