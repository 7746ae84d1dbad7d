"""SFT: teach a small judge to decompose, to think and verify, and to answer probes, from the oracle's own trajectories.

Runs on Transformers' `Trainer`, which brings checkpoints, resuming, the schedule and logging. What is ours is the data:
every step's batch is made from the split, the seed and the step number alone, so a resumed run sees what the
uninterrupted one would have seen.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from edit_rrm.card import ImageBudget, JudgeCard, ProbeLabels, SamplingDefaults, load_card, save_card
from edit_rrm.grammar import format_judgement, format_principles
from edit_rrm.prompts import load_prompt_set
from edit_rrm_training.judge.architecture import SIZES, SPECIAL_TOKENS, TOKENIZER_FILES, build_model, build_tokenizer
from edit_rrm_training.judge.cells import COMPARING, RECALLING, SEEING, cell_head, cell_loss
from edit_rrm_training.judge.checkpoints import JudgeCheckpoints, newest_complete
from edit_rrm_training.judge.devices import cpu_only
from edit_rrm_training.judge.growth import grow_into
from edit_rrm_training.judge.precision import Compute
from edit_rrm_training.judge.rows import DESCRIBE, RowBuilder, collate
from edit_rrm_training.judge.run_folder import claim, weights_digest
from edit_rrm_training.judge.seeing import SeeingRecipe, hidden_states, learn_to_see
from edit_rrm_training.shapes import SPLITS, Sample, make
from edit_rrm_training.shapes.describe import describe
from edit_rrm_training.shapes.vocabulary import CANVAS

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLForConditionalGeneration

_SIGHT = "seeing.json"


@dataclass(frozen=True, slots=True)
class SftRecipe:
    """Everything that decides what a run produces, apart from where it writes."""

    size: str = "nano"
    """A name in `edit_rrm_training.judge.architecture.SIZES`."""
    steps: int = 10_000
    rows_per_step: int = 32
    row_length: int = 272
    """Tokens of a row that verifies; it holds the reasoning and as many probes as fit."""
    decompose_length: int = 160
    """Tokens of a row that decomposes."""
    decompose_every: int = 8
    """Every this many steps the batch asks for principles instead of verdicts."""
    describe_share: float = 0.25
    """Share of the steps whose rows describe the images instead of reasoning about them, before `describe_until`."""
    describe_until: int = 600
    """After this many steps nothing is described."""
    probe_weight: float = 2.0
    """Weight of a probe's answer among the answers' tokens."""
    tokenizer_samples: int = 4_000
    """Samples whose texts the tokenizer is learnt from."""
    seeing: SeeingRecipe | None = field(default_factory=SeeingRecipe)
    """Teach the vision tower to see first; None to skip."""
    cells_weight: float = 0.1
    """Weight of what `cells` asks of the visual tokens, beside the answers' own loss."""
    cells_layer: int = 2
    """The language model's layer whose output says what became of each cell (`COMPARING`); the one before recalls."""
    learning_rate: float = 1.5e-3
    warmup_steps: int = 300
    decay_share: float = 0.3
    """Share of the steps, at the end, over which the learning rate falls linearly to zero."""
    weight_decay: float = 0.05
    seed: int = 0
    save_every: int = 500
    log_every: int = 50
    dtype: Compute = "float32"
    """Of the passes; bfloat16 is autocast over fp32 weights. Worth it where the CPU multiplies bf16 (AVX512-BF16, AMX),
    and only on the larger sizes."""
    compiled: bool = True
    """Compile the blocks: 1.6 times the speed on two CPU cores, after a minute of compiling (needs a C++ compiler)."""
    split: str = "train"
    init_from: str | None = None
    """A judge's folder to go on from, its tokenizer included, instead of random weights; one with fewer layers than
    `size` grows."""
    first_index: int = 0
    """First sample of the split to use; a run that continues another one skips what that one saw."""

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            ValueError: There is no such size or split; the message lists those there are.
        """
        if self.size not in SIZES:
            raise ValueError(f"no size {self.size!r}; there are: {', '.join(SIZES)}")
        if self.split not in SPLITS:
            raise ValueError(f"no split {self.split!r}; there are: {', '.join(SPLITS)}")
        if self.dtype not in get_args(Compute):
            raise ValueError(f"no dtype {self.dtype!r}; there are: {', '.join(get_args(Compute))}")


def train_sft(recipe: SftRecipe, output: Path, *, resume: bool = True) -> Path:
    """Train a small judge and write it to a folder that `edit-rrm serve --model` takes.

    Args:
        recipe: What to train.
        output: Folder for checkpoints (`checkpoints/`) and the finished judge (`judge/`).
        resume: Continue from the newest checkpoint in `output`, if there is one; else delete that run.

    Returns:
        The judge's folder.

    Raises:
        ValueError: `output` holds another run, or there is no judge to go on from.
    """
    # Optimiser moments of rarely used weights decay into denormals, which CPUs multiply a hundred times slower.
    torch.set_flush_denormal(True)
    judge = output / "judge"
    start = None if recipe.init_from is None else Path(recipe.init_from)
    facts = {**asdict(recipe), "init_from": None, "start": None if start is None else weights_digest(start)}
    claim(output, {"stage": "sft", **facts}, start=start, resume=resume)
    special = prepare_tokenizer(recipe, judge)
    model = _initial_model(recipe, special, output / "seen")
    dataset = _StepBatches(recipe, judge, special["<|endoftext|>"])
    last = newest_complete(output / "checkpoints")
    progress = _Progress(output / "log.jsonl", resumed=last is not None)
    trainer = _TreeTrainer(
        recipe=recipe,
        model=model,
        args=_arguments(recipe, output / "checkpoints"),
        train_dataset=dataset,
        data_collator=_only_item,
        callbacks=[progress],
    )
    trainer.train(resume_from_checkpoint=None if last is None else str(last))
    seconds = round(progress.seconds + _seconds_of_seeing(output / "seen"))
    save_judge(model, judge, recipe, {"wall_time_s": seconds, "threads": torch.get_num_threads()})
    return judge


def prepare_tokenizer(recipe: SftRecipe, judge: Path) -> dict[str, int]:
    """Write the tokenizer's files unless they are there, and return the special tokens' ids.

    Raises:
        ValueError: The tokenizer to go on from is no small judge's.
    """
    from tokenizers import Tokenizer

    if not (judge / "tokenizer.json").exists():
        if recipe.init_from is None:
            build_tokenizer(_corpus(recipe), SIZES[recipe.size], judge)
        else:
            _copy_tokenizer(Path(recipe.init_from), judge)
    tokenizer = Tokenizer.from_file(str(judge / "tokenizer.json"))
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    missing = [token for token, found in ids.items() if found is None]
    if missing:
        raise ValueError(f"{judge / 'tokenizer.json'} lacks {', '.join(missing)}; delete it to have it made again")
    return {token: found for token, found in ids.items() if found is not None}


def _copy_tokenizer(source: Path, judge: Path) -> None:
    if missing := [name for name in TOKENIZER_FILES if not (source / name).is_file()]:
        raise ValueError(f"{source} is no judge to go on from: it lacks {', '.join(missing)}")
    judge.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, judge / name)


def save_judge(
    model: Qwen2_5_VLForConditionalGeneration, judge: Path, recipe: SftRecipe, facts: dict[str, Any]
) -> None:
    """Write a judge's weights (bf16) and its card."""
    # A copy without the cell heads; the run may go on in full precision.
    shipped = type(model)(model.config).to(torch.bfloat16)
    shipped.load_state_dict({name: tensor for name, tensor in model.state_dict().items() if "cell_heads." not in name})
    shipped.generation_config = model.generation_config
    shipped.save_pretrained(judge)
    card = JudgeCard(
        name=f"edit-rrm-{recipe.size}",
        summary=(
            "A small judge of the synthetic shapes world, made to run and test the whole system on a laptop. "
            "It knows nothing of photographs, people or text: bring a full-size judge for real edits."
        ),
        prompts="nano",
        prompts_fingerprint=load_prompt_set("nano").fingerprint,
        labels=ProbeLabels(yes=("yes",), no=("no",)),
        image=ImageBudget(min_pixels=CANVAS * CANVAS, max_pixels=CANVAS * CANVAS),
        sampling=SamplingDefaults(decompose_max_tokens=192, think_max_tokens=256),
        max_model_len=1024,
        training={
            "stage": "sft",
            "recipe": {**asdict(recipe), "init_from": None},
            "goes_on_from": _made_by(recipe.init_from),
            "parameters": sum(parameter.numel() for parameter in shipped.parameters()),
            "samples": recipe.steps * recipe.rows_per_step,
            "software": {name: version(name) for name in ("torch", "transformers")},
            **facts,
        },
    )
    save_card(card, judge)


def _made_by(judge: str | None) -> dict[str, Any] | None:
    """How the judge that a run went on from was made: the card tells the whole way, not where a folder was."""
    card = None if judge is None else load_card(Path(judge))
    return None if card is None else card.training


class _StepBatches(Dataset[dict[str, torch.Tensor]]):
    """One item per optimisation step: the whole batch."""

    def __init__(self, recipe: SftRecipe, tokenizer: Path, pad: int) -> None:
        self._recipe, self._tokenizer, self._pad = recipe, tokenizer, pad
        self._builder: RowBuilder | None = None

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        if self._builder is None:
            self._builder = RowBuilder(self._tokenizer, probe_weight=self._recipe.probe_weight)
        recipe, builder = self._recipe, self._builder
        first = recipe.first_index + step * recipe.rows_per_step
        samples = [make(recipe.split, first + index) for index in range(recipe.rows_per_step)]
        if step % recipe.decompose_every == recipe.decompose_every - 1:
            return collate([builder.decomposition(sample) for sample in samples], self._pad, recipe.decompose_length)
        share = recipe.describe_share if step < recipe.describe_until else 0.0
        build = (
            builder.description if np.random.default_rng([recipe.seed, step]).random() < share else builder.judgement
        )
        rows = [build(sample, _probes(recipe.seed, sample), recipe.row_length) for sample in samples]
        return collate(rows, self._pad, recipe.row_length)


def _probes(seed: int, sample: Sample) -> list[int]:
    """Principles in the order to probe them: a failed one is twice as likely to come early, four passing to each."""
    odds = np.array([1.0 if finding.passed else 2.0 for finding in sample.truth.findings])
    rng = np.random.default_rng([seed, sample.index])
    return [int(index) for index in rng.choice(len(odds), size=len(odds), replace=False, p=odds / odds.sum())]


class _TreeTrainer(JudgeCheckpoints):
    """A trainer whose loss is the weighted mean over the answers' tokens, and how well the cells are read."""

    def __init__(self, *args: Any, recipe: SftRecipe, **kwargs: Any) -> None:
        """Take a `Trainer`'s arguments, and the recipe."""
        super().__init__(*args, **kwargs)
        self.recipe = recipe

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Cross-entropy at the answers' positions; `labels` are shifted already."""
        labels, weights, seen, compared = (inputs.pop(name) for name in ("labels", "weights", "seen", "compared"))
        features: list[torch.Tensor] = []
        layers = model.model.language_model.layers
        heads = (model.model.visual, layers[self.recipe.cells_layer - 1], layers[self.recipe.cells_layer])
        hooks = [
            module.register_forward_hook(lambda *call: features.append(hidden_states(call[-1]).float()))
            for module in heads
        ]
        outputs = model(**inputs, use_cache=False)
        for hook in hooks:
            hook.remove()
        asked = labels >= 0
        losses = nn.functional.cross_entropy(outputs.logits[asked].float(), labels[asked], reduction="none")
        loss = self.checked((losses * weights[asked]).sum() / weights[asked].sum())
        visual = inputs["input_ids"] == model.config.image_token_id
        recalled, became = compared.split([len(RECALLING), len(COMPARING)], dim=-1)
        parts = [
            cell_loss(model.cell_heads["seeing"], SEEING, features[0], seen),
            cell_loss(model.cell_heads["recalling"], RECALLING, features[1][visual], recalled),
            cell_loss(model.cell_heads["comparing"], COMPARING, features[2][visual], became),
        ]
        if self.state.global_step % self.args.logging_steps == 0:
            shares = {f"cells_{name}": share for _, accuracy in parts for name, share in accuracy.items()}
            self.log({"answers": float(loss.detach()), **shares})
        loss = loss + self.recipe.cells_weight * sum(part for part, _ in parts)
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)


class _Progress(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
    """Appends every log entry to a JSON-lines file, for plots and for people who watch, and adds up the time."""

    def __init__(self, path: Path, *, resumed: bool) -> None:
        """Go on from the file's last entry, or start it afresh."""
        self._path = path
        if not resumed:
            path.unlink(missing_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._before: float = json.loads(lines[-1])["seconds"] if lines else 0.0
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time of the run so far, resumed parts included."""
        return self._before + time.monotonic() - self._began

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write an entry."""
        entry = {"step": state.global_step, "seconds": round(self.seconds, 1), **kwargs.get("logs", {})}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _arguments(recipe: SftRecipe, checkpoints: Path) -> TrainingArguments:
    decay = round(recipe.steps * recipe.decay_share)
    return TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=recipe.steps,
        per_device_train_batch_size=1,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": decay},
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        seed=recipe.seed,
        logging_steps=recipe.log_every,
        save_steps=recipe.save_every,
        save_total_limit=2,
        dataloader_num_workers=1,
        dataloader_prefetch_factor=4,
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=False,
        bf16=recipe.dtype == "bfloat16",
        use_cpu=cpu_only(),
    )


def _initial_model(recipe: SftRecipe, special: dict[str, int], seen: Path) -> Qwen2_5_VLForConditionalGeneration:
    """The model to train: another checkpoint's, or one that has learnt to see (kept in `seen`, to be resumed from)."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    start = recipe.init_from or (seen if (seen / "config.json").exists() else None)
    if start is not None:
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(start, dtype=torch.float32)
        if SIZES[recipe.size].text_layers > len(model.model.language_model.layers):
            model = grow_into(model, build_model(SIZES[recipe.size], special, recipe.seed))
    else:
        model = build_model(SIZES[recipe.size], special, recipe.seed)
    if recipe.compiled:
        for block in (*model.model.language_model.layers, *model.model.visual.blocks):
            # The block's `forward` alone, so that hooks stay outside of what is compiled.
            block.forward = torch.compile(block.forward, dynamic=False)
    if start is None and recipe.seeing is not None:
        sight = learn_to_see(model, recipe.seeing, _print_sight)
        model.save_pretrained(seen)
        (seen / _SIGHT).write_text(json.dumps(sight, indent=2) + "\n", encoding="utf-8")
    width = model.config.text_config.hidden_size
    questions = {"seeing": SEEING, "recalling": RECALLING, "comparing": COMPARING}
    model.cell_heads = nn.ModuleDict({name: cell_head(width, asked) for name, asked in questions.items()})
    return model


def _seconds_of_seeing(seen: Path) -> float:
    sight = seen / _SIGHT
    return float(json.loads(sight.read_text(encoding="utf-8"))["seconds"]) if sight.exists() else 0.0


def _print_sight(step: int, loss: float, accuracy: dict[str, float]) -> None:
    shares = " ".join(f"{name} {share:.2f}" for name, share in accuracy.items())
    sys.stderr.write(f"seeing: step {step}, loss {loss:.2f}: {shares}\n")


def _corpus(recipe: SftRecipe) -> Iterator[str]:
    """Text to learn the tokenizer from: every line of every prompt and answer."""
    prompts = load_prompt_set("nano")
    fixed = [prompts.system, DESCRIBE, *prompts.templates.values(), "system", "user", "assistant", "yes", "no"]
    for index in range(recipe.tokenizer_samples):
        sample = make(recipe.split, index)
        findings = sample.truth.findings
        principles = [finding.principle for finding in findings]
        texts = [
            *fixed,
            f"Edit: {sample.instruction}",
            format_principles(principles),
            format_judgement([f.reason for f in findings], [f.passed for f in findings], sample.truth.score),
            describe(sample.source),
            describe(sample.edited.scene),
        ]
        yield from (f"{line}\n" for text in texts for line in text.split("\n"))


def _only_item(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return items[0]
