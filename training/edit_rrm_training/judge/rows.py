"""Rows: samples of the shapes world as training sequences of the judge.

All questions about one edit share its prefix (instruction, principles, source, edited image), so one row carries them
as a tree: the prefix once, then one branch per question and answer. A 4-D attention mask keeps branches from seeing
each other and position ids restart at the prefix's end, so every branch is, token for token and position for position,
the chat that the service sends; the images and the prefix are just computed once instead of eight times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edit_rrm.grammar import format_judgement, format_principles
from edit_rrm.prompts import ImagePart, PromptSet, RenderedPrompt, TextPart, load_prompt_set
from edit_rrm_training.judge.architecture import IMAGE_TOKENS, PATCH, SIDE
from edit_rrm_training.judge.cells import (
    COMPARING,
    RECALLING,
    UNASKED,
    comparing_answers,
    recalling_answers,
    seeing_answers,
)
from edit_rrm_training.judge.patches import patches
from edit_rrm_training.shapes import Sample, render
from edit_rrm_training.shapes.describe import describe
from edit_rrm_training.shapes.scene import Scene
from edit_rrm_training.shapes.vocabulary import CANVAS

if TYPE_CHECKING:
    import torch

Ints = NDArray[np.int64]

_GRID = CANVAS // PATCH
_IGNORE = -100
_UNCOMPARED = np.full((IMAGE_TOKENS, len(RECALLING) + len(COMPARING)), UNASKED)

DESCRIBE = "\nDescribe both images."
"""Cue of the description branch, an auxiliary task of training alone."""


@dataclass(frozen=True, slots=True)
class Row:
    """One training sequence of T tokens."""

    ids: Ints
    """Token ids, shape (T,)."""
    labels: Ints
    """The token each position has to predict, shape (T,); -100 where nothing is asked."""
    weights: NDArray[np.float32]
    """Weight of each position's loss, shape (T,)."""
    positions: Ints
    """M-RoPE positions, shape (3, T)."""
    branches: Ints
    """0 for the prefix, k for branch k, shape (T,); a token sees the prefix and its own branch."""
    scenes: tuple[Scene, ...]
    """What the images show, in the order of their tokens."""
    compared: Ints
    """Answers to `cells.RECALLING` and `COMPARING` for the images' tokens, shape (visual tokens, questions)."""


@dataclass(frozen=True, slots=True)
class _Chat:
    """One question and its answer, in tokens: `prefix` up to the last image, `cue` up to the answer."""

    prefix: list[int]
    cue: list[int]
    answer: list[int]
    weight: float


class RowBuilder:
    """Turns samples into rows, in the words of one prompt set and the tokens of one tokenizer."""

    def __init__(self, tokenizer: Path, prompts: PromptSet | None = None, *, probe_weight: float = 1.0) -> None:
        """Read the tokenizer of a judge's folder."""
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
        self._prompts = prompts or load_prompt_set("nano")
        self._probe_weight = probe_weight
        self._encode = lru_cache(maxsize=200_000)(self._encode_uncached)
        self._image = self._encode("<|image_pad|>")[0]

    def judgement(self, sample: Sample, probes: Sequence[int], length: int) -> Row:
        """A row that verifies an edit: one `think` branch, then a `probe` branch per principle index while they fit.

        Args:
            sample: What to judge.
            probes: Principle indices in order of preference.
            length: Tokens the row may have; rows of one length waste nothing and compile once.

        Raises:
            ValueError: Not even the `think` branch fits.
        """
        findings = sample.truth.findings
        principles = [finding.principle for finding in findings]
        passed = [finding.passed for finding in findings]
        answer = format_judgement([finding.reason for finding in findings], passed, sample.truth.score)
        chat = self._chat(self._prompts.think(sample.instruction, principles), answer, 1.0)
        return self._with_probes(sample, chat, probes, length)

    def description(self, sample: Sample, probes: Sequence[int], length: int) -> Row:
        """A row that says in words what both images show, then probes while they fit; otherwise as `judgement`."""
        findings = sample.truth.findings
        principles = [finding.principle for finding in findings]
        asked = self._prompts.think(sample.instruction, principles)
        prompt = RenderedPrompt(asked.system, (*asked.parts[:-1], TextPart(DESCRIBE)))
        chat = self._chat(prompt, f"{describe(sample.source)}\n{describe(sample.edited.scene)}", 1.0)
        return self._with_probes(sample, chat, probes, length)

    def decomposition(self, sample: Sample) -> Row:
        """A row that breaks an instruction into principles."""
        answer = format_principles([finding.principle for finding in sample.truth.findings])
        return self._row(
            [self._chat(self._prompts.decompose(sample.instruction), answer, 1.0)], (sample.source,), _UNCOMPARED
        )

    def _with_probes(self, sample: Sample, first: _Chat, probes: Sequence[int], length: int) -> Row:
        principles = [finding.principle for finding in sample.truth.findings]
        chats = [first]
        room = length - len(first.prefix) - len(first.cue) - len(first.answer)
        if room < 0:
            raise ValueError(f"sample {sample.split}/{sample.index} needs {length - room} tokens; {length} are allowed")
        for index in probes:
            prompt = self._prompts.probe(sample.instruction, principles, index)
            answer = "yes" if sample.truth.findings[index].passed else "no"
            chat = self._chat(prompt, answer, self._probe_weight)
            room -= len(chat.cue) + len(chat.answer)
            if room < 0:
                break
            chats.append(chat)
        compared = np.concatenate([recalling_answers(sample), comparing_answers(sample)], axis=1)
        return self._row(chats, (sample.source, sample.edited.scene), compared)

    def _chat(self, prompt: RenderedPrompt, answer: str, weight: float) -> _Chat:
        prefix, cue = self._split(prompt)
        return _Chat(prefix, cue, [*self._encode(answer), *self._encode("<|im_end|>")], weight)

    def _row(self, chats: Sequence[_Chat], scenes: tuple[Scene, ...], compared: Ints) -> Row:
        prefix = chats[0].prefix
        ids = list(prefix)
        positions = _positions(prefix, self._image, 0)
        columns = [positions]
        labels = [_IGNORE] * len(prefix)
        weights = [0.0] * len(prefix)
        branches = [0] * len(prefix)
        start = int(positions.max()) + 1
        for number, chat in enumerate(chats, start=1):
            assert chat.prefix == prefix, "all questions of a row must share the prompt up to its last image"
            branch = [*chat.cue, *chat.answer]
            ids += branch
            # The token before an answer predicts its first token.
            silent = len(chat.cue) - 1
            labels += [_IGNORE] * silent + chat.answer + [_IGNORE]
            weights += [0.0] * silent + [chat.weight] * len(chat.answer) + [0.0]
            columns.append(np.broadcast_to(np.arange(start, start + len(branch)), (3, len(branch))))
            branches += [number] * len(branch)
        return Row(
            np.array(ids),
            np.array(labels),
            np.array(weights, dtype=np.float32),
            np.concatenate(columns, axis=1),
            np.array(branches),
            scenes,
            compared,
        )

    def _split(self, prompt: RenderedPrompt) -> tuple[list[int], list[int]]:
        """Token ids up to and including the last image, and those after it up to the answer."""
        pieces = [f"<|im_start|>system\n{prompt.system}<|im_end|>\n<|im_start|>user\n"]
        for part in prompt.parts:
            if isinstance(part, ImagePart):
                pieces += ["<|vision_start|>" + "<|image_pad|>" * IMAGE_TOKENS + "<|vision_end|>", ""]
            else:
                assert isinstance(part, TextPart)
                pieces[-1] += part.text
        pieces[-1] += "<|im_end|>\n<|im_start|>assistant\n"
        # Lines are encoded one by one so that the cache hits: the pre-tokenizer joins no newline to what follows it.
        prefix = [
            token for piece in pieces[:-1] for line in piece.splitlines(keepends=True) for token in self._encode(line)
        ]
        return prefix, list(self._encode(pieces[-1]))

    def _encode_uncached(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _positions(ids: Sequence[int], image: int, start: int) -> Ints:
    """M-RoPE positions of a prefix, shape (3, T): text counts up, an image spans height and width."""
    columns: list[Ints] = []
    index, position = 0, start
    while index < len(ids):
        if ids[index] == image:
            rows, cols = np.divmod(np.arange(IMAGE_TOKENS), SIDE)
            columns.append(position + np.stack([np.zeros_like(rows), rows, cols]))
            index, position = index + IMAGE_TOKENS, position + SIDE
        else:
            columns.append(np.full((3, 1), position))
            index, position = index + 1, position + 1
    return np.concatenate(columns, axis=1)


def collate(rows: Sequence[Row], pad: int, length: int) -> dict[str, torch.Tensor]:
    """Pad rows to one length and build the tree masks.

    Returns:
        The model's inputs for B rows of T = `length` tokens: `input_ids` and `labels` (B, T),
        `weights` (B, T), `position_ids` (3, B, T), `attention_mask` (B, 1, T, T; True where a token is seen),
        `pixel_values`, `image_grid_thw`, and what `cells` asks of the visual tokens, in their order, as `seen` and
        `compared`. `labels` are already shifted: position t holds what t has to predict.
    """
    import torch

    count = len(rows)
    ids = np.full((count, length), pad)
    labels = np.full((count, length), _IGNORE)
    weights = np.zeros((count, length), dtype=np.float32)
    positions = np.zeros((3, count, length), dtype=np.int64)
    branches = np.full((count, length), -1)
    for index, row in enumerate(rows):
        size = len(row.ids)
        ids[index, :size] = row.ids
        labels[index, :size] = row.labels
        weights[index, :size] = row.weights
        positions[:, index, :size] = row.positions
        branches[index, :size] = row.branches
    same = branches[:, :, None] == branches[:, None, :]
    visible = (same | (branches == 0)[:, None, :]) & np.tri(length, dtype=bool)
    scenes = [scene for row in rows for scene in row.scenes]
    tensors: dict[str, Any] = {
        "input_ids": ids,
        "labels": labels,
        "weights": weights,
        "position_ids": positions,
        "attention_mask": visible[:, None],
        "pixel_values": patches([render(scene) for scene in scenes]),
        "seen": np.concatenate([seeing_answers(scene) for scene in scenes]),
        "compared": np.concatenate([row.compared for row in rows]),
        "image_grid_thw": np.array([[1, _GRID, _GRID]] * len(scenes)),
    }
    return {name: torch.from_numpy(value) for name, value in tensors.items()}
