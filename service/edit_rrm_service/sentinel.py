"""Sentinels: known edits in a known order, by which a judge that has gone wrong is told from one that is merely busy.

A judge that scores a black image like a good edit is broken, however healthy its process looks: wrong weights, a chat
template that drops images, a dtype that overflows. The set is a folder with a `sentinels.toml`: one `[good]` edit, and
several `[worse.NAME]` ones that have to score below it, each with the good one's instruction and source unless it has
its own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edit_rrm.card import ImageBudget
from edit_rrm.principles import Instruction
from edit_rrm.verdicts import Outcome, Reward
from edit_rrm_service.engines.base import EngineImage
from edit_rrm_service.images import ImageError, ImageLimits, decode_image, fit_image

SHIPPED_SENTINELS = Path(__file__).parent / "sentinels"
"""Of the shapes world; simple enough for any vision-language model."""

Verdict = Literal["ok", "broken", "inconclusive"]

_ABSENT = frozenset({Outcome.TIMED_OUT, Outcome.OVERLOADED, Outcome.CANCELLED, Outcome.ENGINE_ERROR})
"""Outcomes that say something about the moment and nothing about the judge."""


class SentinelError(ValueError):
    """A set that cannot be used; the message says what to change."""


class _Edit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    instruction: Instruction | None = None
    source: str | None = None
    edited: str
    """A file beside the table, or `black` for an image of the source's size without anything on it."""


class _Good(_Edit):
    instruction: Instruction
    source: str


class _Set(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    good: _Good
    worse: Annotated[dict[str, _Edit], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Sentinel:
    """One known edit, as the judge sees it."""

    name: str
    """`good`, or of one that is worse."""
    instruction: str
    source: EngineImage
    edited: EngineImage


@dataclass(frozen=True, slots=True)
class Finding:
    """What a round of sentinels says."""

    verdict: Verdict
    reason: str | None = None
    """Which edit broke the order, or why nothing can be said."""


def load_sentinels(folder: Path, budget: ImageBudget) -> tuple[Sentinel, ...]:
    """Read a set; the good edit comes first. Blocking.

    Raises:
        SentinelError: The folder has none, or one that cannot be used.
    """
    path = folder / "sentinels.toml"
    try:
        found = _Set.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SentinelError(f"the sentinels {path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SentinelError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        first: Mapping[str, Any] = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(piece) for piece in first["loc"])
        raise SentinelError(f"{path}: {where}: {first['msg']}") from None

    def image(name: str) -> EngineImage:
        try:
            return fit_image(decode_image((folder / name).read_bytes(), ImageLimits()), budget)
        except OSError as error:
            raise SentinelError(f"{path}: {name}: {error.strerror or error}") from None
        except ImageError as error:
            raise SentinelError(f"{path}: {name}: {error}") from None

    def sentinel(name: str, edit: _Edit) -> Sentinel:
        source = image(edit.source or found.good.source)
        black = edit.edited == "black"
        edited = fit_image(Image.new("RGB", source.pixels.size), budget) if black else image(edit.edited)
        return Sentinel(name, edit.instruction or found.good.instruction, source, edited)

    return (sentinel("good", found.good), *(sentinel(name, edit) for name, edit in found.worse.items()))


def examine(names: Sequence[str], rewards: Sequence[Reward]) -> Finding:
    """Say what the rewards of a set, the good edit's first, tell about their judge.

    A worse edit that the judge would not score breaks nothing; a good one that it would not score does.
    """
    good, *worse = rewards
    outcomes = zip(names, (reward.outcome for reward in rewards), strict=True)
    absent = [f"{name}: {outcome.value}" for name, outcome in outcomes if outcome in _ABSENT]
    if absent:
        return Finding("inconclusive", f"sentinels could not be judged ({', '.join(absent)})")
    if good.score is None:
        return Finding("broken", f"the good edit was not scored ({good.outcome.value})")
    wrong = [
        f"{name!r} scores {reward.score:g} and the good edit {good.score:g}"
        for name, reward in zip(names[1:], worse, strict=True)
        if reward.score is not None and reward.score >= good.score
    ]
    return Finding("broken", "; ".join(wrong)) if wrong else Finding("ok")
