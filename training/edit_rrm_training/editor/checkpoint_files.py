"""The files of a run's checkpoints: which there are, and whether one's are all there and whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

WEIGHTS_FILE: Final = "trained.safetensors"
AVERAGE_FILE: Final = "average.safetensors"
_STATE_FILE = "run_state.json"
_PREFIX = "checkpoint-"
_PARTIAL = ".partial"
_SIZES = "files"
"""Of the state: bytes of every other file, by its path in the checkpoint."""


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints in a folder, newest first, whole or not; the folder need not be there."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdecimal()]
    return sorted((path for path in found if path.is_dir()), key=step_of, reverse=True)


def unfinished_in(folder: Path) -> list[Path]:
    """What writing a checkpoint has left, where it was interrupted."""
    return [path for path in folder.glob(f"{_PREFIX}*{_PARTIAL}") if path.is_dir()]


def checkpoint_path(folder: Path, step: int, *, unfinished: bool = False) -> Path:
    """Where the checkpoint after so many steps is, or is written to before it is whole."""
    return folder / f"{_PREFIX}{step}{_PARTIAL if unfinished else ''}"


def step_of(checkpoint: Path) -> int:
    """How many steps were done."""
    return int(checkpoint.name.removeprefix(_PREFIX))


def write_state(checkpoint: Path, state: dict[str, Any]) -> None:
    """Write where the run was, once all other files are written.

    Raises:
        OSError: It cannot be written.
    """
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    sizes = {path.relative_to(checkpoint).as_posix(): path.stat().st_size for path in files}
    (checkpoint / _STATE_FILE).write_text(json.dumps({**state, _SIZES: sizes}), encoding="utf-8")


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Read what was given to `write_state`.

    Raises:
        OSError: It is not there, or not to be read.
        ValueError: It is no JSON, or not a run's.
    """
    state = _read_state(checkpoint)
    state.pop(_SIZES, None)
    return state


def flaw_in(checkpoint: Path) -> str | None:
    """Say what keeps a checkpoint from being read; None where all of it is there.

    Sizes are looked at, not contents: a large model's would take minutes to read.
    """
    path = checkpoint / _STATE_FILE
    try:
        for name, size in _read_state(checkpoint).get(_SIZES, {}).items():
            path = checkpoint / name
            if (found := path.stat().st_size) != size:
                return f"{name} has {found} bytes of {size}"
        # A checkpoint of an earlier version says no sizes; this format's files do themselves.
        for path in sorted({checkpoint / WEIGHTS_FILE, checkpoint / AVERAGE_FILE, *checkpoint.glob("*.safetensors")}):
            with safe_open(path, framework="pt"):
                pass
    except (OSError, ValueError, SafetensorError) as error:
        name = path.relative_to(checkpoint).as_posix()
        return f"there is no {name}" if isinstance(error, FileNotFoundError) else f"{name}: {first_line(error)}"
    return None


def first_line(error: Exception) -> str:
    """What an error says, without what torch adds to it."""
    return str(error).partition("\n")[0]


def _read_state(checkpoint: Path) -> dict[str, Any]:
    state = json.loads((checkpoint / _STATE_FILE).read_text(encoding="utf-8"))
    if not isinstance(state, dict) or not {"step", "averaged"} <= state.keys():
        raise ValueError("no state of a run")
    return state
