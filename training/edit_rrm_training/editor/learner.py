"""Updates of a policy from scored rollouts, on any number of devices (accelerate)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch

from edit_rrm_training.editor.grpo import Drawn, Objective, step_loss
from edit_rrm_training.editor.optimisation import Optimisation
from edit_rrm_training.editor.policies.base import EditPolicy
from edit_rrm_training.editor.progress import Counted, unheard
from edit_rrm_training.editor.sampling import Rollouts
from edit_rrm_training.editor.sde import mean_of


@dataclass(frozen=True, slots=True)
class Experience:
    """Scored rollouts of one group of B edits."""

    rollouts: Rollouts
    advantages: npt.NDArray[Any]
    """(B,)."""
    counts: npt.NDArray[Any]
    """(B,), which were measured and are not of a dropped group."""

    @property
    def teaches(self) -> bool:
        """Whether any member differs from the others; of a group without spread there is nothing to learn."""
        return bool((self.advantages[self.counts] != 0.0).any())


@dataclass(frozen=True, slots=True)
class Update:
    """What one update did, means over all devices."""

    loss: float
    grad_norm: float
    ratio_deviation: float
    """Mean of |ratio - 1|."""
    clipped: float
    """Share of samples and steps whose gain was cut off."""
    kl: float
    samples: int
    """That counted."""


@dataclass(frozen=True, slots=True)
class _Piece:
    experience: Experience
    places: tuple[int, ...]


class Learner:
    """Makes one optimiser step of some groups at a time."""

    def __init__(
        self,
        policy: EditPolicy,
        optimisation: Optimisation,
        accelerator: Any,
        objective: Objective,
        *,
        reference: Callable[[], AbstractContextManager[Any]] | None = None,
        micro_batch: int = 8,
    ) -> None:
        """Update by these.

        Args:
            policy: What is updated; its module is prepared by the accelerator.
            optimisation: Steps of its parameters.
            accelerator: An `accelerate.Accelerator`.
            objective: What is minimised.
            reference: A context in which the policy is the frozen one, such as one without its adapter; needed where
                the objective has a KL.
            micro_batch: Edits in one pass.
        """
        if objective.kl > 0.0 and reference is None:
            raise ValueError("a KL needs a reference: train an adapter, or set kl to 0")
        self._policy = policy
        self._optimisation = optimisation
        self._accelerator = accelerator
        self._objective = objective
        self._reference = reference
        self._micro_batch = micro_batch

    def update(self, experiences: Sequence[Experience], told: Counted = unheard) -> Update | None:
        """Make one optimiser step.

        The gradient is the mean over all samples that count and all their stochastic steps, on all devices: it does not
        depend on how groups are spread over devices, or on `micro_batch`.

        Args:
            experiences: Of this device; their groups without spread are left out.
            told: Is told how many passes are made, of how many.

        Returns:
            What it did; None where no device had anything to learn from, and nothing was changed.

        Raises:
            DivergedError: The gradient is no number; see `Optimisation.step`.
        """
        teaching = [one for one in experiences if one.teaches]
        terms = sum(int(one.counts.sum()) * len(one.rollouts.drawn) for one in teaching)
        samples = sum(int(one.counts.sum()) for one in teaching)
        pieces = [piece for one in teaching for piece in self._pieces(one)]
        total_terms, total_samples = (int(value) for value in self._sum([terms, samples]))
        if total_terms == 0:
            return None
        rounds = int(self._most(len(pieces)))
        idle = self._pieces_of_nothing(experiences, rounds - len(pieces))
        weight = self._accelerator.num_processes / total_terms
        sums = torch.zeros(4, dtype=torch.float64)
        last = rounds - 1
        for number, (piece, share) in enumerate([*((piece, weight) for piece in pieces), *idle]):
            told(number, rounds)
            for step_number, more in _marked_last(sorted(piece.experience.rollouts.drawn)):
                with self._optimisation.passing(more=number < last or more):
                    sums += self._backward(piece, step_number, share)
        norm = self._optimisation.step()
        loss, deviation, clipped, divergence = self._sum(sums.tolist())
        return Update(
            loss=loss / self._accelerator.num_processes,
            grad_norm=norm,
            ratio_deviation=deviation / total_terms,
            clipped=clipped / total_terms,
            kl=divergence / total_terms,
            samples=total_samples,
        )

    def _backward(self, piece: _Piece, number: int, weight: float) -> torch.Tensor:
        """Add a piece's gradient of one step; returns sums of loss, |ratio - 1|, clipped and KL over what counts."""
        rollouts = piece.experience.rollouts
        device = self._accelerator.device
        places = list(piece.places)
        whole = rollouts.drawn[number]
        drawn = Drawn(*(value[places].to(device) for value in (whole.before, whole.after, whole.mean)))
        condition = rollouts.condition.for_places(places).to(device)
        step = rollouts.steps[number]
        counts = torch.as_tensor(piece.experience.counts[places], dtype=torch.float32, device=device)
        advantages = torch.as_tensor(piece.experience.advantages[places], dtype=torch.float32, device=device)

        def mean() -> torch.Tensor:
            with self._accelerator.autocast():
                velocity = self._policy.velocity(drawn.before, step.start, condition)
            return mean_of(step, drawn.before, velocity)

        reference = None
        if self._objective.kl > 0.0 and self._reference is not None:
            with torch.no_grad(), self._reference():
                reference = mean()
        found = step_loss(self._objective, step, drawn, mean(), advantages, counts * weight, reference)
        self._accelerator.backward(found.loss)
        real = counts if weight > 0.0 else torch.zeros_like(counts)
        sums = [
            found.loss.detach(),
            ((found.ratio - 1.0).abs() * real).sum(),
            (found.clipped * real).sum(),
            (found.kl * real).sum(),
        ]
        return torch.stack([value.double().cpu() for value in sums])

    def _pieces(self, experience: Experience) -> Iterator[_Piece]:
        places = [place for place, counted in enumerate(experience.counts) if counted]
        for first in range(0, len(places), self._micro_batch):
            yield _Piece(experience, tuple(places[first : first + self._micro_batch]))

    def _pieces_of_nothing(self, experiences: Sequence[Experience], count: int) -> list[tuple[_Piece, float]]:
        """Passes without weight, so that all devices make the same number: their collectives wait for each other."""
        if count <= 0:
            return []
        if not experiences:
            raise ValueError("a device without rollouts: make groups a multiple of the number of devices")
        return [(_Piece(experiences[0], (0,)), 0.0)] * count

    def _sum(self, values: Sequence[float]) -> list[float]:
        local = torch.tensor(values, dtype=torch.float64, device=_sums_on(self._accelerator))
        total: list[float] = self._accelerator.reduce(local, "sum").tolist()
        return total

    def _most(self, value: int) -> int:
        local = torch.tensor([value], device=self._accelerator.device)
        return int(self._accelerator.gather(local).max())


def _sums_on(accelerator: Any) -> torch.device:
    device: torch.device = accelerator.device
    return torch.device("cpu") if device.type == "mps" else device


def _marked_last(numbers: Sequence[int]) -> Iterator[tuple[int, bool]]:
    """Each number, and whether more follow."""
    for place, number in enumerate(numbers):
        yield number, place < len(numbers) - 1
