r"""Φ: what the judge wrote -> verdicts and score, or a typed failure (paper, method section and appendix A.2).

Two forms of a judgement are read:

*Compact* (ours)::

    1. was red circle, is blue circle: yes
    2. the star moved to the left: no
    verdicts: 1 0
    <score>6.5</score>

*Long* (the method's): free text, a JSON list ``[{"question": ..., "score": 0 or 1}, ...]``, ``{"average_score": x}``
and ``<score>x</score>``; the closing tag may be printed ``<\score>``, as the paper's own prompt does.

Nothing is guessed: a missing piece, a second and different score, or a verdict list of another length is a `Failure`.
No text makes these functions raise, and their time is linear in its length.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import ValidationError

from edit_rrm.principles import MAX_PRINCIPLES, MAX_QUESTION_CHARS, Category, Principle
from edit_rrm.verdicts import SCORE_MAX, Outcome

MAX_TEXT_CHARS = 200_000
"""Longer outputs are refused unread; 8k tokens of reasoning are about 40k characters."""

_MAX_JSON_CANDIDATES = 8
# Every quantifier below is bounded or followed by a character it cannot match, so no input makes them backtrack far.
_SCORE_TAG = re.compile(r"<score>[ \t\n]{0,8}([^<\n]{1,32})[ \t\n]{0,8}<[/\\]score>", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d{1,4}(?:\.\d{1,12})?\Z", re.ASCII)
_VERDICT_LINE = re.compile(r"^[ \t]{0,8}verdicts[ \t]{0,8}:[ \t]{0,8}([^\n]*)$", re.IGNORECASE | re.MULTILINE)
_JSON_LIST = re.compile(r"\[\s*\{")
_NUMBERED_LINE = re.compile(r"^[ \t]{0,8}(\d{1,3})[.)][ \t]{1,8}([^\n]*)$", re.MULTILINE | re.ASCII)
_TRAILING_ANSWER = re.compile(r"[ \t]*[:;,.-]?[ \t]*\b(?:yes|no)\b[.]?\Z", re.IGNORECASE)
_CATEGORY_LINE = re.compile(
    r"^[ \t]{0,8}(?:\d{1,3}[.)][ \t]{1,8})?(follow|keep|quality)[ \t]{0,8}:[ \t]{0,8}([^\n]*)$",
    re.IGNORECASE | re.MULTILINE | re.ASCII,
)

COMPACT_CATEGORIES: dict[str, Category] = {
    "follow": Category.INSTRUCTION_FOLLOWING,
    "keep": Category.FEATURE_PRESERVATION,
    "quality": Category.IMAGE_QUALITY,
}
"""The compact form's words for the categories (the paper's Follow / Keep / Quality)."""

_CATEGORY_NAMES: dict[str, Category] = {
    **COMPACT_CATEGORIES,
    "instruction following": Category.INSTRUCTION_FOLLOWING,
    "feature preservation": Category.FEATURE_PRESERVATION,
    "image quality": Category.IMAGE_QUALITY,
}


class FailureKind(StrEnum):
    """Why a text is not a judgement (or not a list of principles)."""

    TRUNCATED = "truncated"
    TOO_LONG = "too_long"
    MISSING_VERDICTS = "missing_verdicts"
    BAD_VERDICT = "bad_verdict"
    WRONG_VERDICT_COUNT = "wrong_verdict_count"
    CONFLICTING_VERDICTS = "conflicting_verdicts"
    MISSING_SCORE = "missing_score"
    BAD_SCORE = "bad_score"
    SCORE_OUT_OF_RANGE = "score_out_of_range"
    CONFLICTING_SCORES = "conflicting_scores"
    MISSING_PRINCIPLES = "missing_principles"
    BAD_PRINCIPLE = "bad_principle"
    DUPLICATE_PRINCIPLE = "duplicate_principle"
    TOO_MANY_PRINCIPLES = "too_many_principles"


@dataclass(frozen=True, slots=True)
class Failure:
    """A text that could not be read, and why."""

    kind: FailureKind
    message: str

    @property
    def outcome(self) -> Outcome:
        """`truncated` for a cut-off text, `unparsable` for everything else."""
        return Outcome.TRUNCATED if self.kind is FailureKind.TRUNCATED else Outcome.UNPARSABLE


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judgement as the judge wrote it."""

    passed: tuple[bool, ...]
    """One verdict per principle, in the principles' order."""
    score: float
    """The judge's own score, in [0, 10]."""
    reasoning: str
    """Everything before the verdict list, stripped."""
    rationales: tuple[str | None, ...]
    """What the numbered lines of the reasoning say, one per principle; all None where they don't match one to one."""


def parse_judgement(text: str, principles: Sequence[Principle], *, truncated: bool = False) -> Judgement | Failure:
    """Read a judgement in the compact or the long form.

    Args:
        text: What the judge wrote, and only that: never the prompt.
        principles: The principles it was asked about, in order; at least one.
        truncated: Whether the engine stopped at its token limit. A cut-off text is never read, complete as it may look:
            what was to follow could have changed it.

    Returns:
        The judgement, or the reason why there is none. Never raises on any text.
    """
    if truncated:
        return Failure(FailureKind.TRUNCATED, "the judge hit its token limit before it finished")
    if len(text) > MAX_TEXT_CHARS:
        return Failure(FailureKind.TOO_LONG, f"the judge wrote more than {MAX_TEXT_CHARS:,} characters")
    found = _find_verdicts(text, principles)
    if isinstance(found, Failure):
        return found
    passed, start, end = found
    score = _find_score(text, end)
    if isinstance(score, Failure):
        return score
    reasoning = text[:start].strip()
    return Judgement(passed, score, reasoning, _rationales(reasoning, len(principles)))


def parse_principles(
    text: str, *, truncated: bool = False, limit: int = MAX_PRINCIPLES
) -> tuple[Principle, ...] | Failure:
    """Read a decomposition: a JSON array of {question, category}, or lines ``follow|keep|quality: question``.

    Returns:
        1 to `limit` distinct principles in the order written, or why there are none. Never raises on any text.
    """
    if truncated:
        return Failure(FailureKind.TRUNCATED, "the judge hit its token limit before it finished the principles")
    if len(text) > MAX_TEXT_CHARS:
        return Failure(FailureKind.TOO_LONG, f"the judge wrote more than {MAX_TEXT_CHARS:,} characters")
    listed = _last_json_list(text)
    rows: list[tuple[object, object]]
    if listed is not None:
        rows = [
            (item.get("category"), item.get("question")) if isinstance(item, dict) else (None, item)
            for item in listed[0]
        ]
    else:
        rows = [(match[1], match[2]) for match in _CATEGORY_LINE.finditer(text)]
    if not rows:
        return Failure(FailureKind.MISSING_PRINCIPLES, "the judge wrote no principles")
    if len(rows) > limit:
        message = f"the judge wrote {len(rows)} principles; at most {limit} are allowed"
        return Failure(FailureKind.TOO_MANY_PRINCIPLES, message)
    principles: list[Principle] = []
    for index, (category, question) in enumerate(rows):
        principle = _principle(category, question)
        if principle is None:
            return Failure(
                FailureKind.BAD_PRINCIPLE,
                f"principle {index + 1} needs one of the three categories and a question of 1 to {MAX_QUESTION_CHARS} "
                "characters",
            )
        principles.append(principle)
    if len({_normalised(principle.question) for principle in principles}) != len(principles):
        return Failure(FailureKind.DUPLICATE_PRINCIPLE, "the judge wrote the same principle twice")
    return tuple(principles)


def format_judgement(rationales: Sequence[str], passed: Sequence[bool], score: float) -> str:
    """Write a judgement in the compact form, the inverse of `parse_judgement` (training targets)."""
    lines = [
        f"{index}. {rationale}: {'yes' if verdict else 'no'}"
        for index, (rationale, verdict) in enumerate(zip(rationales, passed, strict=True), start=1)
    ]
    verdicts = " ".join(str(int(verdict)) for verdict in passed)
    return "\n".join([*lines, f"verdicts: {verdicts}", f"<score>{format_score(score)}</score>"])


def format_principles(principles: Sequence[Principle]) -> str:
    """Write principles in the compact form, the inverse of `parse_principles`."""
    words = {category: word for word, category in COMPACT_CATEGORIES.items()}
    return "\n".join(f"{words[principle.category]}: {principle.question}" for principle in principles)


def format_score(score: float) -> str:
    """Write a score with one decimal, as the compact form does."""
    return f"{score:.1f}"


def _find_verdicts(text: str, principles: Sequence[Principle]) -> tuple[tuple[bool, ...], int, int] | Failure:
    """Return the verdicts and the span of the text they stand in."""
    lines = _VERDICT_LINE.finditer(text)
    listed = _last_json_list(text)
    found: list[tuple[tuple[bool, ...], int, int]] = []
    for line in lines:
        digits = line[1].replace(",", " ").split()
        if not digits or any(digit not in ("0", "1") for digit in digits):
            return Failure(FailureKind.BAD_VERDICT, "the verdict list holds something other than 0 and 1")
        found.append((tuple(digit == "1" for digit in digits), line.start(), line.end()))
    if listed is not None:
        verdicts = _json_verdicts(listed[0], principles)
        if isinstance(verdicts, Failure):
            return verdicts
        found.append((verdicts, listed[1], listed[2]))
    if not found:
        return Failure(FailureKind.MISSING_VERDICTS, "the judge wrote no verdict list")
    if len({verdicts for verdicts, _, _ in found}) > 1:
        return Failure(FailureKind.CONFLICTING_VERDICTS, "the judge wrote verdict lists that disagree")
    passed = found[0][0]
    if len(passed) != len(principles):
        return Failure(
            FailureKind.WRONG_VERDICT_COUNT, f"the judge wrote {len(passed)} verdicts for {len(principles)} principles"
        )
    return passed, min(start for _, start, _ in found), max(end for _, _, end in found)


def _json_verdicts(items: list[object], principles: Sequence[Principle]) -> tuple[bool, ...] | Failure:
    verdicts: list[bool] = []
    questions: list[str] = []
    for item in items:
        score = item.get("score") if isinstance(item, dict) else None
        # bool is an int in Python: `true` is not one of the two verdicts the prompt asks for.
        if not isinstance(item, dict) or isinstance(score, bool) or score not in (0, 1):
            return Failure(FailureKind.BAD_VERDICT, "every entry of the verdict list needs a score of 0 or 1")
        verdicts.append(score == 1)
        questions.append(_normalised(str(item.get("question", ""))))
    asked = [_normalised(principle.question) for principle in principles]
    # The method's prompt does not demand the principles' order, so the questions decide where they identify themselves.
    if questions != asked and len(set(asked)) == len(asked) and sorted(questions) == sorted(asked):
        by_question = dict(zip(questions, verdicts, strict=True))
        return tuple(by_question[question] for question in asked)
    return tuple(verdicts)


def _last_json_list(text: str) -> tuple[list[object], int, int] | None:
    """Return the last JSON list of objects in a text, with its span. Tries a bounded number of places."""
    starts = deque((match.start() for match in _JSON_LIST.finditer(text)), maxlen=_MAX_JSON_CANDIDATES)
    decoder = json.JSONDecoder()
    for start in reversed(starts):
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, list):
            return value, start, end
    return None


def _find_score(text: str, start: int) -> float | Failure:
    """Read the score written after the verdicts; several tags must agree."""
    written = {match[1].strip() for match in _SCORE_TAG.finditer(text, start)}
    if not written:
        return Failure(FailureKind.MISSING_SCORE, "the judge wrote no <score> after its verdicts")
    if any(_NUMBER.match(number) is None for number in written):
        return Failure(FailureKind.BAD_SCORE, "the score is not a plain decimal number")
    scores = {float(number) for number in written}
    if len(scores) > 1:
        return Failure(FailureKind.CONFLICTING_SCORES, "the judge wrote two different scores")
    score = scores.pop()
    if not 0.0 <= score <= SCORE_MAX:
        return Failure(FailureKind.SCORE_OUT_OF_RANGE, f"the score {score:g} is outside 0 to {SCORE_MAX:g}")
    return abs(score)


def _rationales(reasoning: str, count: int) -> tuple[str | None, ...]:
    lines = [(int(match[1]), match[2].strip()) for match in _NUMBERED_LINE.finditer(reasoning)]
    if [number for number, _ in lines] != list(range(1, count + 1)):
        return (None,) * count
    return tuple(_TRAILING_ANSWER.sub("", line[-2_000:]).strip() or None for _, line in lines)


def _principle(category: object, question: object) -> Principle | None:
    if not isinstance(category, str) or not isinstance(question, str):
        return None
    named = _CATEGORY_NAMES.get(category.strip().lower().replace("_", " "))
    if named is None:
        return None
    try:
        return Principle(question=question, category=named)
    except ValidationError:
        return None


def _normalised(question: str) -> str:
    return " ".join(question.lower().split())
