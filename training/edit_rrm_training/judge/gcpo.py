"""GCPO: train a judge on human preference pairs, from nothing but which edit was liked better (paper, section 4).

TRL's `GRPOTrainer` does what GRPO and GCPO share: rollouts, the clipped token objective, mean-centring in each group,
KL, checkpoints, many devices. What GCPO adds is here: both sides of a pair travel in one generation batch, each as a
group of its own, and a rollout's reward comes from comparing its score with the other side's (`gcpo_rewards`).
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Sampler

from edit_rrm.card import JudgeCard, load_card
from edit_rrm.grammar import Failure, parse_judgement
from edit_rrm.prompts import load_prompt_set
from edit_rrm_training.judge.adapters import language_lora
from edit_rrm_training.judge.checkpoints import JudgeCheckpoints
from edit_rrm_training.judge.devices import cpu_only
from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
from edit_rrm_training.judge.gcpo_rewards import pair_rewards, pair_statistics
from edit_rrm_training.judge.live_rollouts import live_rollouts
from edit_rrm_training.judge.packed_rollouts import can_pack, packed_inputs
from edit_rrm_training.judge.pair_rows import open_pairs, pair_dataset, read_principles
from edit_rrm_training.judge.run_folder import claim, weights_digest
from edit_rrm_training.judge.save import save_trained
from edit_rrm_training.judge.shared_prefix import can_share, one_of_each, sample_rollouts
from edit_rrm_training.judge.vllm_rollouts import one_pad_per_image, reload_weights
from edit_rrm_training.judge.vlm_run import load_start, run_facts, train

with warnings.catch_warnings():
    # Said at every import beside a newer vLLM, also where vLLM is not asked to generate.
    warnings.filterwarnings("ignore", "TRL currently supports vLLM")
    from trl import GRPOConfig, GRPOTrainer
    from trl.models import unwrap_model_for_generation
    from trl.trainer.utils import RepeatSampler

if TYPE_CHECKING:
    from datasets import Dataset

_logger = logging.getLogger(__name__)

_PACKED = {"pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids"}
"""What TRL passes about a batch of a Qwen2.5-VL besides its tokens."""

_UNREAD = -1.0
"""What the reward function says of a rollout that is no judgement; no score is below 0."""


class PairSampler(Sampler[int]):
    """Rows of `pair_dataset`, a pair's two groups of N next to each other, in an order of its own every epoch."""

    def __init__(self, pairs: int, rollouts: int, pairs_per_batch: int, repeats: int, seed: int) -> None:
        """Repeat each generation batch `repeats` times, as TRL wants it; an incomplete last one is left out."""
        self._pairs = RepeatSampler(range(pairs), 1, pairs_per_batch, repeats, shuffle=True, seed=seed)
        self._rollouts = rollouts

    def __iter__(self) -> Iterator[int]:
        """Yield row indices."""
        for pair in self._pairs:
            yield from [2 * pair] * self._rollouts + [2 * pair + 1] * self._rollouts

    def __len__(self) -> int:
        """Rows of one epoch."""
        return len(self._pairs) * 2 * self._rollouts


class GcpoTrainer(JudgeCheckpoints, GRPOTrainer):  # type: ignore[misc]  # trl is not type-checked
    """A `GRPOTrainer` whose rewards come from comparing the two sides of a pair."""

    def __init__(self, *args: Any, recipe: GcpoRecipe, **kwargs: Any) -> None:
        """Take a `GRPOTrainer`'s arguments but `reward_funcs`, and the recipe."""
        self._recipe = recipe
        super().__init__(*args, reward_funcs=[self.scores], **kwargs)
        # TRL pads prompts on the left and takes what the processor says of their tokens: which are an image's.
        self._tokenizer.padding_side = "left"
        if self.use_vllm:
            self.vllm_generation.sync_weights = partial(reload_weights, self.vllm_generation)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """The clipped token objective, if it is a number."""
        return self.checked(super().compute_loss(*args, **kwargs))

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        # KL acts on every rollout, and TRL's metrics need as many rollouts on every device.
        if self.beta != 0.0 or self.accelerator.num_processes > 1:
            return super()._compute_loss(model, inputs)
        live = live_rollouts(inputs)
        share = live.rows if self._recipe.normalise_length else live.tokens
        return super()._compute_loss(model, live.inputs) * share

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **fields: Any,
    ) -> Any:
        """Log-probabilities and entropies of the completions' tokens, shape (B, C); a prompt is read once for all."""
        used = {name: value for name, value in fields.items() if value is not None}
        whole = (batch_size or len(input_ids)) >= len(input_ids) and not compute_aux_loss
        if not whole or set(used) != _PACKED or not can_pack(self.accelerator.unwrap_model(model)):
            return super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **fields,
            )
        packing, inputs = packed_inputs(model, input_ids, attention_mask, logits_to_keep, **used)
        with self.accelerator.autocast():
            scored = model(**inputs, fused_lm_head=True)
        width, length = logits_to_keep, input_ids.shape[1]
        entropy = packing.spread(scored.entropy, width, length) if compute_entropy else None
        return packing.spread(scored.log_probs, width, length), entropy, None

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler[int]:
        rows = dataset if dataset is not None else self.train_dataset
        return PairSampler(
            len(rows) // 2,
            self.num_generations,
            self.args.generation_batch_size // (2 * self.num_generations),
            self.num_iterations * self.args.steps_per_generation,
            self.args.seed,
        )

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: dict[str, Any],
        num_generations: int,
        **_: Any,
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        """Rollouts of the local prompts, of which N in a row are one, and from vLLM its log-probabilities of them."""
        model = self.accelerator.unwrap_model(self.model)
        if self.use_vllm:
            pad = self.processing_class.image_token_id
            prompt_ids = [one_pad_per_image(prompt, pad) for prompt in prompt_ids]
        if self.use_vllm or self.is_fsdp_enabled or not can_share(model) or len(prompt_ids) % num_generations:
            generated: Any = super()._generate_single_turn(prompt_ids, images, multimodal_fields, num_generations)
            return generated  # type: ignore[no-any-return]  # trl is not type-checked
        prompts = one_of_each(prompt_ids, images, multimodal_fields, num_generations, self._tokenizer.pad_token_id)
        device = self.accelerator.device
        with unwrap_model_for_generation(
            self.model_wrapped, self.accelerator, gather_deepspeed3_params=self.args.ds3_gather_for_generation
        ) as unwrapped:
            rollouts = sample_rollouts(
                unwrapped,
                {name: value.to(device) for name, value in prompts.items()},
                num_generations,
                max_tokens=self.max_completion_length,
                temperature=self.temperature,
                top_p=self.top_p,
                stop=self.eos_token_ids,
            )
        return rollouts, None

    def scores(
        self, completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], principles: Sequence[str], **_: Any
    ) -> list[float]:
        """Φ of every completion: its score in [0, 10], or `_UNREAD`."""
        scores = []
        for completion, ids, asked in zip(completions, completion_ids, principles, strict=True):
            text = completion[0]["content"]
            ended = bool(ids) and ids[-1] in self.eos_token_ids
            judgement = parse_judgement(text, read_principles(asked), truncated=not ended)
            scores.append(_UNREAD if isinstance(judgement, Failure) else judgement.score)
        return scores

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Turn the scores of the generation batch, gathered from all devices in the sampler's order, into rewards."""
        gathered: torch.Tensor = super()._calculate_rewards(*args, **kwargs)
        scores = gathered.double().view(-1, 2, self.num_generations)
        scores = scores.masked_fill(scores == _UNREAD, torch.nan)
        mode = "train" if self.model.training else "eval"
        for name, value in asdict(pair_statistics(scores)).items():
            self._metrics[mode][f"gcpo/{name}"].append(value)
        rewards = pair_rewards(scores, self._recipe.ties, margin=self._recipe.margin)
        return rewards.view(-1, 1).to(gathered.dtype)


def train_gcpo(recipe: GcpoRecipe, start: Path, output: Path, *, resume: bool = True) -> Path:
    """Train a judge on preference pairs and write it to a folder that `edit-rrm serve --model` takes.

    Args:
        recipe: How.
        start: Folder of the judge to start from: SFT's, with its card.
        output: Folder for checkpoints (`checkpoints/`) and the finished judge (`judge/`).
        resume: Continue from the newest complete checkpoint in `output`, if there is one; else delete that run.

    Returns:
        The judge's folder.

    Raises:
        ValueError: The recipe does not fit the devices, the data or what is installed, the judge its prompts, or
            `output` holds another run.
        DataError: The pairs are not there or not of the format.
        DivergedError: The loss stopped being a number.
        OSError: The disk is full; what was saved before is complete.
    """
    torch.set_flush_denormal(True)
    if recipe.vllm and find_spec("vllm") is None:
        raise ValueError("vllm: true, but vLLM is not installed: pip install 'edit-rrm[vllm]', or set vllm: false")
    card = _card(start)
    claim(output, {"stage": "gcpo", **asdict(recipe), "start": weights_digest(start)}, start=start, resume=resume)
    prompts = load_prompt_set(card.prompts)
    table = open_pairs(recipe.data, recipe.pairs)
    if table.rejected:
        _logger.warning("rows that are no pair and are left out: %s", dict(table.rejected))
    dataset = pair_dataset(table.count, table.pair, prompts)
    model, processor = load_start(start, recipe)
    trainer = GcpoTrainer(
        model,
        recipe=recipe,
        args=training_arguments(recipe, output / "checkpoints"),
        train_dataset=dataset,
        processing_class=processor,
        peft_config=language_lora(recipe.lora_rank, recipe.lora_alpha, freeze_vision=recipe.freeze_vision),
    )
    train(trainer, recipe, output / "checkpoints")
    judge = output / "judge"
    facts = {**run_facts(trainer, recipe, "gcpo", card.training), "pairs": table.count}
    save_trained(trainer, start, judge, card.model_copy(update={"training": facts, "metrics": {}}))
    return judge


def _card(start: Path) -> JudgeCard:
    card = load_card(start)
    if card is None:
        raise ValueError(f"{start} has no judge card (edit_rrm.json); GCPO starts from a judge that SFT made")
    if card.prompts_fingerprint not in (None, load_prompt_set(card.prompts).fingerprint):
        raise ValueError(f"{start} was trained on other words of the prompt set {card.prompts!r} than are installed")
    return card


def training_arguments(recipe: GcpoRecipe, checkpoints: Path) -> GRPOConfig:
    """TRL's arguments for a recipe, on as many devices as this run has.

    Raises:
        ValueError: The recipe's batches do not divide by them.
    """
    # Set by accelerate and torchrun; the arguments have to fit it before there is an accelerator to ask.
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    steps = recipe.generation_steps(devices)
    return GRPOConfig(
        output_dir=str(checkpoints),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.micro_batch,
        steps_per_generation=steps,
        gradient_accumulation_steps=steps // recipe.updates_per_generation,
        num_generations=recipe.rollouts,
        max_completion_length=recipe.max_completion_tokens,
        temperature=recipe.temperature,
        top_p=recipe.top_p,
        beta=recipe.kl,
        epsilon=recipe.clip,
        top_entropy_quantile=recipe.entropy_quantile,
        scale_rewards="group" if recipe.normalise_std else "none",
        loss_type="grpo" if recipe.normalise_length else "bnpo",
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant_with_warmup" if recipe.schedule == "constant" else recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        gradient_checkpointing=recipe.gradient_checkpointing,
        bf16=recipe.dtype == "bfloat16",
        use_vllm=recipe.vllm,
        vllm_gpu_memory_utilization=recipe.vllm_memory,
        vllm_max_model_length=recipe.vllm_max_length,
        seed=recipe.seed,
        logging_steps=recipe.log_every,
        logging_nan_inf_filter=False,
        save_steps=recipe.save_every,
        save_total_limit=2,
        report_to=list(recipe.report_to),
        remove_unused_columns=False,
        disable_dropout=True,
        use_cpu=cpu_only(),
    )
