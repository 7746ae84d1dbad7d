"""What a run shows on a terminal, and that it shows nothing elsewhere."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace

from rich.console import Console

from edit_rrm_training.editor.progress import RunProgress
from edit_rrm_training.editor.watch import RunWatcher

VALUES = {"reward": 0.5, "sampling_s": 1.0, "scoring_s": 2.0, "hidden": 0.9, "updating_s": 3.0}


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)


def lines(shown: Console) -> list[str]:
    """What was written last of each line, without what moves the cursor."""
    assert isinstance(shown.file, io.StringIO)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.file.getvalue())
    return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def watcher(folder: Path, shown: Console, said: list[str], progress: RunProgress, *, main: bool = True) -> RunWatcher:
    accelerator = SimpleNamespace(log=lambda *_, **__: None, is_main_process=main)
    return RunWatcher(folder, accelerator, steps=10, say=said.append, progress=progress)


def test_a_terminal_shows_the_steps_the_last_one_and_the_part_under_way(tmp_path: Path) -> None:
    said: list[str] = []
    shown = console(terminal=True)
    with RunProgress(10, shown) as progress:
        run = watcher(tmp_path, shown, said, progress)
        run.doing("sampling", 3, 16)
        run.doing("updating", 1, 4)
        run.step(6, VALUES)
    steps, part = lines(shown)[-2:]
    assert steps.startswith("steps")
    assert " 7/10 " in steps
    assert "reward 0.500, sampling 1.0 s, scoring 2.0 s (90% hidden), update 3.0 s" in steps
    assert part.startswith("updating")
    assert " 1/4 " in part
    assert said == []


def test_elsewhere_a_line_a_step_is_said_and_nothing_else(tmp_path: Path) -> None:
    said: list[str] = []
    shown = console(terminal=False)
    with RunProgress(10, shown) as progress:
        run = watcher(tmp_path, shown, said, progress)
        run.doing("sampling", 3, 16)
        run.step(6, VALUES)
    assert lines(shown) == []
    (line,) = said
    assert line.startswith("step 7 of 10: reward 0.500, sampling 1.0 s")


def test_of_several_processes_only_the_first_shows_anything(tmp_path: Path) -> None:
    said: list[str] = []
    shown = console(terminal=True)
    with RunProgress(10, shown) as progress:
        run = watcher(tmp_path, shown, said, progress, main=False)
        run.doing("sampling", 3, 16)
        run.step(6, VALUES)
    assert lines(shown) == []
    assert said == []


def test_a_resumed_run_says_nothing_of_the_time_left_before_it_has_made_two_steps() -> None:
    shown = console(terminal=True)
    with RunProgress(1_000, shown) as progress:
        progress.stepped(900, "")
    assert "-:--:--" in lines(shown)[-1]
