"""Principles as lines of text that people edit: `follow: Is the star blue?`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pydantic import ValidationError

from edit_rrm.principles import MAX_PRINCIPLES, Category, Principle

NAMES: Final = {
    Category.INSTRUCTION_FOLLOWING: "follow",
    Category.FEATURE_PRESERVATION: "keep",
    Category.IMAGE_QUALITY: "quality",
}
"""The paper's short names."""

_CATEGORIES: Final = {name: category for category, name in NAMES.items()} | {one.value: one for one in Category}


class PrincipleLineError(ValueError):
    """A line that is no principle; the message says which one and how it should read."""


def principle_lines(principles: Iterable[Principle]) -> str:
    """One line for each principle."""
    return "\n".join(f"{NAMES[one.category]}: {' '.join(one.question.split())}" for one in principles)


def read_principles(text: str) -> tuple[Principle, ...] | None:
    """The principles that lines of text say; None where there is no line, so that the judge finds its own.

    Raises:
        PrincipleLineError: A line is no principle, or there are more than the contract takes.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, question = line.partition(":")
        category = _CATEGORIES.get(name.strip().lower().replace(" ", "_"))
        if not colon or category is None:
            known = ", ".join(NAMES.values())
            message = f"line {number} of the principles begins with none of {known}, and a colon; write, for example:"
            raise PrincipleLineError(f"{message} keep: Is the background as it was?")
        try:
            found.append(Principle(question=question, category=category))
        except ValidationError as error:
            raise PrincipleLineError(f"line {number} of the principles: {error.errors()[0]['msg']}") from None
    if len(found) > MAX_PRINCIPLES:
        raise PrincipleLineError(f"there are {len(found)} principles; at most {MAX_PRINCIPLES} are judged at a time")
    return tuple(found) or None
