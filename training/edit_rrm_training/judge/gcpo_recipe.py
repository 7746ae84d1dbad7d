"""The recipe of a GCPO run: what the paper states, what it leaves open, and what is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edit_rrm_training.judge.pairs.sources import parse_data
from edit_rrm_training.judge.precision import Compute
from edit_rrm_training.judge.ties import Ties


@dataclass(frozen=True, slots=True, kw_only=True)
class GcpoRecipe:
    """Everything that decides what a run produces, apart from where it starts and writes.

    The paper states none of the numbers here but the shape of the objective; `docs/training.md` says which is whose.
    """

    data: str = "shapes:train"
    """Preference pairs: `shapes:SPLIT`, `pairs:PATH` (docs/training.md) or what else `edit-rrm eval pairs` reads."""
    pairs: int | None = None
    """Use no more than this many; null uses all, and 10,000 of `shapes` (the paper: about 10,000)."""
    rollouts: int = 4
    """N: rollouts of each side of a pair. Every one is compared with N others."""
    pairs_per_step: int = 8
    """Pairs of one generation batch, over all devices."""
    micro_batch: int = 32
    """Rollouts of one forward and backward pass on one device."""
    updates_per_generation: int = 1
    """Optimiser steps on one generation batch; above 1 the clipping has something to do."""
    steps: int = 500
    max_completion_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    ties: Ties = Ties.ZERO
    """What equal scores give: `zero` (the equation), `half` or `drop`."""
    margin: float = 0.0
    """Weight of a rollout's lead in points, for pairs whose comparisons all agree. Ours; 0 is the paper's."""
    kl: float = 0.0
    """Coefficient of the KL to the judge the run starts from. The paper "omits" the term."""
    normalise_std: bool = False
    """Divide advantages by their group's standard deviation, as GRPO does and GCPO does not."""
    normalise_length: bool = True
    """Weigh every rollout the same, however long (1/T in the objective); else every token."""
    entropy_quantile: float = 1.0
    """Let only this share of the tokens, those the judge was least sure of, move it; 1 is the paper's. Ours: nearly all
    tokens of a judgement follow from the ones before, and what moves them is noise."""
    clip: float = 0.2
    learning_rate: float = 1e-5
    warmup_steps: int = 20
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """What the learning rate does after warming up: stay, or fall to zero at the last step."""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    freeze_vision: bool = True
    """Leave the vision tower as SFT left it."""
    lora_rank: int = 0
    """Rank of a LoRA on all linear layers of the language model; 0 trains the whole of it."""
    lora_alpha: int = 32
    dtype: Compute = "float32"
    """Of the passes; weights that are trained are held in fp32."""
    gradient_checkpointing: bool = False
    vllm: bool = False
    """Generate through vLLM, in the trainer's own processes."""
    vllm_memory: float = 0.3
    """Share of a device's memory that vLLM may take, its copy of the weights included, in (0, 1)."""
    vllm_max_length: int | None = None
    """Tokens of a prompt and its rollout that vLLM keeps memory for; null: all that the model can read."""
    seed: int = 0
    save_every: int = 50
    log_every: int = 1
    report_to: tuple[str, ...] = ()
    """`tensorboard`, `wandb`."""

    def __post_init__(self) -> None:
        """Check what has to fit together.

        Raises:
            ValueError: Saying what does not, and what would.
        """
        if self.rollouts < 2:
            raise ValueError("rollouts must be at least 2: the advantage of a group of one is always zero")
        if not 0.0 < self.vllm_memory < 1.0:
            raise ValueError(f"vllm_memory is {self.vllm_memory}; it is a share of a device's memory, between 0 and 1")
        if self.vllm_max_length is not None and self.vllm_max_length <= self.max_completion_tokens:
            raise ValueError(
                f"vllm_max_length is {self.vllm_max_length}: rollouts of max_completion_tokens = "
                f"{self.max_completion_tokens} leave no room for a prompt"
            )
        parse_data(self.data)

    def generation_steps(self, devices: int) -> int:
        """Micro-batches of one generation batch on each of `devices` devices.

        Raises:
            ValueError: They do not divide it.
        """
        rollouts = self.pairs_per_step * 2 * self.rollouts
        steps, rest = divmod(rollouts, self.micro_batch * devices)
        if rest or steps % self.updates_per_generation:
            raise ValueError(
                f"pairs_per_step x 2 x rollouts = {rollouts} rollouts do not divide into micro-batches of "
                f"{self.micro_batch} on {devices} device(s) for {self.updates_per_generation} update(s)"
            )
        return steps
