"""Seeing: teach the vision tower what stands in each cell of an image before anything has to be said about it.

A small judge that starts from random weights learns its answers' wording in minutes and then sits on "always yes" for a
long time, because the way from a verdict back to pixels is long and its features are noise (measured: 1,400 steps of
32 rows with no better than chance on colours and shapes). The oracle knows every cell, so a linear head on every visual
token is asked directly; the head is thrown away afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset

from edit_rrm_training.judge.architecture import MERGE, PATCH
from edit_rrm_training.judge.patches import patches
from edit_rrm_training.shapes import Sample, make, render
from edit_rrm_training.shapes.oracle import shown_size
from edit_rrm_training.shapes.scene import Scene
from edit_rrm_training.shapes.vocabulary import BACKGROUND_COLOURS, CANVAS, COLOURS, PATTERNS, SHAPES, TONES

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLForConditionalGeneration

_SIDE = CANVAS // (PATCH * MERGE)
_CELL = PATCH * MERGE
_ABSENT = -100
_SIZES = ("tiny", "small", "between", "big", "huge")
_ARTEFACTS = (None, "blur", "noise", "blocks")
_TONES = (None, *TONES)

QUESTIONS: dict[str, int] = {
    "object": 2,
    "shape": len(SHAPES),
    "colour": len(COLOURS),
    "right_colour": len(COLOURS),
    "size": len(_SIZES),
    "column": 4,
    "row": 4,
    "faded": 2,
    "pattern": len(PATTERNS) + 1,
    "background": len(BACKGROUND_COLOURS),
    "artefact": len(_ARTEFACTS),
    "tone": len(_TONES),
}
"""What is asked of every visual token, and how many answers there are."""


@dataclass(frozen=True, slots=True)
class SeeingRecipe:
    """How long and how fast the vision tower learns to see."""

    steps: int = 700
    samples_per_step: int = 48
    learning_rate: float = 1e-3
    seed: int = 0


def cell_answers(scene: Scene) -> NDArray[np.int64]:
    """Answers to `QUESTIONS` for the 16 cells of a scene, shape (16, 12); -100 where a question has no answer."""
    answers = np.full((_SIDE * _SIDE, len(QUESTIONS)), _ABSENT)
    column = {name: index for index, name in enumerate(QUESTIONS)}
    background = scene.background
    answers[:, column["object"]] = 0
    if scene.half_background is None:
        answers[:, column["pattern"]] = (*PATTERNS, "photo").index(background.kind)
        if background.kind != "photo":
            answers[:, column["background"]] = list(BACKGROUND_COLOURS).index(background.colour)
    answers[:, column["artefact"]] = _ARTEFACTS.index(scene.artefact)
    if not scene.tone_half:
        answers[:, column["tone"]] = _TONES.index(scene.tone or scene.shift)
    for thing in scene.things:
        cell_x, cell_y = min(int(thing.x // _CELL), _SIDE - 1), min(int(thing.y // _CELL), _SIDE - 1)
        row = answers[cell_y * _SIDE + cell_x]
        row[column["object"]] = 1
        row[column["shape"]] = SHAPES.index(thing.shape)
        row[column["colour"]] = list(COLOURS).index(thing.colour)
        row[column["right_colour"]] = list(COLOURS).index(thing.right_colour or thing.colour)
        row[column["size"]] = _SIZES.index(shown_size(thing))
        row[column["column"]] = int(4 * (thing.x % _CELL) // _CELL)
        row[column["row"]] = int(4 * (thing.y % _CELL) // _CELL)
        row[column["faded"]] = int(thing.alpha < 1.0)
    return answers


def seeing_head(width: int) -> nn.Module:
    """The linear head that answers `QUESTIONS` from a visual token's features of `width` dimensions."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sum(QUESTIONS.values())))


def seeing_loss(head: nn.Module, features: torch.Tensor, answers: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
    """Summed cross-entropy over the questions, and the accuracy on each.

    Args:
        head: From `seeing_head`.
        features: Visual tokens, shape (cells, width).
        answers: From `cell_answers`, shape (cells, 12).
    """
    total = features.new_zeros(())
    accuracy: dict[str, float] = {}
    for index, (name, scores) in enumerate(zip(QUESTIONS, head(features).split(list(QUESTIONS.values()), -1), strict=True)):
        asked = answers[:, index] != _ABSENT
        if asked.any():
            total = total + nn.functional.cross_entropy(scores[asked], answers[asked, index])
            accuracy[name] = float((scores[asked].argmax(-1) == answers[asked, index]).float().mean())
    # Features of unit scale suit the language model, whose embeddings they stand among.
    return total + 0.01 * (features.square().mean() - 1.0).square(), accuracy


def visual_features(output: object) -> torch.Tensor:
    """The merged visual tokens in a vision tower's output, shape (cells, width)."""
    features = output if isinstance(output, torch.Tensor) else getattr(output, "pooler_output", None)
    if not isinstance(features, torch.Tensor):
        raise TypeError(f"no features in a {type(output).__name__}")
    return features


def whiten_patches(model: Qwen2_5_VLForConditionalGeneration, samples: int = 192) -> None:
    """Initialise the patch embedding with the whitened principal components of real patches.

    With random weights the mean colour of a patch drowns its edges and its noise: after 700 steps colours were at 99%
    but shapes at 38% and artefacts at chance. Whitening gives every pattern that occurs the same say.
    """
    scenes = [scene for index in range(samples) for scene in _scenes(make("train", 9_000_000 + index))]
    frames = patches([render(scene) for scene in scenes]).reshape(-1, 3, 2, PATCH, PATCH)[:, :, 0]
    flat = frames.reshape(len(frames), -1).astype(np.float64)
    variances, components = np.linalg.eigh(np.cov(flat, rowvar=False))
    weight = model.model.visual.patch_embed.proj.weight
    kept = slice(None, -weight.shape[0] - 1, -1)
    whitened = components[:, kept] / np.sqrt(variances[kept] + 1e-3 * variances[kept].mean())
    # Both frames of the temporal patch hold the same still image.
    basis = torch.from_numpy(whitened.T.reshape(-1, 3, 1, PATCH, PATCH) / 2)
    with torch.no_grad():
        weight.copy_(basis.expand_as(weight))


def _scenes(sample: Sample) -> tuple[Scene, Scene]:
    return sample.source, sample.edited.scene


def learn_to_see(
    model: Qwen2_5_VLForConditionalGeneration,
    recipe: SeeingRecipe,
    report: Callable[[int, float, dict[str, float]], None] = lambda step, loss, accuracy: None,
) -> dict[str, float]:
    """Train a judge's vision tower in place.

    Args:
        model: The judge.
        recipe: How.
        report: Called every 25 steps with the step, the loss and the accuracy on each question.

    Returns:
        The last accuracies, and the wall time in seconds as `seconds`.
    """
    began = time.time()
    torch.manual_seed(recipe.seed)
    whiten_patches(model)
    visual = model.model.visual.train()
    head = seeing_head(visual.config.out_hidden_size)
    parameters = [*visual.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.15, anneal_strategy="linear"
    )
    batches = DataLoader(_Cells(recipe), batch_size=None, num_workers=1, prefetch_factor=4)
    accuracy: dict[str, float] = {}
    for step, (pixels, grid, answers) in enumerate(batches, start=1):
        loss, accuracy = seeing_loss(head, visual_features(visual(pixels, grid_thw=grid)), answers)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if step % 25 == 0:
            report(step, float(loss.detach()), accuracy)
    return {**accuracy, "seconds": time.time() - began}


class _Cells(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]):
    """One item per step: patches, grids and answers of both images of some training samples."""

    def __init__(self, recipe: SeeingRecipe) -> None:
        self._recipe = recipe

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        count = self._recipe.samples_per_step
        # Far beyond the samples that later stages use.
        first = 10_000_000 + step * count
        samples = [make("train", first + index) for index in range(count)]
        scenes = [scene for sample in samples for scene in _scenes(sample)]
        pixels = torch.from_numpy(patches([render(scene) for scene in scenes]))
        grid = torch.tensor([[1, CANVAS // PATCH, CANVAS // PATCH]] * len(scenes))
        return pixels, grid, torch.from_numpy(np.concatenate([cell_answers(scene) for scene in scenes]))
