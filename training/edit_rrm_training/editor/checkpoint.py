"""Checkpoints of a run: what is trained, its optimiser and average, and where the run was. Whole, or not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

_STATE = "run_state.json"
_WEIGHTS = "trained.safetensors"
_PREFIX = "checkpoint-"


class CheckpointError(OSError):
    """A checkpoint could not be written; the message says which is the last whole one."""


class Checkpoints:
    """Writes and finds a run's checkpoints, by accelerate's `save_state`; of frozen weights nothing is written."""

    def __init__(self, accelerator: Any, folder: Path, *, keep: int) -> None:
        """Keep the last so many in a folder."""
        self._accelerator = accelerator
        self._folder = folder
        self._keep = keep
        accelerator.register_save_state_pre_hook(_save_trained)
        accelerator.register_load_state_pre_hook(_load_trained)

    def newest(self) -> Path | None:
        """The newest whole checkpoint; one that was killed or met a full disk while it was written is none."""
        return max(self._whole(), key=_number, default=None)

    def save(self, step: int, facts: dict[str, Any]) -> None:
        """Write a checkpoint.

        Args:
            step: How many are done.
            facts: To be given back by `load`, as JSON has them.

        Raises:
            CheckpointError: The disk is full, or the folder not to be written. What was there before is whole.
        """
        unfinished = self._folder / f"{_PREFIX}{step}.partial"
        try:
            if self._accelerator.is_main_process:
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir(parents=True)
            self._accelerator.wait_for_everyone()
            self._accelerator.save_state(str(unfinished))
            self._accelerator.wait_for_everyone()
            if self._accelerator.is_main_process:
                # Written last: a folder that has it is whole.
                (unfinished / _STATE).write_text(json.dumps({"step": step, **facts}), encoding="utf-8")
                final = unfinished.with_suffix("")
                shutil.rmtree(final, ignore_errors=True)
                unfinished.rename(final)
                self._forget()
        except (OSError, RuntimeError) as error:
            last = self.newest()
            kept = "none was written before" if last is None else f"the last whole one is {last}"
            raise CheckpointError(
                f"the checkpoint of step {step} could not be written ({str(error).splitlines()[0]}); {kept}. Make room "
                "and run the same command again"
            ) from error
        self._accelerator.wait_for_everyone()

    def load(self) -> dict[str, Any] | None:
        """Go on from the newest whole checkpoint.

        Returns:
            What was saved with it, ``step`` among it; None where there is none.
        """
        newest = self.newest()
        if newest is None:
            return None
        self._accelerator.load_state(str(newest))
        state: dict[str, Any] = json.loads((newest / _STATE).read_text(encoding="utf-8"))
        return state

    def _whole(self) -> list[Path]:
        found = self._folder.glob(f"{_PREFIX}*")
        return [path for path in found if path.suffix != ".partial" and (path / _STATE).is_file()]

    def _forget(self) -> None:
        for path in sorted(self._whole(), key=_number)[: -self._keep]:
            shutil.rmtree(path)


def trained_weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """What a module trains, by name."""
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def _number(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))


def _save_trained(models: list[Any], weights: list[Any], folder: str) -> None:
    """In the place of whole state dictionaries, which would be mostly what never changes."""
    for model in models:
        trained = {name: value.detach().cpu().contiguous() for name, value in trained_weights(_bare(model)).items()}
        save_file(trained, Path(folder) / _WEIGHTS)
    weights.clear()


def _load_trained(models: list[Any], folder: str) -> None:
    while models:
        module = _bare(models.pop())
        saved = load_file(Path(folder) / _WEIGHTS)
        target = trained_weights(module)
        if saved.keys() != target.keys():
            raise ValueError(f"{folder} is the checkpoint of another model or adapter; choose another --out")
        with torch.no_grad():
            for name, value in target.items():
                value.copy_(saved[name])


def _bare(model: Any) -> Any:
    return getattr(model, "module", model)
