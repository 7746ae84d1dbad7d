"""A stage of nano-editor's training on Transformers' `Trainer`, which brings checkpoints, the schedule and resuming.

Every step's batch is made from its number alone, so a resumed run sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from edit_rrm_training.judge.checkpoints import JudgeCheckpoints, newest_complete
from edit_rrm_training.judge.devices import cpu_only

Batch = dict[str, torch.Tensor]


def train_stage(
    module: nn.Module,
    batch: Callable[[int], Batch],
    folder: Path,
    *,
    steps: int,
    learning_rate: float,
    save_every: int,
    workers: int = 1,
    bf16: bool = True,
) -> None:
    """Train a module whose forward takes a batch and returns its loss.

    Args:
        module: What to train.
        batch: Makes the batch of a step.
        folder: For checkpoints and the log; a run that was interrupted is gone on with.
        steps: Of the whole stage.
        learning_rate: Highest, after a warm-up of a twentieth of the steps; falls by a cosine.
        save_every: Steps between checkpoints.
        workers: Processes that make batches.
        bf16: Whether passes are made in bf16, over fp32 weights.
    """
    last = newest_complete(folder / "checkpoints")
    trainer = _StageTrainer(
        model=module,
        args=TrainingArguments(
            output_dir=str(folder / "checkpoints"),
            max_steps=steps,
            per_device_train_batch_size=1,
            learning_rate=learning_rate,
            warmup_steps=steps // 20,
            lr_scheduler_type="cosine",
            weight_decay=0.01,
            max_grad_norm=1.0,
            logging_steps=25,
            save_steps=save_every,
            save_total_limit=2,
            dataloader_num_workers=workers,
            remove_unused_columns=False,
            report_to=[],
            bf16=bf16,
            use_cpu=cpu_only(),
        ),
        train_dataset=_Steps(batch, steps),
        data_collator=_only_item,
        callbacks=[_Log(folder / "log.jsonl")],
    )
    trainer.train(resume_from_checkpoint=None if last is None else str(last))


class _Steps(Dataset[Batch]):
    """One item a step."""

    def __init__(self, batch: Callable[[int], Batch], steps: int) -> None:
        self._batch, self._steps = batch, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Batch:
        return self._batch(step)


class _StageTrainer(JudgeCheckpoints):
    """A trainer whose model returns its loss."""

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the model's loss, if it is a number."""
        loss = self.checked(model(**inputs))
        return (loss, {}) if return_outputs else loss

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)


class _Log(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
    """Appends the loss to a JSON-lines file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began = time.monotonic()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        """Write an entry."""
        entry = {"step": state.global_step, "seconds": round(time.monotonic() - self._began, 1), **(logs or {})}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _only_item(items: list[Batch]) -> Batch:
    return items[0]
