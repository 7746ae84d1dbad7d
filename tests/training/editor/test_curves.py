"""Curves of editor-training runs: what is read from a log, what is drawn, and that a run never ends for a picture."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from typer.testing import CliRunner

from edit_rrm.verdicts import Outcome
from edit_rrm_client import GroupResult
from edit_rrm_training.cli import plot_app
from edit_rrm_training.editor import watch
from edit_rrm_training.editor.curves import (
    CurvesError,
    Evaluation,
    Floats,
    Run,
    Step,
    draw,
    figure_file,
    read_run,
    smoothed,
)
from edit_rrm_training.editor.prompts import Prompt
from edit_rrm_training.editor.scoring import Scored
from edit_rrm_training.editor.trainer import Evaluated
from edit_rrm_training.editor.watch import RunWatcher
from tests.cli.command import edit_rrm
from tests.client.steps import scored, unscored

BLUE, VERMILLION = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
FIGURE = "edit_rrm_training.editor.curves_figure"


def step(number: int, reward: float | None = 0.5, **seconds: float) -> dict[str, Any]:
    """What `RunWatcher.step` writes."""
    values = {"sampling_s": 3.0, "scoring_s": 4.0, "waited_s": 1.0, "updating_s": 2.0, "hidden": 0.75, "masked": 0.0}
    return {"step": number, "dead_groups": 0.1, **({} if reward is None else {"reward": reward}), **values, **seconds}


def evaluation(number: int, **measures: float) -> dict[str, Any]:
    return {"step": number, "evaluation": measures}


def lines(entries: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(entry) for entry in entries]


def folder_of(where: Path, text: str) -> Path:
    where.mkdir(parents=True, exist_ok=True)
    (where / "log.jsonl").write_text(text, encoding="utf-8")
    return where


def log_of(where: Path, entries: list[dict[str, Any]]) -> Path:
    return folder_of(where, "".join(line + "\n" for line in lines(entries)))


def run(label: str = "run", steps: int = 30, *, measures: tuple[str, ...] = ("success", "kept")) -> Run:
    """A run whose judge is fooled: its reward rises, and what it does not see falls."""
    logged = [Step.model_validate(step(number, 0.3 + 0.01 * number)) for number in range(steps)]
    evaluations = [
        Evaluation(
            step=number, evaluation={"judge": 0.3 + 0.01 * number} | dict.fromkeys(measures, 0.9 - 0.02 * number)
        )
        for number in range(0, steps + 1, 10)
    ]
    return Run(label, tuple(logged), tuple(evaluations))


NUMBERS = st.floats(0.0, 1.0)
ENTRIES = st.one_of(
    st.builds(step, st.integers(0, 8), st.none() | NUMBERS),
    st.builds(
        lambda number, found: {"step": number, "evaluation": found},
        st.integers(0, 8),
        # Names that could be taken for the beginning of a line.
        st.dictionaries(st.sampled_from(["judge", "kept", '{"step":', "é\n"]), NUMBERS),
    ),
)


def kept(entries: list[dict[str, Any]]) -> tuple[dict[int, Any], dict[int, Any]]:
    """Rewards and measures that count: of each step what was written last."""
    rewards = {entry["step"]: entry.get("reward") for entry in entries if "evaluation" not in entry}
    return rewards, {entry["step"]: entry["evaluation"] for entry in entries if "evaluation" in entry}


def seen(found: Run) -> tuple[dict[int, Any], dict[int, Any]]:
    for entries in (found.steps, found.evaluations):
        numbers = [entry.step for entry in entries]
        assert numbers == sorted(set(numbers))
    return (
        {entry.step: entry.reward for entry in found.steps},
        {entry.step: entry.evaluation for entry in found.evaluations},
    )


@settings(deadline=None)
@given(entries=st.lists(ENTRIES, min_size=1))
def test_of_a_step_that_was_written_twice_the_last_counts(
    entries: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert seen(read_run(log_of(tmp_path_factory.getbasetemp() / "twice", entries))) == kept(entries)


@settings(deadline=None)
@given(st.data(), st.lists(ENTRIES, min_size=1, max_size=6), st.lists(ENTRIES, max_size=4))
def test_a_log_that_was_cut_off_anywhere_and_written_on_to(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
) -> None:
    """By a kill in the middle of a line; the resumed run's first line begins where the cut one ends."""
    text = "".join(line + "\n" for line in lines(before))
    cut = data.draw(st.integers(0, len(text)))
    left = text[:cut] + "".join(line + "\n" for line in lines(after))
    # A line is whole without its end, too.
    ends = np.cumsum([len(line) + 1 for line in lines(before)])
    whole = [entry for entry, end in zip(before, ends, strict=True) if end - 1 <= cut] + after
    folder = folder_of(tmp_path_factory.getbasetemp() / "cut", left)
    if whole:
        assert seen(read_run(folder)) == kept(whole)
    else:
        with pytest.raises(CurvesError, match="has no step and no evaluation yet: wait"):
            read_run(folder)


def test_what_a_run_logged_has_types(tmp_path: Path) -> None:
    entries = [evaluation(0, judge=0.4, success=0.2), step(0, waited_s=7.5), step(1, None)]
    found = read_run(log_of(tmp_path / "kontext", entries))
    assert found.label == "kontext"
    assert (found.steps[0].reward, found.steps[0].waited_s) == (0.5, 7.5)
    assert found.steps[1].reward is None
    assert (found.evaluations[0].judge, found.evaluations[0].held_out) == (0.4, {"success": 0.2})
    assert Evaluation(step=1, evaluation={"success": 0.5}).judge is None
    assert read_run(tmp_path / "kontext", "mine").label == "mine"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "Expecting property name"),
        ("[]", "Input should be"),
        ('{"step": 4, "loss": 0.5}', "sampling_s: Field required"),
        (json.dumps(step(0) | {"reward": "high"}), "reward: Input should be a valid number"),
        (json.dumps(step(-1)), "step: Input should be greater"),
        (json.dumps(evaluation(0) | {"evaluation": {"judge": None}}), "evaluation: judge: Input should be"),
    ],
)
def test_a_broken_line_is_named(line: str, why: str, tmp_path: Path) -> None:
    folder_of(tmp_path, f"{json.dumps(step(0))}\n\n{line}\n{json.dumps(step(1))}\n")
    with pytest.raises(CurvesError, match=rf"log\.jsonl, line 3, is not what .* logs \({why}.*delete the line"):
        read_run(tmp_path)


def test_a_folder_without_a_log(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(CurvesError, match=r"has no log\.jsonl: give the --out folder of `edit-rrm train editor`"):
            read_run(folder)


@settings(deadline=None)
@given(arrays.arrays(np.float64, st.integers(0, 120), elements=st.floats(-10.0, 10.0) | st.just(np.nan)))
def test_what_is_smoothed_stays_where_it_was(values: Floats) -> None:
    found = smoothed(values)
    assert found.shape == values.shape
    known = values[np.isfinite(values)]
    if len(known):
        assert np.nanmin(found) >= known.min() - 1e-9
        assert np.nanmax(found) <= known.max() + 1e-9
    assert np.isfinite(found[np.isfinite(values)]).all()


def test_smoothing_takes_noise_and_does_not_lag() -> None:
    rising = np.arange(200, dtype=np.float64)
    noise = np.random.default_rng(0).normal(0.0, 5.0, 200)
    np.testing.assert_allclose(smoothed(rising)[10:-10], rising[10:-10])
    assert smoothed(noise).std() < 0.4 * noise.std()


def share(image: Image.Image, colour: tuple[int, int, int], box: tuple[float, float, float, float]) -> float:
    """The share of pixels of a part of a picture (left, top, right, bottom, as shares) that have just this colour."""
    left, top, right, bottom = box
    part = image.crop(
        (int(left * image.width), int(top * image.height), int(right * image.width), int(bottom * image.height))
    )
    return float((np.asarray(part.convert("RGB")) == colour).all(axis=-1).mean())


def opened(runs: list[Run]) -> Image.Image:
    return Image.open(io.BytesIO(figure_file(runs)))


REWARDS, HELD_OUT, SECONDS = (0.0, 0.15, 0.5, 0.6), (0.5, 0.15, 1.0, 0.6), (0.0, 0.75, 1.0, 1.0)


def test_two_runs_in_one_figure(tmp_path: Path) -> None:
    draw([run("a"), run("b", 20)], tmp_path / "both.PNG")
    with Image.open(tmp_path / "both.PNG") as image:
        assert image.width == 1200
        assert 600 < image.height < 900
        for panel in (REWARDS, HELD_OUT):
            assert share(image, BLUE, panel) > 0.001
            assert share(image, VERMILLION, panel) > 0.001
        assert share(image, (0x44, 0x54, 0x6A), SECONDS) > 0.1
        assert share(image, (255, 255, 255), (0.0, 0.0, 1.0, 1.0)) > 0.6


def test_a_run_alone_has_its_seconds_over_time() -> None:
    steps = tuple(Step.model_validate(step(number, waited_s=0.0 if number < 50 else 100.0)) for number in range(100))
    image, waiting = opened([Run("slower and slower", steps, ())]), (0xF2, 0xB8, 0x4B)
    assert share(image, waiting, (0.0, 0.75, 0.4, 1.0)) < 0.01  # its legend
    assert share(image, waiting, (0.6, 0.75, 1.0, 1.0)) > 0.3


def text_of(runs: list[Run]) -> str:
    """What is written in the figure."""
    return " ".join(re.findall(r"<!-- (.*?) -->", figure_file(runs, "svg").decode()))


def test_a_held_out_judge_is_drawn_where_nothing_is_trained_on() -> None:
    watched = run(measures=("held_out_judge",))
    assert watched.evaluations[0].held_out == {"held_out_judge": 0.9}
    assert share(opened([watched]), BLUE, HELD_OUT) > 2 * share(opened([run(measures=())]), BLUE, HELD_OUT)
    told = text_of([watched])
    assert "Held-out measures (never trained on)" in told
    assert "held_out_judge" in told
    assert "evaluation (judge)" in told


def test_the_weighted_sum_is_drawn_beside_the_steps_and_its_parts_are_no_held_out_measures(tmp_path: Path) -> None:
    rewards = {"reward": 2.5, "reward_judge": 0.5, "reward_second": 1.0}
    entries = [evaluation(0, judge=0.5, held_out_judge=0.25) | {"rewards": rewards}, step(0, 2.5)]
    found = read_run(log_of(tmp_path, entries))
    (looked,) = found.evaluations
    assert (looked.judge, looked.reward, looked.held_out) == (0.5, 2.5, {"held_out_judge": 0.25})
    told = text_of([found])
    assert "evaluation (judge)" not in told
    lower = looked.model_copy(update={"rewards": rewards | {"reward": 1.5}})
    assert figure_file([replace(found, evaluations=(lower,))], "svg") != figure_file([found], "svg")
    # Where the sum was never measured, no part of it stands in its place.
    assert Evaluation(step=0, evaluation={"judge": 0.5}, rewards={"reward_judge": 0.5}).reward is None
    assert Evaluation(step=0, evaluation={"judge": 0.5}).reward == 0.5


PARTIAL = [
    (Run("just begun", (), run().evaluations[:1]), True),
    (Run("a step", run().steps[:1], ()), False),
    (Run("no evaluation", run().steps, ()), True),
    (run("no measure", measures=()), True),
    (run("_$x$ " * 40, measures=tuple(f"_measure {number} $\\x$" for number in range(9))), True),
    (Run("no reward", tuple(Step.model_validate(step(number, None)) for number in range(2)), ()), False),
]


@pytest.mark.parametrize(("drawn", "coloured"), [PARTIAL[index] for index in (0, 1, 3)])
def test_a_run_that_has_not_everything(drawn: Run, coloured: bool) -> None:
    image = opened([drawn])
    assert image.width == 1200
    # A single point is no line.
    assert (share(image, BLUE, REWARDS) > 0.0) is coloured


def test_as_many_runs_as_there_are_colours() -> None:
    image = opened([*(drawn for drawn, _ in PARTIAL), run()])
    assert image.width == 1200
    assert share(image, (0, 0, 0), HELD_OUT) > 0.001


def test_the_same_runs_are_the_same_file_whatever_the_style_of_the_process() -> None:
    before = dict(matplotlib.rcParams)
    first = figure_file([run()], "svg")
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30}):
        assert figure_file([run()], "svg") == first
    assert dict(matplotlib.rcParams) == before


def test_runs_that_cannot_be_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CurvesError, match="several runs are called 'a': call them differently, NAME=FOLDER"):
        figure_file([run("a"), run("b"), run("a")])
    for count in (0, 8):
        with pytest.raises(CurvesError, match=f"{count} runs: a figure shows 1 to 7"):
            figure_file([run(str(number)) for number in range(count)])
    with pytest.raises(CurvesError, match=r"x\.pdf does not end in \.png or \.svg"):
        draw([run()], tmp_path / "x.pdf")


def test_the_command_line(tmp_path: Path) -> None:
    entries = [evaluation(0, judge=0.4), step(0), step(1)]
    one, other = log_of(tmp_path / "one", entries), log_of(tmp_path / "a=b", entries)
    out = tmp_path / "new" / "curves.svg"
    result = edit_rrm("plot", "editor", f"first run={one}", str(other), "--out", str(out))
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{out}\n", "")
    assert out.read_text(encoding="utf-8").lstrip().startswith("<?xml")


def failing(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(plot_app, ["editor", *arguments])
    return result.exit_code, " ".join(result.output.split())


def test_what_the_command_line_refuses(tmp_path: Path) -> None:
    folder, out = log_of(tmp_path / "run", [step(0)]), str(tmp_path / "x.png")
    code, told = failing(str(folder), "--out", "x.jpg")
    assert code == 2
    assert "--out: x.jpg does not end in .png or .svg" in told
    code, told = failing(str(tmp_path), "--out", out)
    assert code == 1
    assert "has no log.jsonl: give" in told
    code, told = failing(str(folder), f"run={folder}", "--out", out)
    assert code == 1
    assert "several runs are called 'run'" in told
    assert failing(str(folder), "--out", str(folder / "log.jsonl" / "x.png"))[0] == 1
    assert not Path(out).exists()


def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, FIGURE, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def test_without_matplotlib_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_matplotlib(monkeypatch)
    code, told = failing(str(log_of(tmp_path / "run", [step(0)])), "--out", str(tmp_path / "x.png"))
    assert code == 1
    assert "edit-rrm: drawing needs matplotlib (" in told
    assert "pip install 'edit-rrm[training]'" in told


class Watched:
    """A watcher of a run on one device, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        accelerator = SimpleNamespace(log=lambda *_, **__: None, is_main_process=True)
        self.watcher = RunWatcher(folder, accelerator, steps=10, say=self.said.append)
        self.curves = folder / "curves.png"

    def step(self, number: int) -> None:
        self.watcher.step(number, {name: value for name, value in step(number).items() if name != "step"})

    def evaluated(self, number: int, colour: str = "white", **more: Any) -> None:
        image = Image.new("RGB", (8, 8), colour)
        judged = Scored(GroupResult((scored(5.0),)), {}, np.array([0.5], dtype=np.float32), 0.0, 1.0)
        judged = replace(judged, others=more.pop("others", {}))
        measures = {"judge": 0.5, "success": 0.25}
        self.watcher.evaluated(number, Evaluated((Prompt("x", image, "x"),), (image,), (judged,), measures, **more))


def test_a_run_draws_itself_at_every_evaluation(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.evaluated(0)
    first = watched.curves.read_bytes()
    watched.step(0)
    watched.step(1)
    assert watched.curves.read_bytes() == first
    watched.evaluated(2)
    assert watched.curves.read_bytes() != first
    with Image.open(watched.curves) as image:
        assert image.width == 1200
    assert not [line for line in watched.said if "curves" in line]


def test_an_evaluation_has_what_every_judge_said(tmp_path: Path) -> None:
    def logged() -> tuple[dict[str, Any], dict[str, Any]]:
        entry = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
        (row,) = json.loads(next((tmp_path / "pictures").glob(f"step-{entry['step']:06d}.json")).read_text())
        return entry, row

    watched = Watched(tmp_path)
    watched.evaluated(0)
    entry, row = logged()
    assert entry == {"step": 0, "evaluation": {"judge": 0.5, "success": 0.25}}
    assert "judges" not in row
    nothing = Scored(GroupResult((unscored(Outcome.TIMED_OUT),)), {}, np.array([np.nan], np.float32), 0.0, 1.0)
    others = {"second": GroupResult((scored(8.0),))}
    watched.evaluated(20, others=others, held_out={"witness": (nothing,)}, rewards={"reward": 1.3})
    entry, row = logged()
    assert entry["rewards"] == {"reward": 1.3}
    assert row["reward"] == 0.5
    assert {name: (said["outcome"], said["reward"]) for name, said in row["judges"].items()} == {
        "second": ("scored", 0.8),
        "witness": ("timed_out", None),
    }
    assert "reward 1.300" in watched.said[-1]


def test_another_process_knows_what_was_evaluated_and_shows_the_first_edits_again(tmp_path: Path) -> None:
    assert not Watched(tmp_path).watcher.has_evaluated(0)
    Watched(tmp_path).evaluated(0, "red")
    later = Watched(tmp_path)
    assert later.watcher.has_evaluated(0)
    assert not later.watcher.has_evaluated(20)
    later.evaluated(20, "blue")
    with Image.open(tmp_path / "pictures" / "step-000020.png") as sheet:
        source, before, after = (sheet.getpixel((92 + column * 176, 92)) for column in range(3))
    assert (source, before, after) == ((0, 0, 255), (255, 0, 0), (0, 0, 255))


def test_a_run_goes_on_without_matplotlib_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_matplotlib(monkeypatch)
    watched = Watched(tmp_path)
    watched.evaluated(0)
    assert not watched.curves.exists()
    assert watched.said[-1].startswith("curves.png was not drawn: drawing needs matplotlib")


def test_a_run_goes_on_after_a_line_that_is_not_its_own(tmp_path: Path) -> None:
    watched = Watched(folder_of(tmp_path, "not a line\n"))
    watched.evaluated(0)
    assert "curves.png was not drawn: " in watched.said[-1]
    assert "line 1, is not what" in watched.said[-1]


def failing_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> bytes:
        raise error

    monkeypatch.setattr(watch, "figure_file", fails)


@pytest.mark.parametrize("error", [RuntimeError("no font"), OSError("no folder for fonts"), ValueError("no scale")])
def test_a_run_goes_on_when_matplotlib_fails(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_with(error, monkeypatch)
    watched = Watched(tmp_path)
    watched.evaluated(0)
    assert watched.said[-1] == f"curves.png was not drawn: {error}"


def test_a_mistake_of_ours_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_with(TypeError("no such argument"), monkeypatch)
    with pytest.raises(TypeError, match="no such argument"):
        Watched(tmp_path).evaluated(0)


def test_a_disk_that_takes_nothing_is_not_hidden(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.curves.mkdir()
    with pytest.raises(IsADirectoryError):
        watched.evaluated(0)
