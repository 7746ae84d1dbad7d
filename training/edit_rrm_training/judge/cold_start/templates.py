"""What teachers are asked, in words: template files, filled in with neutralised text. Pure but for reading them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files

from edit_rrm.principles import Principle
from edit_rrm.prompts import ImagePart, RenderedPrompt, TextPart, load_prompt_set, neutralise, numbered
from edit_rrm_training.judge.cold_start.exemplars import Exemplar, exemplar_text

VARIANTS = ("plain", "regions", "repairs", "sceptic")
"""Ways of being prompted to think and score: the system turn of the `standard` prompt set, plus a file of that name."""

MAX_HINT_CHARS = 6_000
"""Of each candidate's reasoning; a longer one is cut in the middle."""

TEACHER_PROMPTS = "standard"
"""The set teachers are asked in, whichever the SFT rows are written in: it spells everything out."""

_SLOT = re.compile(r"\{\{([a-z]+)\}\}")


def principles_prompt(instruction: str, exemplars: Sequence[Exemplar]) -> RenderedPrompt:
    """Ask for principles, with worked examples; shows the source image only."""
    examples = "\n\n".join(exemplar_text(item) for item in exemplars)
    slots = {"instruction": neutralise(instruction), "examples": examples or "(none)"}
    return RenderedPrompt(_text("principles-system"), _render(_text("principles"), slots))


def think_prompt(instruction: str, principles: Sequence[Principle], variant: str) -> RenderedPrompt:
    """Ask for reasoning, verdicts and a score, in one of `VARIANTS`."""
    asked = load_prompt_set(TEACHER_PROMPTS).think(instruction, principles)
    return RenderedPrompt(f"{asked.system}\n\n{_text(f'variants/{variant}')}".strip(), asked.parts)


def verify_prompt(instruction: str, principles: Sequence[Principle], hints: Sequence[str]) -> RenderedPrompt:
    """Ask for gold verdicts, with all candidates' reasoning as hints."""
    notes = "\n\n".join(f"Inspector {number}:\n{_hint(hint)}" for number, hint in enumerate(hints, start=1))
    slots = {
        "instruction": neutralise(instruction),
        "principles": numbered(principles),
        "count": str(len(principles)),
        "hints": notes or "(none)",
    }
    return RenderedPrompt(_text("verify-system"), _render(_text("verify"), slots))


def triage_prompt(instruction: str) -> RenderedPrompt:
    """Ask whether an instruction is a hard one."""
    return RenderedPrompt(_text("triage-system"), _render(_text("triage"), {"instruction": neutralise(instruction)}))


def fingerprint() -> str:
    """SHA-256 (hex) over everything teachers are told, exemplars aside."""
    names = ("principles-system", "principles", "verify-system", "verify", "triage-system", "triage")
    digest = sha256(load_prompt_set(TEACHER_PROMPTS).fingerprint.encode())
    for name in (*names, *(f"variants/{variant}" for variant in VARIANTS)):
        data = _text(name).encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _hint(text: str) -> str:
    # Line by line: a teacher's layout is worth keeping, and neutralise makes one line of what it is given.
    lines = "\n".join(neutralise(line) for line in text.splitlines())
    if len(lines) <= MAX_HINT_CHARS:
        return lines
    return f"{lines[: MAX_HINT_CHARS // 2]}\n[...]\n{lines[-MAX_HINT_CHARS // 2 :]}"


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath("templates", f"{name}.txt").read_text(encoding="utf-8").strip("\n")


def _render(template: str, slots: Mapping[str, str]) -> tuple[TextPart | ImagePart, ...]:
    parts: list[TextPart | ImagePart] = []
    text = ""
    # One pass over the template: what fills a slot is never looked at for slots itself.
    for position, piece in enumerate(_SLOT.split(template)):
        if position % 2 == 0:
            text += piece
        elif piece in ("source", "edited"):
            parts += [TextPart(text), ImagePart("source" if piece == "source" else "edited")]
            text = ""
        else:
            text += slots[piece]
    return (*parts, TextPart(text)) if text else tuple(parts)
