"""The folder of a run: its journals, and what it was started with."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edit_rrm.prompts import load_prompt_set
from edit_rrm_training.judge.cold_start.config import ColdStartConfig
from edit_rrm_training.judge.cold_start.errors import ColdStartError
from edit_rrm_training.judge.cold_start.journal import Journal
from edit_rrm_training.judge.cold_start.templates import fingerprint

MANIFEST = "run.json"
_OPERATIONAL = {"base_url", "url", "api_key_env", "concurrency", "retries", "budget_s"}
"""Teachers' fields that say how to reach them, not what they answer: they may change between runs."""
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Steps:
    """The open journals."""

    mix: Journal
    """One record per input row looked at."""
    principles: Journal
    """One per task."""
    candidates: Journal
    gold: Journal
    selected: Journal
    """Of the verified or the unverified selection."""


@contextmanager
def opened(out: Path, manifest: Mapping[str, Any], *, verified: bool) -> Iterator[Steps]:
    """Open a run's folder, new or to be gone on with, for this process alone.

    Raises:
        ColdStartError: It was started with something else, is in use, or is damaged.
        OSError: It cannot be read or written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock = stack.enter_context((out / ".lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ColdStartError(f"{out} is in use by another run") from None
        _check_manifest(out / MANIFEST, dict(manifest))
        names = ("00-mix", "01-principles", "02-candidates", "03-gold", f"04-selected{suffix(verified)}")
        yield Steps(*(stack.enter_context(Journal(out / f"{name}.jsonl")) for name in names))


def suffix(verified: bool) -> str:
    """What names of the unverified selection's files end in."""
    return "" if verified else "-unverified"


def manifest_of(
    config: ColdStartConfig, data: str, rows: int | None, exemplars: str, *, verified: bool
) -> dict[str, Any]:
    """All that decides what a run writes. The verifier is in it only if the run has one."""
    values = config.model_dump(mode="json")
    verifier = values.pop("verifier")
    asked = {config.principles.teacher, *(step.teacher for step in config.candidates)}
    if config.mix.hard > 0.0:
        asked.add(str(config.mix.classifier))
    teachers = {
        name: {field: value for field, value in teacher.items() if field not in _OPERATIONAL}
        for name, teacher in values.pop("teachers").items()
    }
    return {
        "data": data,
        "n": rows,
        "config": values,
        "teachers": {name: teacher for name, teacher in teachers.items() if name in asked},
        "teacher_prompts": fingerprint(),
        "prompts_fingerprint": load_prompt_set(config.prompts).fingerprint,
        "exemplars": exemplars,
        "verifier": verifier | {"who": teachers[verifier["teacher"]]} if verified and verifier else None,
    }


def _check_manifest(path: Path, manifest: dict[str, Any]) -> None:
    if path.exists():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            assert isinstance(stored, dict)
        except (ValueError, AssertionError):
            raise ColdStartError(f"{path} is damaged; use another --out") from None
        # A verifier may join later: the steps before it are the same with it and without.
        for one, other in ((stored, manifest), (manifest, stored)):
            if one.get("verifier") is None:
                one["verifier"] = other.get("verifier")
        changes = differences(stored, manifest)
        if changes:
            more = f", and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
            raise ColdStartError(
                f"{path.parent} was started differently: {'; '.join(changes[:_SHOWN])}{more}. "
                "Take back the change, or use another --out"
            )
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def differences(before: Any, now: Any, where: str = "") -> list[str]:
    """What changed between two JSON values, one line each: ``config.candidates.0.temperature: 0.7 -> 1.0``."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(key for key in now if key not in before)]
        return [
            line
            for key in keys
            for line in differences(before.get(key), now.get(key), f"{where}.{key}".removeprefix("."))
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [
            line
            for index, pair in enumerate(zip(before, now, strict=True))
            for line in differences(*pair, f"{where}.{index}")
        ]
    return [] if before == now else [f"{where}: {_shown(before)} -> {_shown(now)}"]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
