"""What is compared: ways to have groups of edits judged by one checkpoint, each ready to be asked."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from edit_rrm.card import JudgeCard
from edit_rrm.grammar import Failure, parse_judgement
from edit_rrm.prompts import ImagePart, PromptSet, RenderedPrompt, load_prompt_set
from edit_rrm.verdicts import Mode
from edit_rrm_client import Group


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of some groups."""

    scored: int
    """Edits that were."""
    seconds: float
    """From files to scores; of engines without a server, from decoded images and tokens on."""


Judging = Callable[[Sequence[Group]], Judged]
"""Has groups judged."""


class Contender(Protocol):
    """Starts a way of judging."""

    def __call__(self, setting: Setting) -> AbstractContextManager[Judging]:
        """A way that is ready, for as long as the context lasts."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all contenders have in common."""

    judge: Path
    """Checkpoint folder."""
    card: JudgeCard
    """The checkpoint's, read once: contenders ask it for every prompt."""
    mode: Mode
    in_flight: int
    """Groups that callers have under way at a time."""
    logs: Path
    """Folder for what servers say."""

    @property
    def prompts(self) -> PromptSet:
        """The judge's."""
        return load_prompt_set(self.card.prompts)


def requests(setting: Setting, group: Group) -> Iterator[tuple[int, RenderedPrompt, bytes]]:
    """A group's prompts in the judge's own order: the edit's number, the prompt, and the edit.

    In mode ``think`` there is one for every edit, in ``probe`` one for each of its principles.
    """
    assert group.principles is not None, "contenders are given the principles"
    for number, edit in enumerate(group.edited):
        assert isinstance(edit, bytes)
        if setting.mode is Mode.THINK:
            yield number, setting.prompts.think(group.instruction, group.principles), edit
        else:
            for index in range(len(group.principles)):
                yield number, setting.prompts.probe(group.instruction, group.principles, index), edit


def is_judgement(text: str, group: Group) -> bool:
    """Whether a judge's answer is a score of a group's edit."""
    assert group.principles is not None
    return not isinstance(parse_judgement(text, group.principles), Failure)


def parts(prompt: RenderedPrompt, source: Any, edited: Any) -> list[Any]:
    """A prompt's parts in order: texts, and the two images where they go."""
    return [
        (source if part.role == "source" else edited) if isinstance(part, ImagePart) else part.text
        for part in prompt.parts
    ]


def decoded(data: object) -> Image.Image:
    """An image of a group."""
    assert isinstance(data, bytes)
    return Image.open(io.BytesIO(data)).convert("RGB")
