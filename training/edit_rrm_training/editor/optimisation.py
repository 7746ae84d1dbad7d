"""One optimiser step out of many passes, by accelerate: on one device, replicated (DDP) or sharded (FSDP2)."""

from __future__ import annotations

import math
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from edit_rrm_training.editor.trained import Trained, gather
from edit_rrm_training.judge.checkpoints import DivergedError

_FILE = "optimizer.safetensors"


class Optimisation(Protocol):
    """How a library makes optimiser steps, and keeps what they need."""

    def passing(self, *, more: bool) -> AbstractContextManager[Any]:
        """What a forward and its backward pass are made in; whether more of them follow before the step."""

    def step(self) -> float:
        """Make the step.

        Returns:
            The gradient's norm, before it was scaled down.

        Raises:
            DivergedError: The gradient is no number. Nothing that the weights are now may be saved.
        """

    def save(self, folder: Path) -> None:
        """Write the optimiser's state into a folder. All processes have to take part.

        Raises:
            OSError: It cannot be written.
        """

    def load(self, folder: Path) -> None:
        """Go on from a state that was saved. All processes have to take part."""


class AccelerateOptimisation:
    """An optimiser of torch, over parameters that are whole or FSDP2's shards."""

    def __init__(self, accelerator: Any, trained: Trained, optimizer: Any, *, max_grad_norm: float = 1.0) -> None:
        """Step by these.

        Args:
            accelerator: An `accelerate.Accelerator`.
            trained: Of the module that it prepared.
            optimizer: Of that, prepared with it.
            max_grad_norm: The gradient is scaled down to this.
        """
        self._accelerator = accelerator
        self._trained = trained
        self._optimizer = optimizer
        self._max_grad_norm = max_grad_norm

    def passing(self, *, more: bool) -> AbstractContextManager[Any]:
        """DDP sums gradients up in the last pass; FSDP in each, because a whole gradient may not fit."""
        if not more or self._accelerator.is_fsdp2:
            return nullcontext()
        context: AbstractContextManager[Any] = self._accelerator.no_sync(self._trained.module)
        return context

    def step(self) -> float:
        """Make the step; one whose gradient is no number is not made."""
        found = self._accelerator.clip_grad_norm_(self._trained.module.parameters(), self._max_grad_norm)
        norm = float(gather(torch.as_tensor(found)))
        if not math.isfinite(norm):
            self._optimizer.zero_grad()
            raise DivergedError(f"the gradient's norm is {norm}; the step was not made")
        self._optimizer.step()
        self._optimizer.zero_grad()
        return norm

    def save(self, folder: Path) -> None:
        """Write whole tensors, by parameters' names: they can be read by any number of processes."""
        tensors = {}
        for name, parameter in zip(self._trained.names, self._trained.parameters, strict=True):
            for kind, value in sorted(self._optimizer.state.get(parameter, {}).items()):
                full = gather(value)
                if self._accelerator.is_main_process:
                    tensors[f"{kind}/{name}"] = full.cpu().contiguous()
        if self._accelerator.is_main_process:
            save_file(tensors, folder / _FILE)

    def load(self, folder: Path) -> None:
        """Read them; each process keeps its part."""
        places = {name: place for place, name in enumerate(self._trained.names)}
        state: dict[int, dict[str, torch.Tensor]] = defaultdict(dict)
        with safe_open(folder / _FILE, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 # it is no dictionary
                kind, _, name = key.partition("/")
                state[places[name]][kind] = self._trained.part(places[name], file.get_tensor(key))
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": dict(state), "param_groups": groups})
