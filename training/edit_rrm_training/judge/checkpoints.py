"""Checkpoints of a training run: which one to resume from, and what must never get into one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

_WEIGHTS = "model.safetensors"
_STATE = "trainer_state.json"
_WRITE_ERRORS = (OSError, SafetensorError, RuntimeError)
"""What writing to a full disk raises: json's, safetensors' and torch's own."""


class DivergedError(RuntimeError):
    """The loss is no number any more; the message says which checkpoint is the last good one."""


def newest_complete(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end, or None.

    A run that is killed (or meets a full disk) while it saves leaves a folder that looks like a checkpoint. The
    trainer's state is written last, so a checkpoint without a readable one does not count.
    """
    numbered = [
        (int(number), path)
        for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
        if (number := path.name.removeprefix(f"{PREFIX_CHECKPOINT_DIR}-")).isdigit() and _is_complete(path)
    ]
    return max(numbered)[1] if numbered else None


def _is_complete(checkpoint: Path) -> bool:
    try:
        return isinstance(json.loads((checkpoint / _STATE).read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False


class JudgeCheckpoints(Trainer):  # type: ignore[misc]  # transformers is not type-checked
    """A mix-in for trainers of judges: checkpoints that resume, and no step on a loss that is no number."""

    def checked(self, loss: torch.Tensor) -> torch.Tensor:
        """Return a loss that is a number.

        Raises:
            DivergedError: It is none. Stopping before the step leaves the last checkpoint good.
        """
        if torch.isfinite(loss).all():
            return loss
        last = newest_complete(Path(self.args.output_dir))
        kept = "nothing was saved yet" if last is None else f"the last good checkpoint is {last}"
        raise DivergedError(
            f"the loss at step {self.state.global_step} is {float(loss.detach().mean())}; {kept}. "
            "Lower the learning rate or the temperature and run again"
        )

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Write a checkpoint.

        Raises:
            OSError: It could not be written; the message says what to do, and which checkpoint is whole.
        """
        try:
            super()._save_checkpoint(*args, **kwargs)
        except _WRITE_ERRORS as error:
            last = newest_complete(Path(self.args.output_dir))
            kept = "none was saved before" if last is None else f"the last one before is whole: {last}"
            raise OSError(
                f"the checkpoint of step {self.state.global_step} could not be written ({_first_line(error)}); {kept}. "
                "Make room on the disk and run again"
            ) from error

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        # `Trainer` writes a checkpoint under the names of released Qwen2.5-VLs and reads it by those of its modules:
        # resuming would silently go on from the initial weights.
        if _is_adapter(self.model) or state_dict is not None:
            super()._save(output_dir, state_dict)
            return
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(folder / _WEIGHTS))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        target = model or self.model
        if _is_adapter(target):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_model(target, Path(resume_from_checkpoint) / _WEIGHTS)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _is_adapter(model: nn.Module) -> bool:
    return hasattr(model, "peft_config")
