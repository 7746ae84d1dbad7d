"""What an editor is trained and evaluated on: instructions with their sources, from a file or the shapes world."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from PIL import Image, UnidentifiedImageError

from edit_rrm_client.images import encode_image

SHAPES = "shapes:"
_SHOWN = 3


class PromptsError(ValueError):
    """Prompts that cannot be used; the message says which lines, and what to change."""


@dataclass(frozen=True)
class Prompt:
    """One edit to ask for."""

    instruction: str
    source: Image.Image
    name: str
    """Where it is from, for people."""

    @cached_property
    def file(self) -> bytes:
        """The source as it is sent to the judge."""
        return encode_image(self.source)

    @cached_property
    def key(self) -> str:
        """Of its group: a digest of the source's content and the instruction.

        Never of the instruction alone: two sources with one instruction are two groups, whose rewards do not compare.
        """
        digest = hashlib.sha256(hashlib.sha256(self.file).digest())
        digest.update(self.instruction.encode())
        return digest.hexdigest()


class Prompts(Protocol):
    """A sequence of prompts, each made when it is asked for."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, index: int) -> Prompt:
        """One of them."""


def load_prompts(where: str, limit: int | None = None) -> Prompts:
    """Find prompts.

    Args:
        where: A JSON-lines file of ``{"instruction": ..., "source": PATH}`` (paths relative to the file), or
            ``shapes:SPLIT``.
        limit: Take no more than the first so many.

    Raises:
        PromptsError: There are none, or sources are missing; all of them are looked at before anything is trained.
    """
    if where.startswith(SHAPES):
        return ShapesPrompts(where.removeprefix(SHAPES), limit or _SHAPES_COUNT)
    return FilePrompts.read(Path(where), limit)


_SHAPES_COUNT = 1_000_000


class ShapesPrompts:
    """Tasks of the shapes world."""

    def __init__(self, split: str, count: int) -> None:
        """Those of a split, from its first on.

        Raises:
            PromptsError: There is no such split.
        """
        from edit_rrm_training.editor.nano.tasks import make_task

        self._split, self._count = split, count
        try:
            make_task(split, 0)
        except ValueError as error:
            raise PromptsError(str(error)) from None

    def __len__(self) -> int:
        """How many."""
        return self._count

    def __getitem__(self, index: int) -> Prompt:
        """One of them."""
        from edit_rrm_training.editor.nano.tasks import make_task
        from edit_rrm_training.shapes.render import render

        if not 0 <= index < self._count:
            raise IndexError(index)
        task = make_task(self._split, index)
        return Prompt(task.instruction, Image.fromarray(render(task.source)), f"{SHAPES}{self._split}[{index}]")


@dataclass(frozen=True)
class FilePrompts:
    """Prompts of a JSON-lines file."""

    path: Path
    entries: Sequence[tuple[int, str, Path]]
    """Line, instruction and source."""

    @classmethod
    def read(cls, path: Path, limit: int | None = None) -> FilePrompts:
        """Read a file, and look whether every source is there and a picture.

        Raises:
            PromptsError: The file or a line of it cannot be used.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise PromptsError(f"the prompts {path} cannot be read: {error}") from None
        entries: list[tuple[int, str, Path]] = []
        problems: list[str] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip() or (limit is not None and len(entries) >= limit):
                continue
            try:
                entries.append((number, *_entry(line, path.parent)))
            except PromptsError as error:
                problems.append(f"line {number}: {error}")
        if problems:
            more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
            raise PromptsError(f"{path}: {'; '.join(problems[:_SHOWN])}{more}")
        if not entries:
            raise PromptsError(f'{path} has no prompts; a line is {{"instruction": "...", "source": "picture.png"}}')
        return cls(path, tuple(entries))

    def __len__(self) -> int:
        """How many."""
        return len(self.entries)

    def __getitem__(self, index: int) -> Prompt:
        """One of them."""
        number, instruction, source = self.entries[index]
        with Image.open(source) as image:
            image.load()
            return Prompt(instruction, image.copy(), f"{self.path.name}:{number}")


def _entry(line: str, folder: Path) -> tuple[str, Path]:
    try:
        fields = json.loads(line)
    except ValueError:
        raise PromptsError("is not JSON") from None
    if not isinstance(fields, dict) or not all(isinstance(fields.get(name), str) for name in ("instruction", "source")):
        raise PromptsError("needs an instruction and a source, both text")
    instruction = fields["instruction"].strip()
    if not instruction:
        raise PromptsError("the instruction is empty")
    source = folder / fields["source"]
    try:
        with Image.open(source) as image:
            image.verify()
    except FileNotFoundError:
        raise PromptsError(f"there is no {fields['source']}") from None
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise PromptsError(f"{fields['source']} is no picture ({error})") from None
    return instruction, source
