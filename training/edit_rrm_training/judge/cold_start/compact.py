"""Judgements restated in the judge's compact form, which is what SFT teaches. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from edit_rrm.grammar import (
    Judgement,
    format_judgement,
    format_principles,
    format_score,
    parse_judgement,
)
from edit_rrm.principles import Principle
from edit_rrm.prompts import PromptSet


def compact(judgement: Judgement, principles: Sequence[Principle]) -> str | None:
    """A judgement in the compact form: numbered lines where it has them, its reasoning as it stands where not.

    The score is rounded to one decimal, as the form has it.

    Returns:
        The text, or None where Φ would not read the same verdicts and score from it.
    """
    rationales = [rationale for rationale in judgement.rationales if rationale is not None]
    if len(rationales) == len(principles):
        text = format_judgement(rationales, judgement.passed, judgement.score)
    else:
        verdicts = " ".join(str(int(verdict)) for verdict in judgement.passed)
        text = f"{judgement.reasoning}\nverdicts: {verdicts}\n<score>{format_score(judgement.score)}</score>".lstrip()
    again = parse_judgement(text, principles)
    if not isinstance(again, Judgement):
        return None
    return text if (again.passed, again.score) == (judgement.passed, float(format_score(judgement.score))) else None


def principles_text(prompts: PromptSet, principles: Sequence[Principle]) -> str:
    """Principles as a prompt set's `decompose` asks for them: JSON where it says so, else the compact lines."""
    if "JSON" not in prompts.templates["decompose"]:
        return format_principles(principles)
    return json.dumps([item.model_dump(mode="json") for item in principles], ensure_ascii=False)
