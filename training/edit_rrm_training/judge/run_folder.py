"""The folder of a training run: whose checkpoints it holds, so that nothing is resumed that something else began."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from edit_rrm_client.durable import settle

RUN_FILE: Final = "run.json"

MAY_CHANGE: Final = frozenset({"steps", "epochs", "save_every", "log_every", "report_to", "micro_batch", "compiled"})
"""Fields of a judge's recipe that a run may be gone on with under another value."""

_TRACKED = ("edit-rrm", "wandb-run-id")
_PARTS = ("checkpoints", "seen", "judge", "editor", "pictures", "curves.png", "log.jsonl", RUN_FILE, *_TRACKED)
"""What a run writes into its folder."""

_HEAD = 1 << 20


def claim(
    output: Path,
    facts: Mapping[str, Any],
    *,
    start: Path | None = None,
    resume: bool,
    may_change: Collection[str] = MAY_CHANGE,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Say whose run a folder holds, before anything is read from it or written to it.

    On several devices only the first one's process does anything.

    Args:
        output: The run's folder; it need not be there.
        facts: What decides what the run produces: the recipe's fields, what it starts from, its data. The folder says
            these from now on.
        start: The judge that the run starts from, if any; it must not lie in the folder, which may be deleted.
        resume: Whether to go on with what is there; otherwise it is deleted.
        may_change: Paths of facts that are not compared, such as ``steps`` or ``sampling.batch``; of one that is a
            mapping nothing is.
        defaults: Facts of runs that were begun before there were such.

    Raises:
        ValueError: The folder holds another run (the message names the fields that differ, with both values), or what
            this one starts from.
        OSError: The folder cannot be written.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    if start is not None and start.resolve().is_relative_to(output.resolve()):
        raise ValueError(
            f"{output} holds {start}, which this run starts from and would overwrite; choose another --out"
        )
    told = json.loads(json.dumps(dict(facts), default=str))
    path = output / RUN_FILE
    if not resume:
        _clear(output)
    elif (before := _read(path)) is not None and (output / "checkpoints").is_dir():
        _compare(output, _filled(before, defaults or {}), told, may_change)
    output.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".partial")
    written.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    settle(written, path)


def weights_digest(judge: Path) -> str:
    """A digest of a judge's weights and tokenizer, from the beginning and the size of each of their files."""
    digest = hashlib.sha256()
    for path in sorted((*judge.glob("*.safetensors"), *judge.glob("tokenizer.json"))):
        with path.open("rb") as file:
            digest.update(f"{path.name} {path.stat().st_size} ".encode())
            digest.update(file.read(_HEAD))
    return digest.hexdigest()


def _compare(output: Path, before: Mapping[str, Any], now: Mapping[str, Any], may_change: Collection[str]) -> None:
    differing = list(_differing(before, now, may_change))
    if differing:
        raise ValueError(
            f"{output} holds a run that was begun otherwise ({'; '.join(differing)}). Choose another --out, "
            "or delete that run with --fresh"
        )


def _differing(
    before: Mapping[str, Any], now: Mapping[str, Any], may_change: Collection[str], within: str = ""
) -> Iterator[str]:
    """What differs, each by its path from the outermost mapping, with both values."""
    for name in sorted({*before, *now}):
        path, there, here = f"{within}{name}", before.get(name), now.get(name)
        if path in may_change:
            continue
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            yield from _differing(there, here, may_change, f"{path}.")
        elif there != here:
            yield f"{path}: {there!r} there, {here!r} here"


def _filled(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Values, and the defaults of those that are missing, at any depth."""
    return {**defaults, **{name: _filled_value(value, defaults.get(name)) for name, value in values.items()}}


def _filled_value(value: Any, default: Any) -> Any:
    return _filled(value, default) if isinstance(value, Mapping) and isinstance(default, Mapping) else value


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _clear(output: Path) -> None:
    for name in _PARTS:
        path = output / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
