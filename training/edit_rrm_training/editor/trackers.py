"""Where a run's numbers and pictures go beside its files, TensorBoard and W&B: there from the start, never its end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

PROJECT: Final = "edit-rrm"
"""Of W&B; TensorBoard's folder in the run's is called so too."""
RUN_ID_FILE: Final = "wandb-run-id"
"""In a run's folder: under which id W&B knows the run, so that a resumed one goes on there."""

Scalar = str | int | float | bool | None


class Trackers:
    """A run's trackers, on its first process.

    What one of them does not take is said once, and the run goes on: its files have it too.
    """

    def __init__(self, trackers: Sequence[Any] = (), say: Callable[[str], None] = print) -> None:
        """Tell accelerate's trackers, which have been started."""
        self._trackers = list(trackers)
        self._say = say
        self._failed: set[tuple[str, str]] = set()

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by name."""
        self._each("the numbers", lambda tracker: tracker.log(dict(values), step=step))

    def picture(self, name: str, picture: Image.Image, step: int) -> None:
        """Log an RGB picture."""
        pixels = np.asarray(picture)[None]

        def show(tracker: Any) -> None:
            layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
            tracker.log_images({name: pixels}, step=step, **layout)

        self._each("the pictures", show)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Scalar]], step: int) -> None:
        """Log a table, where a tracker knows of any: W&B does."""

        def tell(tracker: Any) -> None:
            if hasattr(tracker, "log_table"):
                tracker.log_table(name, columns=list(columns), data=[list(row) for row in rows], step=step)

        self._each("the table", tell)

    def end(self) -> None:
        """Let them write what they still hold."""
        self._each("the end", lambda tracker: tracker.finish())

    def _each(self, what: str, call: Callable[[Any], None]) -> None:
        for tracker in self._trackers:
            try:
                call(tracker)
            except Exception as error:
                # W&B's exceptions are of many kinds, of packages that need not be installed; no run of days ends for
                # any of them.
                if (tracker.name, what) not in self._failed:
                    self._failed.add((tracker.name, what))
                    self._say(f"{tracker.name} did not take {what}; the run goes on without: {error}")


def check_installed(wanted: Sequence[str], available: Sequence[str]) -> None:
    """Refuse trackers that are not there, which accelerate would leave out without a word.

    Args:
        wanted: Names, as in a recipe's `report_to`; each is its package's too.
        available: accelerate's `get_available_trackers`.

    Raises:
        ValueError: One is missing; the message has its package.
    """
    for name in wanted:
        if name not in available:
            raise ValueError(f"report_to: {name} is not installed: pip install {name}, or leave it out of report_to")


def start_trackers(
    accelerator: Any, config: Mapping[str, Any], output: Path, say: Callable[[str], None] = print
) -> Trackers:
    """Start the trackers that an accelerator was made with, on the first process; they are the caller's to end.

    Args:
        accelerator: An `accelerate.Accelerator`.
        config: What the run does, as JSON has it.
        output: The run's folder.
        say: Is told what trackers do not take.

    Raises:
        ValueError: One cannot be started, such as W&B without a key.
        OSError: The folder cannot be written.
    """
    wanted = [str(tracker) for tracker in accelerator.log_with]
    if not wanted or not accelerator.is_main_process:
        return Trackers()
    arguments = {"wandb": {"id": run_id(output), "resume": "allow"}} if "wandb" in wanted else {}
    try:
        accelerator.init_trackers(PROJECT, config=flattened(config), init_kwargs=arguments)
    except Exception as error:
        raise ValueError(
            f"report_to: {', '.join(wanted)} cannot be started ({error}): mend that, or leave it out of report_to"
        ) from error
    # accelerate would end them once more, unguarded.
    started, accelerator.trackers = accelerator.trackers, []
    return Trackers(started, say)


def run_id(output: Path) -> str:
    """The id of the run in a folder: a new one where it has none, which is written down.

    Raises:
        OSError: The folder cannot be written.
    """
    path = output / RUN_ID_FILE
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        made = secrets.token_hex(8)
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(made + "\n", encoding="utf-8")
    unfinished.replace(path)
    return made


def flattened(values: Mapping[str, Any]) -> dict[str, Scalar]:
    """Nested fields by names such as ``policy.lora.rank``; lists become text, since trackers take none."""
    found: dict[str, Scalar] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": one for inner, one in flattened(value).items()}
        elif isinstance(value, list | tuple):
            found[name] = ", ".join(map(str, value))
        else:
            found[name] = value
    return found
