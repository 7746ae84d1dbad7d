"""The recipe of a GRPO run on an editing model: what the paper states, and Flow-GRPO's numbers where it states none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from edit_rrm_client.failure_policy import FailurePolicy
from edit_rrm_training.editor.advantages import Spread
from edit_rrm_training.editor.grpo import LossName, Objective
from edit_rrm_training.editor.judge_recipe import (
    JUDGE,
    HeldOutJudge,
    JudgeRecipe,
    OtherReward,
    Positive,
    Strict,
    Weight,
)
from edit_rrm_training.editor.policies.fitting import Fit
from edit_rrm_training.editor.sde import SamplerName

Count = Annotated[int, Field(ge=1)]


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the field, and what it may be."""


class LoraRecipe(Strict):
    """An adapter, of which alone is trained and saved."""

    rank: Count = 64
    alpha: Count = 128
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj")
    """Names of the layers that get one: the attention's."""


class PolicyRecipe(Strict):
    """The editing model."""

    kind: Literal["flux-kontext", "qwen-image-edit"]
    model: str
    """A folder or a hub's name of a diffusers pipeline."""
    revision: str | None = None
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of what is frozen, and of the passes; what is trained is held in fp32."""
    guidance: float | None = None
    """Null takes the model's usual one: 2.5 for FLUX.1-Kontext, 4 for Qwen-Image-Edit."""
    max_pixels: Count = 512 * 512
    text_tokens: Count | None = None
    """Null takes the model's usual number: 512, and 1,024."""
    fit: Fit = "resize"
    lora: LoraRecipe | None = LoraRecipe()
    """Null trains the whole transformer."""
    gradient_checkpointing: bool = False
    compile: bool = False
    """Compile the transformer's blocks (torch.compile), which makes the first step late and all others faster."""


class SamplingRecipe(Strict):
    """How rollouts are drawn."""

    sampler: SamplerName = "sde"
    """`sde` (Flow-GRPO), `cps` (coefficients-preserving), or `match`: drawn without noise on the way, and learnt from
    paths to what was drawn (Advantage Weighted Matching)."""
    steps: Count = 6
    noise_level: float = Field(default=0.9, ge=0.0)
    """Of `sde` and `cps`; of `match` the deviation of a velocity from the policy's."""
    window: Count | None = None
    """Draw, and learn, in so many steps only, at a place that is drawn anew for every step of training
    (Flow-GRPO-Fast); null for all of them. Of `match`: learn at so many times of each edit; null for 2."""
    window_within: Count | None = None
    """The window lies among the first so many steps, where a picture's contents are decided (Flow-GRPO-Fast takes the
    first half); null for anywhere."""
    shift: Positive = 1.0
    """Of `match`: 1 for times anywhere, more for times nearer to noise, where it is decided what an edit shows (3: half
    of them above 0.75)."""
    same_start: bool = False
    """A group's edits begin with the same noise, so that they differ by what was drawn on the way alone: by what is
    learnt from (DanceGRPO)."""
    weights: Literal["newest", "averaged"] = "newest"
    """That draw: the newest, or their moving average, from which what is learnt cannot stray far (as in
    DiffusionNFT)."""
    batch: Count = 24
    """Edits drawn at a time."""

    @property
    def drawing(self) -> int:
        """Steps of a trajectory that can draw: of `cps` all but the last, which ends in a picture without noise."""
        return self.steps - 1 if self.sampler == "cps" else self.steps


class RewardRecipe(JudgeRecipe):
    """Where rewards come from: a weighted sum, measured where all of it is."""

    weight: Weight = 1.0
    """Of this judge."""
    others: tuple[OtherReward, ...] = ()
    """Further judges."""
    no_edit: float = Field(default=0.0, ge=0.0)
    """Weight of a penalty of -1 for edits that are their sources."""
    min_valid: Annotated[int, Field(ge=2)] = 2
    max_failed: float = Field(default=0.25, ge=0.0, le=1.0)
    """Share of the edits of `failed_over` steps that may not be measured before the run is stopped."""
    failed_over: Count = 4
    """Steps; one of which not a single edit was measured stops the run at once."""
    staleness: Literal[0, 1] = 0
    """1: groups are judged while the next step's are drawn and learnt from one step late."""
    in_flight: Count = 8
    """Groups that each judge has at a time."""


class EvaluationRecipe(Strict):
    """What is looked at on the way: edits without noise, by the averaged weights."""

    prompts: str | None = None
    """As the run's own; null evaluates nothing."""
    count: Count = 32
    every: Count = 20
    """Steps."""
    steps: Count = 28
    """Of a trajectory."""
    judge: HeldOutJudge | None = None
    """Never trained on: shows whether rewards rise because edits are better. Null asks none."""

    @model_validator(mode="after")
    def _there_is_something_to_judge(self) -> Self:
        if self.judge is not None and self.prompts is None:
            raise ValueError("judge has nothing to judge: name evaluation.prompts, or leave it out")
        return self


class EditorRecipe(Strict):
    """Everything that decides what a run does, apart from where it writes."""

    policy: PolicyRecipe
    prompts: str
    """`shapes:SPLIT`, or a JSON-lines file of instructions and sources."""
    rewards: RewardRecipe
    sampling: SamplingRecipe = SamplingRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()
    steps: Count = 500
    group_size: Annotated[int, Field(ge=2)] = 24
    """G: edits of one prompt (paper, section 4.3)."""
    groups: Count = 48
    """Prompts of a step, over all devices."""
    updates: Count = 2
    """Optimiser steps on the rollouts of a step."""
    micro_batch: Count = 8
    """Edits of one forward and backward pass."""
    spread: Spread = "group"
    spread_epsilon: Positive = 1e-4
    """Added to what distances are divided by: as much as rewards of equally good edits differ by, so that groups of
    such edits teach little."""
    loss: LossName = "clipped"
    """`clipped` (GRPO), or `nft` (DiffusionNFT), for sampler `match`: of the same advantages, without likelihoods that
    fall without end."""
    clip: Positive = 1e-4
    kl: float = Field(default=0.04, ge=0.0)
    """Weight of the KL to the frozen model (paper, section 4.3)."""
    max_advantage: Positive = 5.0
    """Where advantages are clipped. Of loss `nft` also the advantage of a wholly good edit, so that the less it is, the
    further the policy gets from the average before that holds it back."""
    guard: bool = False
    """Normalise ratios as GRPO-Guard does."""
    learning_rate: Positive = 3e-4
    adam_epsilon: Positive = 1e-8
    """Added to the root of AdamW's second moment. Where it is larger than most gradients, weights that matter less move
    less, in the place of all by the same."""
    weight_decay: float = Field(default=1e-4, ge=0.0)
    max_grad_norm: Positive = 1.0
    ema: float = Field(default=0.9, ge=0.0, lt=1.0)
    """Decay of the averaged weights, which are evaluated and kept."""
    ema_every: Count = 8
    """Updates between two averages."""
    condition_cache_gb: float = Field(default=4.0, ge=0.0)
    """Of main memory that a process keeps encoded prompts in, 10^9 bytes; what was used last stays."""
    seed: int = 0
    save_every: Count = 20
    keep: Count = 2
    """Checkpoints that are kept."""
    report_to: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.groups % self.updates:
            raise ValueError(f"groups ({self.groups}) has to be a multiple of updates ({self.updates})")
        matched = self.sampling.sampler == "match"
        if matched and self.sampling.same_start:
            raise ValueError(
                "edits that begin alike are all the same with sampler match: set sampling.same_start: false"
            )
        drawing = self.sampling.drawing
        if not matched and (self.sampling.window or 1) > drawing:
            last = ", of which the last of sampler cps draws nothing" if drawing < self.sampling.steps else ""
            raise ValueError(f"sampling.window is longer than sampling.steps ({self.sampling.steps}{last})")
        within = self.sampling.window_within
        if within is not None and not (self.sampling.window or 1) <= within <= self.sampling.steps:
            raise ValueError("sampling.window_within is at least sampling.window, and at most sampling.steps")
        if self.sampling.sampler == "ode" or self.sampling.noise_level == 0.0:
            raise ValueError(
                "rollouts without noise have no density to learn from: sampler sde or cps, noise_level > 0"
            )
        if self.loss == "nft" and not matched:
            raise ValueError("loss nft learns from finished edits: set sampling.sampler: match, or loss: clipped")
        if self.loss == "nft" and self.guard:
            raise ValueError("loss nft has no ratios to normalise: set guard: false, or loss: clipped")
        if self.sampling.shift != 1.0 and not matched:
            raise ValueError("sampling.shift is of sampler match: leave it out, or set sampling.sampler: match")
        if self.kl > 0.0 and self.policy.lora is None:
            raise ValueError("a KL needs the frozen model: train an adapter (policy.lora), or set kl: 0")
        if self.rewards.min_valid > self.group_size:
            raise ValueError("rewards.min_valid is more than group_size: every group would be dropped")
        if self.rewards.weight != 1.0 and not self.rewards.others and not self.rewards.no_edit:
            raise ValueError("rewards.weight is beside others: a judge alone teaches the same whatever its weight")
        names = [one.name for one in self._further]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"several judges are called {twice[0]}: give each a name of its own")
        return self

    @property
    def failures(self) -> FailurePolicy:
        """What is done about edits that were not measured."""
        window = self.rewards.failed_over * self.groups * self.group_size
        return FailurePolicy(min_valid=self.rewards.min_valid, max_failed=self.rewards.max_failed, window=window)

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        return Objective(loss=self.loss, clip=self.clip, kl=self.kl, max_advantage=self.max_advantage, guard=self.guard)

    @property
    def judges(self) -> dict[str, JudgeRecipe]:
        """All judges by name: the one of `rewards`, those whose rewards are added, and the one that is held out."""
        return {JUDGE: self.rewards} | {one.name: one.beside(self.rewards) for one in self._further}

    @property
    def _further(self) -> tuple[OtherReward | HeldOutJudge, ...]:
        held_out = self.evaluation.judge
        return (*self.rewards.others, *(() if held_out is None else (held_out,)))

    def with_services(self, urls: Mapping[str, Sequence[str]]) -> EditorRecipe:
        """The recipe with judges elsewhere.

        Args:
            urls: Of services, or their replicas, by the names of judges.

        Raises:
            RecipeError: There is no judge of that name.
        """
        unknown = [name for name in urls if name not in self.judges]
        if unknown:
            raise RecipeError(f"there is no judge {unknown[0]}: the file names {', '.join(self.judges)}")
        at = {name: {"url": tuple(given)} for name, given in urls.items()}
        others = tuple(one.model_copy(update=at.get(one.name)) for one in self.rewards.others)
        rewards = self.rewards.model_copy(update={"others": others, **at.get(JUDGE, {})})
        judge = self.evaluation.judge
        held_out = None if judge is None else judge.model_copy(update=at.get(judge.name))
        evaluation = self.evaluation.model_copy(update={"judge": held_out})
        return self.model_copy(update={"rewards": rewards, "evaluation": evaluation})


def load_editor_recipe(path: Path, /, **overrides: Any) -> EditorRecipe:
    """Read a recipe from a YAML file.

    Args:
        path: The file.
        overrides: Fields to set whatever the file says; a field's field by a dotted name.

    Raises:
        RecipeError: The file cannot be read, or a field is unknown or not what it should be.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} is no mapping of fields to values")
    for name, value in overrides.items():
        _set(values, name, value, path)
    try:
        return EditorRecipe.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            reason = "there is no such field"
        raise RecipeError(f"{path}: {f'{where}: ' if where else ''}{reason}") from None


def override_of(text: str) -> tuple[str, Any]:
    """A field and its value from `FIELD=VALUE`, as the command line has it: the field dotted, the value YAML.

    Raises:
        RecipeError: It is not so written.
    """
    name, equals, value = text.partition("=")
    try:
        if not equals or not all(name.split(".")):
            raise ValueError
        return name, yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):
        raise RecipeError(f"{text} is not FIELD=VALUE, such as groups=96 or rewards.mode=probe") from None


def _set(values: dict[str, Any], name: str, value: Any, path: Path) -> None:
    """Set a field, or a field's field."""
    *outer, last = name.split(".")
    for place, field in enumerate(outer):
        values = values.setdefault(field, {})
        if not isinstance(values, dict):
            raise RecipeError(f"{path}: {'.'.join(outer[: place + 1])} has no fields, so that there is no {name}")
    values[last] = value
