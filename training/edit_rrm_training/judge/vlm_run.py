"""What SFT and GCPO of a VLM on TRL's trainers share: how a run starts, goes on, and what it says of itself."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edit_rrm_training.judge.adapters import check_mergeable
from edit_rrm_training.judge.checkpoints import newest_complete
from edit_rrm_training.judge.precision import weights_dtype
from edit_rrm_training.judge.tokenizer_fit import check_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
    from edit_rrm_training.judge.vlm_sft_recipe import VlmSftRecipe


def load_start(folder: Path, recipe: GcpoRecipe | VlmSftRecipe) -> tuple[Any, Any]:
    """The model to train, in the precision and with the parts frozen that the recipe says, and its processor.

    Raises:
        OSError: The folder holds no model.
        ValueError: Its tokenizer is another model's.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    dtype = weights_dtype(recipe.dtype, frozen=recipe.lora_rank > 0)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, local_files_only=True)
    if recipe.freeze_vision:
        model.model.visual.requires_grad_(requires_grad=False)
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    check_tokenizer(model, processor, folder)
    return model, processor


def train(trainer: Any, recipe: GcpoRecipe | VlmSftRecipe, checkpoints: Path) -> None:
    """Train from the newest complete checkpoint, if there is one.

    Raises:
        ValueError: What is trained could not be written as a judge.
        DivergedError: The loss stopped being a number.
        OSError: The disk is full; what was saved before is complete.
    """
    check_mergeable(trainer, recipe.lora_rank)
    last = newest_complete(checkpoints)
    trainer.train(resume_from_checkpoint=None if last is None else str(last))


def run_facts(trainer: Any, recipe: GcpoRecipe | VlmSftRecipe, stage: str, before: Any) -> dict[str, Any]:
    """What the judge's card says of the run: `before` is how the judge was made that it went on from."""
    return {
        "stage": stage,
        "recipe": asdict(recipe),
        "goes_on_from": before,
        "software": {name: version(name) for name in ("torch", "transformers", "trl")},
        "devices": trainer.accelerator.num_processes,
    }
