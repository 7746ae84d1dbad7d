"""GCPO of the shipped judge: pairs travel together, runs resume, and what comes out can be served."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, load_model
from transformers import AutoModelForImageTextToText
from trl.trainer.utils import split_pixel_values_by_grid

from edit_rrm.card import CARD_FILE, load_card
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.judge.gcpo import _PACKED, GcpoTrainer, PairSampler, train_gcpo, training_arguments
from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
from edit_rrm_training.judge.live_rollouts import Live
from edit_rrm_training.judge.pair_rows import messages, open_pairs, pair_dataset, read_principles, shapes_pair
from tests.training.pairs.datasets_on_disk import NO_IMAGE, cell, own_row, write_parquet

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
SMALL: Mapping[str, Any] = {
    "pairs": 12,
    "pairs_per_step": 2,
    "rollouts": 2,
    "micro_batch": 8,
    "temperature": 1.5,
    "learning_rate": 1e-3,
    "warmup_steps": 0,
    "save_every": 2,
    "max_completion_tokens": 128,
}


def weights(judge: Path) -> dict[str, torch.Tensor]:
    return load_file(str(judge / "model.safetensors"))


def distance(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """Euclidean, over all weights."""
    return float(sum((one[name].double() - other[name].double()).square().sum() for name in one) ** 0.5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_gcpo(GcpoRecipe(steps=4, **SMALL), SHIPPED_JUDGE, tmp_path_factory.mktemp("whole"))


def test_a_pair_is_two_groups_side_by_side_in_every_epoch() -> None:
    sampler = PairSampler(pairs=7, rollouts=3, pairs_per_batch=2, repeats=1, seed=0)
    first, second = list(sampler), list(sampler)
    assert len(first) == len(sampler) == 6 * 2 * 3
    assert first != second
    for rows in (first, second):
        for start in range(0, len(rows), 6):
            pair = rows[start] // 2
            assert rows[start : start + 6] == [2 * pair] * 3 + [2 * pair + 1] * 3
        assert len({row // 2 for row in rows}) == 6


def test_generation_batches_are_repeated_as_a_whole() -> None:
    rows = list(PairSampler(pairs=4, rollouts=2, pairs_per_batch=2, repeats=3, seed=0))
    assert rows[:8] == rows[8:16] == rows[16:24]
    assert rows[24:32] != rows[:8]


def test_rows_ask_about_the_better_edit_and_then_the_worse_one() -> None:
    dataset = pair_dataset(3, lambda index: shapes_pair("validation", index), load_prompt_set("nano"))
    assert len(dataset) == 6
    better, worse, pair = dataset[4], dataset[5], shapes_pair("validation", 2)
    assert better["prompt"] == worse["prompt"] == messages(load_prompt_set("nano"), pair.instruction, pair.principles)
    assert [image.tobytes() for image in better["images"]] == [pair.source.tobytes(), pair.better.tobytes()]
    assert [image.tobytes() for image in worse["images"]] == [pair.source.tobytes(), pair.worse.tobytes()]
    assert read_principles(better["principles"]) == pair.principles


def test_pairs_of_ones_own_are_read_and_bad_rows_counted(tmp_path: Path) -> None:
    rows = [own_row(), own_row(), own_row(instruction="make it go", better=NO_IMAGE)]
    table = open_pairs(f"pairs:{write_parquet(tmp_path / 'x.parquet', rows)}", None)
    assert (table.count, table.rejected) == (1, {"duplicate": 1, "missing_image": 1})
    pair = table.pair(0)
    assert pair.instruction == "make it blue"
    colours = [image.getpixel((0, 0)) for image in (pair.source, pair.better, pair.worse)]
    assert colours == [(255, 0, 0), (0, 0, 255), (0, 128, 0)]


def test_pairs_without_principles_are_refused(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "x.parquet", [own_row(principles=None)])
    with pytest.raises(ValueError, match="1 of 1 pairs have no principles; GCPO judges by given ones"):
        open_pairs(f"pairs:{file}", None)


def test_pairs_of_which_nothing_is_left_are_refused(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "x.parquet", [own_row(better=cell("green"))])
    with pytest.raises(ValueError, match=r"none of 1 rows can be used.*identical_images"):
        open_pairs(f"pairs:{file}", None)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="no split 'test'"):
        open_pairs("shapes:test", None)


@pytest.mark.slow
def test_what_it_writes_is_a_judge(whole: Path) -> None:
    card, before = load_card(whole), load_card(SHIPPED_JUDGE)
    assert card is not None
    assert before is not None
    assert card.training["stage"] == "gcpo"
    assert card.training["goes_on_from"] == before.training
    assert card.training["recipe"]["ties"] == "zero"
    assert card.metrics == {}
    assert card.model_copy(update={"training": {}, "metrics": {}}) == before.model_copy(
        update={"training": {}, "metrics": {}}
    )
    for path in SHIPPED_JUDGE.iterdir():
        if path.name not in (CARD_FILE, "model.safetensors", "config.json", "generation_config.json"):
            assert (whole / path.name).read_bytes() == path.read_bytes()
    assert str(whole.parent) not in (whole / CARD_FILE).read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_learns_and_leaves_the_vision_tower_alone(whole: Path) -> None:
    before, after = weights(SHIPPED_JUDGE), weights(whole)
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not [name for name in changed if "visual" in name]


@pytest.mark.slow
def test_every_step_is_described(whole: Path) -> None:
    state = json.loads((whole.parent / "checkpoints" / "checkpoint-4" / "trainer_state.json").read_text())
    steps = [entry for entry in state["log_history"] if "gcpo/win_probability" in entry]
    assert len(steps) == 4
    for name in ("win_probability", "dead_right", "dead_wrong", "dead_tied", "unread"):
        assert all(0.0 <= entry[f"gcpo/{name}"] <= 1.0 for entry in steps)
    for name in (
        "gcpo/score_mean",
        "gcpo/score_spread",
        "entropy",
        "clip_ratio/region_mean",
        "completions/mean_length",
    ):
        assert all(name in entry for entry in steps)
    # Under ties that count nothing, the mean reward is the probability that the winner scores higher; what is compared
    # with no judgement wins.
    for entry in steps:
        gift = entry["reward"] - entry["gcpo/win_probability"]
        assert gift == pytest.approx(0.0, abs=1e-6) if entry["gcpo/unread"] == 0 else gift >= 0


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(whole: Path, tmp_path: Path) -> None:
    """As if killed while it wrote checkpoint 4: its newest complete one is that of step 2."""
    folder = tmp_path / "run"
    shutil.copytree(whole.parent, folder)
    (folder / "checkpoints" / "checkpoint-4" / "trainer_state.json").unlink()
    shutil.rmtree(folder / "judge")
    resumed = train_gcpo(GcpoRecipe(steps=4, **SMALL), SHIPPED_JUDGE, folder)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


@pytest.mark.slow
def test_an_adapter_is_merged_into_the_judge_it_was_trained_on(tmp_path: Path) -> None:
    judge = train_gcpo(GcpoRecipe(steps=1, lora_rank=4, **SMALL), SHIPPED_JUDGE, tmp_path)
    assert set(weights(judge)) == set(weights(SHIPPED_JUDGE))


@pytest.mark.slow
def test_two_ranks_keep_pairs_together(tmp_path: Path) -> None:
    """Each rank holds one side of a pair, so a comparison within a rank could not tell winners from losers."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += [str(ROOT / "tests" / "training" / "two_ranks.py"), str(SHIPPED_JUDGE), str(tmp_path)]
    paths = [ROOT, *(ROOT / name for name in ("rrm", "client", "service", "training"))]
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]
    assert [rank["ranks"] for rank in ranks] == [2, 2]
    rows = [rank["rows"] for rank in ranks]
    assert not set(rows[0]) & set(rows[1])
    log = ranks[0]["log"]
    # Losers were scored higher on purpose: every comparison is wrong, and no gradient is left.
    assert (log["gcpo/win_probability"], log["gcpo/dead_wrong"], log["reward"]) == (0.0, 1.0, 0.0)


def test_rollouts_through_a_vllm_that_is_not_there_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edit_rrm_training.judge.gcpo.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"vLLM is not installed: pip install 'edit-rrm\[vllm\]', or set vllm: false"):
        train_gcpo(GcpoRecipe(vllm=True), SHIPPED_JUDGE, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_judge_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no judge card \(edit_rrm\.json\); GCPO starts from a judge that SFT made"):
        train_gcpo(GcpoRecipe(), tmp_path, tmp_path / "out")


def test_a_judge_of_other_words_is_refused(tmp_path: Path) -> None:
    card = json.loads((SHIPPED_JUDGE / CARD_FILE).read_text(encoding="utf-8"))
    (tmp_path / CARD_FILE).write_text(json.dumps({**card, "prompts_fingerprint": "0" * 64}), encoding="utf-8")
    with pytest.raises(ValueError, match="other words of the prompt set 'nano'"):
        train_gcpo(GcpoRecipe(), tmp_path, tmp_path / "out")


@pytest.mark.slow
def test_leaving_out_what_has_no_advantage_changes_nothing_but_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same two steps with every rollout computed, dead or not."""
    recipe = GcpoRecipe(steps=2, **SMALL)
    quick = weights(train_gcpo(recipe, SHIPPED_JUDGE, tmp_path / "quick"))
    monkeypatch.setattr("edit_rrm_training.judge.gcpo.live_rollouts", lambda inputs: Live(inputs, 1.0, 1.0))
    thorough = weights(train_gcpo(recipe, SHIPPED_JUDGE, tmp_path / "thorough"))
    before = weights(SHIPPED_JUDGE)
    moved, apart = distance(before, thorough), distance(quick, thorough)
    assert moved > 0.1
    assert apart < moved / 10


@pytest.mark.slow
def test_a_rollout_is_as_likely_beside_longer_prompts_as_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = GcpoTrainer._compute_loss
    seen: list[tuple[int, float]] = []

    def compared(self: GcpoTrainer, model: Any, inputs: dict[str, Any]) -> Any:
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        fields = {name: inputs[name] for name in _PACKED}
        width = inputs["completion_ids"].shape[1]
        batch, *_ = self._get_per_token_logps_and_entropies(model, ids, mask, width, **fields)
        images = split_pixel_values_by_grid({name: fields[name] for name in _PACKED - {"mm_token_type_ids"}})
        for row, written in enumerate(inputs["completion_mask"].bool()):
            tokens = ids[row][mask[row].bool()][None]
            with torch.no_grad():
                logits = model(
                    input_ids=tokens,
                    pixel_values=images["pixel_values"][row],
                    image_grid_thw=images["image_grid_thw"][row],
                    mm_token_type_ids=(tokens == model.config.image_token_id).long(),
                ).logits
            answer = tokens[0, -int(written.sum()) :]
            alone = logits[0, -1 - len(answer) : -1].log_softmax(-1).gather(1, answer[:, None])[:, 0]
            padding = int((inputs["prompt_mask"][row] == 0).sum())
            seen.append((padding, float((batch[row][written].detach() - alone).abs().max())))
        return compute(self, model, inputs)

    monkeypatch.setattr(GcpoTrainer, "_compute_loss", compared)
    train_gcpo(GcpoRecipe(steps=1, **{**SMALL, "temperature": 1.0}), SHIPPED_JUDGE, tmp_path)
    assert len({padding for padding, _ in seen}) > 1
    assert max(difference for _, difference in seen) < 1e-3


@pytest.mark.slow
def test_small_updates_of_a_bf16_run_are_not_rounded_away(tmp_path: Path) -> None:
    """Weights are held in fp32: an update of 1e-6 is far below bf16's resolution of most of them."""
    recipe = GcpoRecipe(steps=2, **{**SMALL, "learning_rate": 1e-6}, dtype="bfloat16")
    train_gcpo(recipe, SHIPPED_JUDGE, tmp_path)
    checkpoint = load_file(str(tmp_path / "checkpoints" / "checkpoint-2" / "model.safetensors"))
    assert {tensor.dtype for tensor in checkpoint.values()} == {torch.float32}
    model = AutoModelForImageTextToText.from_pretrained(SHIPPED_JUDGE, dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in model.model.language_model.state_dict().items()}
    load_model(model, tmp_path / "checkpoints" / "checkpoint-2" / "model.safetensors")
    after = model.model.language_model.state_dict()
    changed = sum(int((after[name] != before[name]).sum()) for name in before)
    assert changed > 0.5 * sum(tensor.numel() for tensor in before.values())


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_what_the_recipe_says_is_what_trl_is_told(tmp_path: Path, schedule: Any) -> None:
    recipe = GcpoRecipe(schedule=schedule, entropy_quantile=0.2, kl=0.01, clip=0.1, normalise_std=True)
    told = training_arguments(recipe, tmp_path)
    assert told.lr_scheduler_type == ("constant_with_warmup" if schedule == "constant" else schedule)
    assert (told.top_entropy_quantile, told.beta, told.epsilon, told.scale_rewards) == (0.2, 0.01, 0.1, "group")
    paper = training_arguments(GcpoRecipe(), tmp_path)
    assert (paper.top_entropy_quantile, paper.beta, paper.scale_rewards, paper.loss_type) == (1.0, 0.0, "none", "grpo")
