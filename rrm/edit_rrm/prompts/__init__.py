"""Prompt sets: template files, the pure rendering of them, and their fingerprint.

A set is a folder of four UTF-8 files: `system.txt` (one for all tasks), and the user turns `decompose.txt`, `think.txt`
and `probe.txt`. Templates name their slots in double braces: ``{{instruction}}``, ``{{principles}}``, ``{{source}}``,
``{{edited}}``, ``{{number}}``, ``{{question}}``. Image slots become image parts; the order in the file is the order the
engine sees.

Order is performance: everything before ``{{edited}}`` is shared by a group of edits, everything before the question by
all principles of one edit, and engines reuse shared prefixes. `load_prompt_set` therefore refuses a set that puts a
question before the images.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from edit_rrm.principles import Principle

ImageRole = Literal["source", "edited"]

_TASKS = ("decompose", "think", "probe")
_SLOT = re.compile(r"\{\{([a-z]+)\}\}")
_IMAGES: Mapping[str, ImageRole] = {"source": "source", "edited": "edited"}
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "decompose": ("instruction", "source"),
    "think": ("instruction", "principles", "source", "edited"),
    "probe": ("instruction", "source", "edited", "question"),
}
_ALLOWED: Mapping[str, frozenset[str]] = {
    "decompose": frozenset({"instruction", "source"}),
    "think": frozenset({"instruction", "principles", "source", "edited"}),
    "probe": frozenset({"instruction", "principles", "source", "edited", "number", "question"}),
}
# Angle brackets carry every structure a user's words could fake: chat-template tokens (<|im_end|>), image placeholders
# (<image>) and the judge's own <score> tag. Single guillemets read the same to a judge and mean nothing to a tokenizer.
_NEUTRAL = str.maketrans({"<": "\u2039", ">": "\u203a"})


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text of the user turn."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """Where an image goes in the user turn."""

    role: ImageRole


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """One prompt without its pixels: a system turn, and the parts of one user turn in order."""

    system: str
    parts: tuple[TextPart | ImagePart, ...]


@dataclass(frozen=True, slots=True)
class PromptSet:
    """A named set of templates."""

    name: str
    system: str
    templates: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the set's files: changes when any prompt does, and only then."""
        digest = hashlib.sha256()
        for name, text in sorted({"system": self.system, **self.templates}.items()):
            for piece in (name, text):
                data = piece.encode()
                digest.update(len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()

    def decompose(self, instruction: str) -> RenderedPrompt:
        """Ask for the principles of an instruction, given the source image."""
        return self._render("decompose", {"instruction": neutralise(instruction)})

    def think(self, instruction: str, principles: Sequence[Principle]) -> RenderedPrompt:
        """Ask for reasoning, verdicts and a score over all principles."""
        return self._render("think", {"instruction": neutralise(instruction), "principles": numbered(principles)})

    def probe(self, instruction: str, principles: Sequence[Principle], index: int) -> RenderedPrompt:
        """Ask for a yes or no on ``principles[index]`` as the very next token."""
        slots = {
            "instruction": neutralise(instruction),
            "principles": numbered(principles),
            "number": str(index + 1),
            "question": neutralise(principles[index].question),
        }
        return self._render("probe", slots)

    def _render(self, task: str, slots: Mapping[str, str]) -> RenderedPrompt:
        parts: list[TextPart | ImagePart] = []
        text = ""
        for position, piece in enumerate(_SLOT.split(self.templates[task])):
            if position % 2 == 0:
                text += piece
            elif piece in _IMAGES:
                if text:
                    parts.append(TextPart(text))
                parts.append(ImagePart(_IMAGES[piece]))
                text = ""
            else:
                text += slots[piece]
        if text:
            parts.append(TextPart(text))
        return RenderedPrompt(self.system, tuple(parts))


def neutralise(text: str) -> str:
    """Make a user's words safe inside a prompt: one line, and no character that could open a tag or a special token.

    Whitespace and control characters become single spaces; ``<`` and ``>`` become single guillemets.
    """
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.translate(_NEUTRAL).split())


def numbered(principles: Sequence[Principle]) -> str:
    """List principles one a line, numbered from 1."""
    return "\n".join(f"{index}. {neutralise(item.question)}" for index, item in enumerate(principles, start=1))


def parse_prompt_set(name: str, texts: Mapping[str, str]) -> PromptSet:
    """Check the four texts of a prompt set and build it.

    Args:
        name: What the set is called.
        texts: `system`, `decompose`, `think` and `probe`.

    Raises:
        ValueError: A text or a slot is missing or unknown, or the order would defeat prefix reuse.
    """
    missing = [key for key in ("system", *_TASKS) if key not in texts]
    if missing:
        raise ValueError(f"prompt set {name!r} lacks {', '.join(f'{key}.txt' for key in missing)}")
    templates = {task: texts[task].strip("\n") for task in _TASKS}
    for task, template in templates.items():
        slots = _SLOT.findall(template)
        unknown = sorted(set(slots) - _ALLOWED[task])
        absent = [slot for slot in _REQUIRED[task] if slots.count(slot) != 1]
        if unknown or absent:
            raise ValueError(
                f"prompt set {name!r}, {task}.txt: unknown slots {unknown}, slots needed exactly once {absent}; "
                "slots are written {{instruction}}"
            )
        images = [slot for slot in slots if slot in _IMAGES]
        questions = [slot for slot in slots if slot in ("number", "question")]
        if images != sorted(images, key=("source", "edited").index):
            raise ValueError(f"prompt set {name!r}, {task}.txt: put {{{{source}}}} before {{{{edited}}}}")
        if questions and slots.index(questions[0]) < slots.index("edited"):
            raise ValueError(
                f"prompt set {name!r}, {task}.txt: put the question after the images, so that prefixes are shared"
            )
    return PromptSet(name, texts["system"].strip("\n"), templates)


def prompt_set_names() -> tuple[str, ...]:
    """Names of the sets that ship with the package."""
    return tuple(sorted(item.name for item in files(__name__).iterdir() if item.joinpath("system.txt").is_file()))


@cache
def load_prompt_set(name: str) -> PromptSet:
    """Load a shipped prompt set by name.

    Raises:
        ValueError: There is no such set; the message lists those there are.
    """
    if name not in prompt_set_names():
        raise ValueError(f"no prompt set {name!r}; there are: {', '.join(prompt_set_names())}")
    folder = files(__name__).joinpath(name)
    return parse_prompt_set(
        name, {key: folder.joinpath(f"{key}.txt").read_text(encoding="utf-8") for key in ("system", *_TASKS)}
    )
