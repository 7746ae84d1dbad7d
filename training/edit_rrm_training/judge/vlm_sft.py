"""SFT of a pretrained VLM on an SFT set, on TRL's `SFTTrainer`: the cold start's second half (paper, section 3).

Small judges that start from random weights learn from the oracle's trees instead (`sft`), which needs no pretrained
model.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edit_rrm.card import JudgeCard, load_card
from edit_rrm.prompts import load_prompt_set
from edit_rrm_training.judge.adapters import language_lora
from edit_rrm_training.judge.checkpoints import JudgeCheckpoints
from edit_rrm_training.judge.devices import cpu_only
from edit_rrm_training.judge.run_folder import claim, weights_digest
from edit_rrm_training.judge.save import save_trained
from edit_rrm_training.judge.sft_set import read_sft_set
from edit_rrm_training.judge.vlm_run import load_start, run_facts, train
from edit_rrm_training.judge.vlm_sft_recipe import VlmSftRecipe

with warnings.catch_warnings():
    # Said at every import beside a newer vLLM, which SFT does not use.
    warnings.filterwarnings("ignore", "TRL currently supports vLLM")
    from trl import SFTConfig, SFTTrainer


class VlmSftTrainer(JudgeCheckpoints, SFTTrainer):  # type: ignore[misc]  # trl is not type-checked
    """An `SFTTrainer` that resumes to the same weights, and stops on a loss that is no number."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """Cross-entropy over the completions' tokens, if it is a number."""
        result = super().compute_loss(*args, **kwargs)
        self.checked(result[0] if isinstance(result, tuple) else result)
        return result


def train_vlm_sft(recipe: VlmSftRecipe, start: str, data: Path, output: Path, *, resume: bool = True) -> Path:
    """Train a VLM on an SFT set and write it to a folder that `edit-rrm serve --model` takes.

    Args:
        recipe: How.
        start: Folder or hub name of the model to start from. Its judge card says which prompts the set is written in;
            without one they are `standard`.
        data: Folder of the set.
        output: Folder for checkpoints (`checkpoints/`) and the finished judge (`judge/`).
        resume: Continue from the newest complete checkpoint in `output`, if there is one; else delete that run.

    Returns:
        The judge's folder.

    Raises:
        SftSetError: The folder is no SFT set.
        ValueError: `output` holds another run.
        DivergedError: The loss stopped being a number.
        OSError: There is no such model, or the disk is full; what was saved before is complete.
    """
    dataset = read_sft_set(data, recipe.seed)
    folder = _local(start)
    card = load_card(folder) or JudgeCard()
    begun = {"stage": "sft", **asdict(recipe), "start": weights_digest(folder), "rows": len(dataset)}
    claim(output, begun, start=folder, resume=resume)
    model, processor = load_start(folder, recipe)
    lora = language_lora(recipe.lora_rank, recipe.lora_alpha, freeze_vision=recipe.freeze_vision)
    trainer = VlmSftTrainer(
        model,
        args=_arguments(recipe, output / "checkpoints"),
        train_dataset=dataset,
        processing_class=processor,
        peft_config=lora,
    )
    train(trainer, recipe, output / "checkpoints")
    judge = output / "judge"
    before = card.training or start.rpartition("/")[2]
    facts = {**run_facts(trainer, recipe, "sft", before), "rows": len(dataset)}
    fingerprint = load_prompt_set(card.prompts).fingerprint
    described = {"training": facts, "metrics": {}, "prompts_fingerprint": fingerprint}
    save_trained(trainer, folder, judge, card.model_copy(update=described))
    return judge


def _local(start: str) -> Path:
    if Path(start).is_dir():
        return Path(start)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(start))
    except Exception as error:
        raise OSError(f"there is no folder {start}, and it could not be had from the model hub: {error}") from error


def _arguments(recipe: VlmSftRecipe, checkpoints: Path) -> SFTConfig:
    return SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        max_steps=-1 if recipe.steps is None else recipe.steps,
        per_device_train_batch_size=recipe.batch,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_share,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        completion_only_loss=True,
        # Truncation would cut what the loss is on; a row that does not fit has to be left out of the set.
        max_length=None,
        packing=False,
        gradient_checkpointing=recipe.gradient_checkpointing,
        bf16=recipe.dtype == "bfloat16",
        seed=recipe.seed,
        logging_steps=recipe.log_every,
        logging_nan_inf_filter=False,
        save_steps=recipe.save_every,
        save_total_limit=2,
        report_to=list(recipe.report_to),
        remove_unused_columns=False,
        use_cpu=cpu_only(),
    )
