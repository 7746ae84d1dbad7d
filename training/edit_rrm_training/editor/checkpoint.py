"""Checkpoints of a run: what is trained, its optimiser and average, and where the run was. Whole, or not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from edit_rrm_client.durable import settle
from edit_rrm_training.editor.average import MovingAverage
from edit_rrm_training.editor.checkpoint_files import (
    AVERAGE_FILE,
    WEIGHTS_FILE,
    checkpoint_path,
    checkpoints_in,
    first_line,
    flaw_in,
    read_state,
    step_of,
    unfinished_in,
    write_state,
)
from edit_rrm_training.editor.optimisation import Optimisation
from edit_rrm_training.editor.trained import Trained

_NONE = -1
_NONE_READABLE = -2


class CheckpointError(OSError):
    """A checkpoint could not be written, or not be read by all; the message says what to do."""


class Checkpoints:
    """Writes and finds a run's checkpoints. Of frozen weights nothing is written.

    Weights and average are whole tensors by name, however the run holds them: what DDP wrote FSDP reads, with any
    number of processes.
    """

    def __init__(
        self,
        accelerator: Any,
        folder: Path,
        *,
        keep: int,
        trained: Trained,
        optimisation: Optimisation,
        average: MovingAverage,
        say: Callable[[str], None] = print,
    ) -> None:
        """Keep the last so many in a folder, which all processes see.

        Args:
            accelerator: An `accelerate.Accelerator`.
            folder: For all checkpoints of one run.
            keep: How many.
            trained: What is saved of the model.
            optimisation: Whose state is saved with it.
            average: Likewise.
            say: Is told, on the first process, what is skipped or deleted when a run goes on.
        """
        self._accelerator = accelerator
        self._folder = folder
        self._keep = keep
        self._trained = trained
        self._optimisation = optimisation
        self._average = average
        self._say = say

    def newest(self) -> Path | None:
        """The newest whole checkpoint; one that was killed or met a full disk while it was written is none."""
        return _newest(self._folder)

    def save(self, step: int, facts: dict[str, Any]) -> None:
        """Write a checkpoint.

        Args:
            step: How many are done.
            facts: To be given back by `load`, as JSON has them.

        Raises:
            CheckpointError: The disk is full, or the folder not to be written. What was there before is whole, and
                what was written of this one is deleted.
        """
        unfinished = checkpoint_path(self._folder, step, unfinished=True)
        try:
            if self._accelerator.is_main_process:
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir(parents=True)
            self._accelerator.wait_for_everyone()
            self._write(unfinished)
            self._accelerator.wait_for_everyone()
            if self._accelerator.is_main_process:
                write_state(unfinished, {"step": step, "averaged": self._average.steps, **facts})
                final = checkpoint_path(self._folder, step)
                # One that could not be read, or the run would not have come here again.
                shutil.rmtree(final, ignore_errors=True)
                settle(unfinished, final)
                self._forget(step)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            gone = "" if unfinished.exists() else "what was written of it is deleted, and "
            last = self.newest()
            kept = "none was written before" if last is None else f"the last whole one is {last}"
            raise CheckpointError(
                f"the checkpoint of step {step} could not be written ({first_line(error)}); {gone}{kept}. Make room "
                "and run the same command again"
            ) from error
        self._accelerator.wait_for_everyone()

    def load(self) -> dict[str, Any] | None:
        """Go on from the newest checkpoint that can be read. All processes have to take part.

        The first one looks whether files are whole, and all go on from what it chooses. Those that cannot be read are
        left where they are until the run has saved a newer one.

        Returns:
            What was saved with it, ``step`` among it; None where there is none.

        Raises:
            CheckpointError: Processes do not see the same ones, or none of those that there are can be read.
            ValueError: It is of another model or adapter.
        """
        found = checkpoints_in(self._folder)
        self._agreed(step_of(found[0]) if found else _NONE)
        main = self._accelerator.is_main_process
        if main:
            self._delete_unfinished()
        step = self._firsts(self._choose(found) if main else _NONE)
        if step == _NONE:
            return None
        if step == _NONE_READABLE:
            raise CheckpointError(
                f"no checkpoint in {self._folder} can be read ({', '.join(path.name for path in found)}), and nothing "
                "is begun anew unless you say so: put back a copy of one, or delete the run and begin it again with "
                "--fresh"
            )
        chosen = checkpoint_path(self._folder, step)
        try:
            state = read_state(chosen)
            self._read(chosen / WEIGHTS_FILE, self._trained.take)
            self._read(chosen / AVERAGE_FILE, self._average.take)
            self._optimisation.load(chosen)
        except (OSError, SafetensorError, json.JSONDecodeError) as error:
            raise CheckpointError(
                f"{chosen} looks whole and could not be read ({first_line(error)}): run the same command again, or "
                "delete that folder, and the run goes on from the checkpoint before"
            ) from error
        self._average.steps = state.pop("averaged")
        return state

    def _choose(self, found: list[Path]) -> int:
        """The step of the newest that can be read, of some, newest first."""
        for path in found:
            flaw = flaw_in(path)
            if flaw is None:
                return step_of(path)
            self._say(f"skipped the checkpoint {path}, which cannot be read ({flaw})")
        return _NONE_READABLE if found else _NONE

    def _delete_unfinished(self) -> None:
        for path in unfinished_in(self._folder):
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                self._say(f"deleted {path}, which had not been written to its end")

    def _write(self, folder: Path) -> None:
        main = self._accelerator.is_main_process
        for name, values in ((WEIGHTS_FILE, self._trained.precise()), (AVERAGE_FILE, self._average.values)):
            whole = self._trained.whole(values, keep=main)
            if main:
                save_file(whole, folder / name)
        self._optimisation.save(folder)

    def _read(self, path: Path, take: Callable[[int, torch.Tensor], None]) -> None:
        """A value at a time: whole ones of a large model would not fit beside each other in every process."""
        with safe_open(path, framework="pt") as file:
            if set(file.keys()) != set(self._trained.names):
                raise ValueError(f"{path.parent} is the checkpoint of another model or adapter; choose another --out")
            for place, name in enumerate(self._trained.names):
                take(place, file.get_tensor(name))

    def _agreed(self, step: int) -> None:
        """Nodes that do not share the folder would go on from different steps, and wait for each other for ever."""
        found = self._accelerator.gather(torch.tensor([step], device=self._accelerator.device)).tolist()
        if len(set(found)) > 1:
            raise CheckpointError(
                f"processes see different checkpoints in {self._folder} (steps {sorted(set(found))}, -1 for none): "
                "put --out on a file system that all nodes share"
            )

    def _firsts(self, value: int) -> int:
        """What the first process has said."""
        said = self._accelerator.gather(torch.tensor([value], device=self._accelerator.device))
        return int(said[0])

    def _forget(self, step: int) -> None:
        """Delete what is not among the last readable ones: newer ones than this step's could not be read."""
        found = checkpoints_in(self._folder)
        kept = [path for path in found if step_of(path) <= step and flaw_in(path) is None][: self._keep]
        for path in set(found) - set(kept):
            # This step's is written; one that stays too long harms nobody.
            shutil.rmtree(path, ignore_errors=True)


def newest_state(folder: Path) -> dict[str, Any] | None:
    """What the newest whole checkpoint remembers, without loading it; None where there is none."""
    newest = _newest(folder)
    return None if newest is None else read_state(newest)


def _newest(folder: Path) -> Path | None:
    return next((path for path in checkpoints_in(folder) if flaw_in(path) is None), None)
