"""`train_editor` on a Kontext pipeline of the real classes, against the real service over HTTP."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm_client import ConnectionFailedError, Group, GroupResult
from edit_rrm_training.editor.edit import load_editor, make_edits
from edit_rrm_training.editor.editor_card import EditorError, load_editor_card
from edit_rrm_training.editor.progress import RunProgress
from edit_rrm_training.editor.prompts import PromptsError
from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.run import train_editor
from edit_rrm_training.editor.scoring import Judge
from tests.cli.command import edit_rrm
from tests.client.fake_service import judgement, judging_service
from tests.training.editor.pipelines import INSTRUCTIONS

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:tensorboard"),
    pytest.mark.slow,
]


def brightness(image: Image.Image) -> str:
    return judgement(round(float(np.asarray(image).mean()) / 25.5, 1))


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with judging_service(brightness) as url:
        yield url


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources of two sizes, one of an odd one and with transparency."""
    folder = tmp_path_factory.mktemp("prompts")
    Image.new("RGB", (64, 48), "gray").save(folder / "a.png")
    Image.new("RGBA", (57, 91), (200, 90, 90, 128)).save(folder / "b.png")
    lines = [{"instruction": text, "source": f"{name}.png"} for text in INSTRUCTIONS for name in "ab"]
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def recipe(model: Path, prompts: Path, url: str, **fields: Any) -> EditorRecipe:
    values: dict[str, Any] = {
        "policy": {
            "kind": "flux-kontext",
            "model": str(model),
            "dtype": "float32",
            "text_tokens": 16,
            "max_pixels": 64 * 64,
            "lora": {"rank": 4, "alpha": 8},
        },
        "prompts": str(prompts),
        "rewards": {"url": url, "no_edit": 0.5},
        "sampling": {"steps": 3, "noise_level": 0.7},
        "evaluation": {"prompts": str(prompts), "count": 2, "every": 1, "steps": 3},
        "steps": 2,
        "group_size": 4,
        "groups": 2,
        "updates": 1,
        "clip": 0.2,
        "learning_rate": 1e-3,
        "ema_every": 1,
        "save_every": 1,
        "report_to": ["tensorboard"],
    }
    return EditorRecipe.model_validate(values | fields)


@pytest.mark.parametrize("lora", [True, False])
def test_a_run_leaves_an_editor_and_what_people_look_at(
    lora: bool, model: Path, prompts: Path, service: str, tmp_path: Path
) -> None:
    made = recipe(model, prompts, service)
    if not lora:
        made = recipe(model, prompts, service, policy=made.policy.model_dump() | {"lora": None}, kl=0.0)
    said: list[str] = []
    finished = train_editor(made, tmp_path / "run", measure=lambda *_: {"oracle": 0.5}, say=said.append)
    assert finished.steps == 2
    assert finished.editor == tmp_path / "run" / "editor"
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    steps = [entry for entry in log if "reward" in entry]
    assert [entry["step"] for entry in steps] == [0, 1]
    assert all(entry["masked"] == 0.0 and "reward_no_edit" in entry for entry in steps)
    evaluations = [entry["evaluation"] for entry in log if "evaluation" in entry]
    assert len(evaluations) == 3
    assert all({"judge", "oracle"} <= set(one) for one in evaluations)
    assert any(line.startswith("step 2 of 2: reward 0.") for line in said)
    events = EventAccumulator(str(tmp_path / "run" / "edit-rrm"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/reward")] == [0, 1]
    assert [event.step for event in events.Images("evaluation/pictures")] == [0, 1, 2]
    (configuration,) = (tmp_path / "run" / "edit-rrm").rglob("hparams.yml")
    told = configuration.read_text()
    assert "policy.kind: flux-kontext" in told
    assert "judge: " in told
    assert "rewards.url" not in told, "a URL may have a password in it, and nothing comes of it"
    with Image.open(tmp_path / "run" / "pictures" / "step-000002.png") as sheet:
        assert sheet.width > sheet.height
    table = json.loads((tmp_path / "run" / "pictures" / "step-000002.json").read_text())
    assert table[0]["verdicts"]
    assert table[0]["reasoning"]

    # The editor edits, and is not the model that the run began with.
    with Image.open(prompts.parent / "a.png") as source:
        source.load()
        trained = make_edits(load_editor(finished.editor), source, INSTRUCTIONS[0], count=2, steps=3)
    assert [edit.size for edit in trained] == [(64, 48)] * 2
    size = sum(path.stat().st_size for path in finished.editor.rglob("*.safetensors"))
    assert (size < 1_000_000) is lora


def test_rewards_are_made_as_the_recipe_says(model: Path, prompts: Path, service: str, tmp_path: Path) -> None:
    asked: list[Aggregation | None] = []

    class Listens:
        def __init__(self, judge: Judge) -> None:
            self._judge = judge

        def score_groups(
            self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
        ) -> list[GroupResult]:
            asked.append(aggregation)
            found = self._judge.score_groups(groups, mode=mode, aggregation=aggregation)
            assert {one.aggregation for result in found for one in result.results} == {aggregation}
            return found

    made = recipe(model, prompts, service, steps=1, rewards={"url": service, "aggregation": "product"})
    train_editor(made, tmp_path, through=Listens, say=lambda _: None)
    assert asked
    assert set(asked) == {Aggregation.PRODUCT}


def test_a_run_with_several_judges_and_one_that_is_held_out(
    model: Path, prompts: Path, service: str, tmp_path: Path
) -> None:
    rewards = {"url": service, "no_edit": 0.5, "others": [{"name": "probed", "weight": 0.5, "mode": "probe"}]}
    looked = {"prompts": str(prompts), "count": 2, "every": 1, "steps": 3}
    watched = looked | {"judge": {"mode": "probe", "aggregation": "min"}}
    made = recipe(model, prompts, service, rewards=rewards, evaluation=watched, steps=1)
    finished = train_editor(made, tmp_path, say=lambda _: None)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (step,) = [entry for entry in log if "reward" in entry]
    parts = {name: step[f"reward_{name}"] for name in ("judge", "probed", "no_edit")}
    assert step["reward"] == pytest.approx(parts["judge"] + 0.5 * parts["probed"] + 0.5 * parts["no_edit"], abs=1e-5)
    for entry in [entry for entry in log if "evaluation" in entry]:
        assert set(entry["evaluation"]) == {"judge", "held_out_judge"}
        assert set(entry["rewards"]) == {"reward", "reward_judge", "reward_probed", "reward_no_edit"}
    table = json.loads((tmp_path / "pictures" / "step-000001.json").read_text())
    assert set(table[0]["judges"]) == {"probed", "held_out_judge"}
    assert finished.editor is not None
    card = load_editor_card(finished.editor)
    assert set(card.others) == {"probed"}
    # Gone on with by the same judges; asked otherwise, it is another run.
    train_editor(recipe(model, prompts, service, rewards=rewards, evaluation=watched), tmp_path, say=lambda _: None)
    with pytest.raises(ValueError, match=r"begun otherwise \(evaluation\.judge"):
        train_editor(recipe(model, prompts, service, rewards=rewards, evaluation=looked), tmp_path)


def test_a_held_out_judge_that_is_not_there_is_said_before_the_model_is_loaded(
    prompts: Path, service: str, tmp_path: Path
) -> None:
    looked = {"prompts": str(prompts), "judge": {"url": "http://127.0.0.1:9"}}
    with pytest.raises(ConnectionFailedError, match=r"held_out_judge: http://127\.0\.0\.1:9 did not answer"):
        train_editor(recipe(tmp_path / "no-model", prompts, service, evaluation=looked), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_same_command_goes_on_and_another_run_is_refused(
    model: Path, prompts: Path, service: str, tmp_path: Path
) -> None:
    train_editor(recipe(model, prompts, service, steps=1), tmp_path, say=lambda _: None)
    said: list[str] = []
    train_editor(recipe(model, prompts, service, steps=2), tmp_path, say=said.append)
    assert next(line for line in said if line.startswith("step ")).startswith("step 2 of 2")
    with pytest.raises(ValueError, match="a run that was begun otherwise"):
        train_editor(recipe(model, prompts, service, steps=2, group_size=6), tmp_path)
    with judging_service(lambda _: judgement(3.0)) as other:
        # Another process of the same judge is the same judge.
        train_editor(recipe(model, prompts, other, steps=2), tmp_path, say=lambda _: None)
    # So is a run that keeps and judges less at a time; of a checkpoint that cannot be read people are told.
    (tmp_path / "checkpoints" / "checkpoint-2" / "run_state.json").write_text('{"step":')
    said.clear()
    smaller = recipe(model, prompts, service, steps=2, keep=1, sampling={"steps": 3, "noise_level": 0.7, "batch": 1})
    train_editor(smaller, tmp_path, say=said.append)
    assert any("skipped the checkpoint" in line and "checkpoint-2" in line for line in said)
    assert any(line.startswith("step 2 of 2") for line in said)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-2"]


def test_what_is_wrong_is_said_before_the_model_is_loaded(prompts: Path, service: str, tmp_path: Path) -> None:
    nowhere = tmp_path / "no-model"
    with pytest.raises(ConnectionFailedError, match=r"http://127\.0\.0\.1:9 did not answer"):
        train_editor(recipe(nowhere, prompts, "http://127.0.0.1:9"), tmp_path / "run")
    missing = tmp_path / "missing.jsonl"
    missing.write_text('{"instruction": "x", "source": "gone.png"}\n', encoding="utf-8")
    with pytest.raises(PromptsError, match=r"line 1: there is no gone\.png"):
        train_editor(recipe(nowhere, missing, service), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    screen = StringIO()
    shown = RunProgress(2, Console(file=screen, force_terminal=True, width=120))
    with shown, pytest.raises(OSError, match="no-model"):
        train_editor(recipe(nowhere, prompts, service), tmp_path / "run", progress=shown)
    assert "decoding sources" in screen.getvalue()


def test_prompts_that_do_not_fit_the_model_are_named_before_its_weights_are_loaded(
    model: Path, prompts: Path, service: str, tmp_path: Path
) -> None:
    light = tmp_path / "light"
    shutil.copytree(model, light)
    for folder in ("transformer", "text_encoder", "text_encoder_2"):
        shutil.rmtree(light / folder)
    made = recipe(light, prompts, service)
    made = recipe(light, prompts, service, policy=made.policy.model_dump() | {"fit": "pad"})
    long = "make the red star blue " * 9
    lines = [(INSTRUCTIONS[0], "a.png"), (long, "a.png"), (INSTRUCTIONS[0], "b.png")]
    path = prompts.parent / "unfit.jsonl"
    path.write_text("".join(json.dumps({"instruction": text, "source": name}) + "\n" for text, name in lines))
    with pytest.raises(PromptsError) as raised:
        train_editor(made.model_copy(update={"prompts": str(path)}), tmp_path / "run")
    assert f"{path}: line 2: the instruction {long[:60]!r}... has " in str(raised.value)
    assert "line 3: a source of 57 x 91 has more than max_pixels=4096" in str(raised.value)
    assert f"{prompts}: line 2: a source of 57 x 91" in str(raised.value)  # those of the evaluation
    assert not (tmp_path / "run").exists()


def test_the_command_line(model: Path, prompts: Path, service: str, tmp_path: Path) -> None:
    import yaml

    config = tmp_path / "run.yaml"
    nowhere = "http://127.0.0.1:9"
    looked = {"prompts": str(prompts), "count": 1, "steps": 2, "judge": {"url": nowhere, "mode": "probe"}}
    config.write_text(yaml.safe_dump(recipe(model, prompts, nowhere, evaluation=looked).model_dump(mode="json")))
    out = tmp_path / "run"
    services = ("--url", service, "--judge", f"held_out_judge={service}")
    done = edit_rrm("train", "editor", "--config", str(config), "--out", str(out), *services, "--steps", "1")
    assert done.returncode == 0, done.stderr
    assert f"editor: {out / 'editor'}" in done.stdout
    assert "held_out_judge 0.9" in done.stdout
    edited = tmp_path / "edited.png"
    arguments = ("--model", str(out / "editor"), "-s", str(prompts.parent / "a.png"), "-i", INSTRUCTIONS[0])
    done = edit_rrm("edit", *arguments, "-o", str(edited), "--count", "2", "--steps", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(edited), str(tmp_path / "edited-1.png")]
    with Image.open(edited) as image:
        assert image.size == (64, 48)
    config.write_text(config.read_text() + "\nlearning_rates: 1\n")
    done = edit_rrm("train", "editor", "--config", str(config), "--out", str(out))
    assert done.returncode == 2
    assert "learning_rates: there is no such field" in " ".join(done.stderr.split())
    done = edit_rrm("edit", "--model", str(tmp_path), "-s", str(prompts.parent / "a.png"), "-i", "x")
    assert done.returncode == 1
    assert "has no edit_rrm_editor.json" in done.stderr


def test_a_folder_that_is_no_editor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EditorError, match=r"has no edit_rrm_editor\.json"):
        load_editor(tmp_path)
