"""What an editor is trained and evaluated on: instructions with their sources, from a file or the shapes world."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from PIL import Image

from edit_rrm_client.images import encode_image
from edit_rrm_training.editor.policies.base import Size
from edit_rrm_training.editor.policies.fitting import size_of
from edit_rrm_training.editor.progress import Counted, unheard
from edit_rrm_training.editor.sources import SourceError, look_through, open_source

SHAPES = "shapes:"
_SHOWN = 5
"""Problems that a message has; the others are counted."""


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


class Asked(NamedTuple):
    """What is known of a prompt without its picture."""

    place: str
    """Among the others, such as its line."""
    instruction: str
    size: Size
    """Of the source."""


class LoadedPrompts(Prompts, Protocol):
    """Prompts that can be checked before any of them is made."""

    @property
    def where(self) -> str:
        """A file, or `shapes:SPLIT`."""

    def asked(self) -> Iterator[Asked]:
        """What is asked for: all of it, or enough to know the rest by."""


def load_prompts(where: str, limit: int | None = None, told: Counted = unheard) -> LoadedPrompts:
    """Find prompts.

    Args:
        where: A JSON-lines file of ``{"instruction": ..., "source": PATH}`` (paths relative to the file), or
            ``shapes:SPLIT``.
        limit: Take no more than the first so many.
        told: Is told how many sources have been decoded, of how many.

    Raises:
        PromptsError: There are none, or sources are missing, cannot be decoded or cannot be sent to the judge. All of
            them are decoded, since one that cannot be would stop the run at the same step each time it is resumed.
    """
    if where.startswith(SHAPES):
        return ShapesPrompts(where.removeprefix(SHAPES), limit or _SHAPES_COUNT)
    return FilePrompts.read(Path(where), limit, told)


def check_prompts(prompts: Sequence[LoadedPrompts], check: Callable[[str, Size], None]) -> None:
    """Look whether a policy could draw edits of all prompts.

    Args:
        prompts: As they were loaded; some may be the same.
        check: Raises a ValueError for an instruction and a source of a size that it could not: a policy's own.

    Raises:
        PromptsError: It could not; names the first of them, and counts the others.
    """
    faults: dict[tuple[str, Size], str | None] = {}
    refused: dict[str, str] = {}
    for some in prompts:
        problems = []
        for place, instruction, size in some.asked():
            if (instruction, size) not in faults:
                faults[instruction, size] = _fault(check, instruction, size)
            fault = faults[instruction, size]
            if fault is not None:
                problems.append(f"{place}: {fault}")
        if problems:
            refused.setdefault(some.where, _told(some.where, problems))
    if refused:
        raise PromptsError("; ".join(refused.values()))


def _fault(check: Callable[[str, Size], None], instruction: str, size: Size) -> str | None:
    try:
        check(instruction, size)
    except ValueError as error:
        return str(error)
    return None


def _told(where: object, problems: Sequence[str]) -> str:
    more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return f"{where}: {'; '.join(problems[:_SHOWN])}{more}"


_SHAPES_COUNT = 1_000_000
_SHAPES_ASKED = 32
"""Tasks that are looked at for all: their pictures are of one size, and their instructions of a few words."""


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

    @property
    def where(self) -> str:
        """The split."""
        return f"{SHAPES}{self._split}"

    def asked(self) -> Iterator[Asked]:
        """The first tasks'."""
        for index in range(min(self._count, _SHAPES_ASKED)):
            prompt = self[index]
            yield Asked(f"[{index}]", prompt.instruction, size_of(prompt.source))

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
    sizes: Mapping[Path, Size]
    """Of every source."""

    @classmethod
    def read(cls, path: Path, limit: int | None = None, told: Counted = unheard) -> FilePrompts:
        """Read a file, and decode every source once; `told` is told how many of them are done.

        Raises:
            PromptsError: The file or a line of it cannot be used.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise PromptsError(f"the prompts {path} cannot be read: {error}") from None
        entries: list[tuple[int, str, Path]] = []
        names: dict[Path, str] = {}
        problems: dict[int, str] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or (limit is not None and len(entries) >= limit):
                continue
            try:
                instruction, name = _entry(line)
            except PromptsError as error:
                problems[number] = str(error)
            else:
                entries.append((number, instruction, path.parent / name))
                names.setdefault(path.parent / name, name)
        found = look_through(names, told)
        problems |= {
            number: str(found[source]) for number, _, source in entries if isinstance(found[source], SourceError)
        }
        if problems:
            raise PromptsError(_told(path, [f"line {number}: {problems[number]}" for number in sorted(problems)]))
        if not entries:
            raise PromptsError(f'{path} has no prompts; a line is {{"instruction": "...", "source": "picture.png"}}')
        sizes = {source: size for source, size in found.items() if not isinstance(size, SourceError)}
        return cls(path, tuple(entries), sizes)

    @property
    def where(self) -> str:
        """The file."""
        return str(self.path)

    def asked(self) -> Iterator[Asked]:
        """Every line's."""
        for number, instruction, source in self.entries:
            yield Asked(f"line {number}", instruction, self.sizes[source])

    def __len__(self) -> int:
        """How many."""
        return len(self.entries)

    def __getitem__(self, index: int) -> Prompt:
        """One of them."""
        number, instruction, source = self.entries[index]
        return Prompt(instruction, open_source(source), f"{self.path.name}:{number}")


def _entry(line: str) -> tuple[str, str]:
    try:
        fields = json.loads(line)
    except ValueError:
        raise PromptsError("is not JSON") from None
    if not isinstance(fields, dict) or not all(isinstance(fields.get(name), str) for name in ("instruction", "source")):
        raise PromptsError("needs an instruction and a source, both text")
    instruction = fields["instruction"].strip()
    if not instruction:
        raise PromptsError("the instruction is empty")
    return instruction, fields["source"]
