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

from edit_rrm_client import IdentityChangedError
from edit_rrm_training.editor.average import MovingAverage
from edit_rrm_training.editor.optimisation import Optimisation
from edit_rrm_training.editor.trained import Trained

_STATE = "run_state.json"
_WEIGHTS = "trained.safetensors"
_AVERAGE = "average.safetensors"
_PREFIX = "checkpoint-"


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
    ) -> None:
        """Keep the last so many in a folder, which all processes see."""
        self._accelerator = accelerator
        self._folder = folder
        self._keep = keep
        self._trained = trained
        self._optimisation = optimisation
        self._average = average

    def newest(self) -> Path | None:
        """The newest whole checkpoint; one that was killed or met a full disk while it was written is none."""
        return _newest(self._folder)

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
            self._write(unfinished)
            self._accelerator.wait_for_everyone()
            if self._accelerator.is_main_process:
                # Written last: a folder that has it is whole.
                state = {"step": step, "averaged": self._average.steps, **facts}
                (unfinished / _STATE).write_text(json.dumps(state), encoding="utf-8")
                final = unfinished.with_suffix("")
                shutil.rmtree(final, ignore_errors=True)
                unfinished.rename(final)
                self._forget()
        except (OSError, RuntimeError, SafetensorError) as error:
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

        Raises:
            CheckpointError: Processes do not see the same one.
            ValueError: It is of another model or adapter.
        """
        newest = self.newest()
        self._agreed(-1 if newest is None else _number(newest))
        if newest is None:
            return None
        state: dict[str, Any] = json.loads((newest / _STATE).read_text(encoding="utf-8"))
        self._read(newest / _WEIGHTS, self._trained.take)
        self._read(newest / _AVERAGE, self._average.take)
        self._average.steps = state.pop("averaged")
        self._optimisation.load(newest)
        return state

    def _write(self, folder: Path) -> None:
        main = self._accelerator.is_main_process
        for name, values in ((_WEIGHTS, self._trained.precise()), (_AVERAGE, self._average.values)):
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

    def _forget(self) -> None:
        for path in sorted(_whole(self._folder), key=_number)[: -self._keep]:
            shutil.rmtree(path)


def begun_with(folder: Path) -> str | None:
    """The identity of the judge of a run's newest checkpoint, without loading it; None where there is none."""
    newest = _newest(folder)
    return None if newest is None else str(json.loads((newest / _STATE).read_text(encoding="utf-8"))["identity"])


def check_judge(began: str, judging: str, where: str = "") -> None:
    """Refuse to go on with a run on the rewards of another judge than it began with.

    Args:
        began: Identity of the judge of the run's checkpoint.
        judging: Of the one that would judge now.
        where: Which one that is, for people.

    Raises:
        IdentityChangedError: They are not the same.
    """
    if began != judging:
        raise IdentityChangedError(
            f"{judging} is judging{where}, and the run began with {began}: their scores do not compare. Serve the old "
            "judge, or begin a new run with --fresh",
            code="identity_mismatch",
        )


def _newest(folder: Path) -> Path | None:
    return max(_whole(folder), key=_number, default=None)


def _whole(folder: Path) -> list[Path]:
    found = folder.glob(f"{_PREFIX}*")
    return [path for path in found if path.suffix != ".partial" and (path / _STATE).is_file()]


def _number(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))
