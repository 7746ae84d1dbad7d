"""What TensorBoard and W&B are told of a run, that they are there before it begins, and that it outlives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Aggregation, Mode, Outcome, Reward, Verdict
from edit_rrm_client import GroupResult
from edit_rrm_training.editor.prompts import Prompt
from edit_rrm_training.editor.scoring import Scored
from edit_rrm_training.editor.trackers import Trackers, check_installed, flattened, run_id, start_trackers
from edit_rrm_training.editor.trainer import Evaluated
from edit_rrm_training.editor.watch import RunWatcher
from tests.client.steps import unscored
from tests.training.editor.fake_wandb import FakeWandb, install

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:tensorboard")

CONFIG = {"steps": 2, "policy": {"model": "nano", "lora": {"rank": 4, "targets": ["to_q", "to_k"]}}, "mode": None}
FLAT = {"steps": 2, "policy.model": "nano", "policy.lora.rank": 4, "policy.lora.targets": "to_q, to_k", "mode": None}
STEP = {"reward": 0.5, "sampling_s": 1.0, "scoring_s": 2.0, "waited_s": 0.1, "hidden": 0.9, "updating_s": 3.0}


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    return install(monkeypatch)


def started(folder: Path, *names: str, said: list[str] | None = None) -> tuple[Accelerator, Trackers]:
    accelerator = Accelerator(cpu=True, log_with=list(names), project_dir=str(folder))
    return accelerator, start_trackers(accelerator, CONFIG, folder, (said if said is not None else []).append)


def evaluated() -> Evaluated:
    """Of two edits, one of which was not scored."""
    star = Principle(question="Is the star blue?", category=Category.INSTRUCTION_FOLLOWING)
    good = Reward(
        outcome=Outcome.SCORED,
        score=5.0,
        reward=0.5,
        average=0.0,
        aggregation=Aggregation.MODEL,
        mode=Mode.THINK,
        verdicts=(Verdict(principle=star, passed=False, rationale="it is red"),),
        reasoning="The star is red.",
    )
    image = Image.new("RGB", (8, 8), "red")
    judged = tuple(
        Scored(GroupResult((one,)), {}, np.array([0.5], np.float32), 0.0, 1.0)
        for one in (good, unscored(Outcome.TIMED_OUT, retryable=True))
    )
    prompts = (Prompt("make the star blue", image, "a"), Prompt("remove it", image, "b"))
    return Evaluated(prompts, (image, image), judged, {"judge": 0.5})


def watch(folder: Path, accelerator: Accelerator, trackers: Trackers, said: list[str]) -> None:
    """A step and an evaluation after it."""
    watcher = RunWatcher(folder, accelerator, steps=2, say=said.append, trackers=trackers)
    watcher.step(0, STEP)
    watcher.evaluated(1, evaluated())
    trackers.end()
    accelerator.end_training()


@pytest.mark.parametrize("name", ["wandb", "tensorboard"])
def test_a_tracker_that_is_not_installed_is_refused_with_its_package(name: str) -> None:
    check_installed([name], ["wandb", "tensorboard"])
    with pytest.raises(ValueError, match=rf"report_to: {name} is not installed: pip install {name}, or leave it out"):
        check_installed([name], [])


def test_tensorboard_has_numbers_pictures_and_the_recipe(tmp_path: Path) -> None:
    accelerator, trackers = started(tmp_path, "tensorboard")
    watch(tmp_path, accelerator, trackers, [])
    events = EventAccumulator(str(tmp_path / "edit-rrm"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/reward")] == [(0, 0.5)]
    assert [(event.step, event.value) for event in events.Scalars("evaluation/judge")] == [(1, 0.5)]
    (shown,) = events.Images("evaluation/pictures")
    with Image.open(tmp_path / "pictures" / "step-000001.png") as sheet:
        assert (shown.step, shown.width, shown.height) == (1, sheet.width, sheet.height)
    (kept,) = (tmp_path / "edit-rrm").rglob("hparams.yml")
    assert "policy.lora.rank: 4" in kept.read_text()
    assert not (tmp_path / "wandb-run-id").exists()


def test_wandb_has_numbers_pictures_the_table_and_the_recipe(tmp_path: Path, wandb: FakeWandb) -> None:
    accelerator, trackers = started(tmp_path, "wandb")
    watch(tmp_path, accelerator, trackers, [])
    assert wandb.settings == FLAT
    logged = {name: (step, value) for step, values in wandb.logged for name, value in values.items()}
    assert logged["train/reward"] == (0, 0.5)
    assert logged["evaluation/judge"] == (1, 0.5)
    step, (picture,) = logged["evaluation/pictures"]
    with Image.open(tmp_path / "pictures" / "step-000001.png") as sheet:
        assert step == 1
        assert np.array_equal(picture, np.asarray(sheet))
    step, table = logged["evaluation/edits"]
    assert (step, table.columns) == (1, ["prompt", "instruction", "outcome", "reward", "principles", "reasoning"])
    assert table.data == [
        ["a", "make the star blue", "scored", 0.5, "- Is the star blue? it is red", "The star is red."],
        ["b", "remove it", "timed_out", None, "", None],
    ]
    assert wandb.finished == 1


def test_a_resumed_run_goes_on_in_the_same_wandb_run(tmp_path: Path, wandb: FakeWandb) -> None:
    for folder in ("one", "one", "other"):
        (tmp_path / folder).mkdir(exist_ok=True)
        started(tmp_path / folder, "wandb")
    first, again, other = wandb.begun
    assert first == again
    assert (first["project"], first["resume"], first["id"]) == ("edit-rrm", "allow", run_id(tmp_path / "one"))
    assert other["id"] != first["id"]
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["wandb-run-id"]


def test_a_run_outlives_its_trackers(tmp_path: Path, wandb: FakeWandb) -> None:
    said: list[str] = []
    accelerator, trackers = started(tmp_path, "wandb", "tensorboard", said=said)
    wandb.breaks = Exception("the network is gone")
    watcher = RunWatcher(tmp_path, accelerator, steps=2, say=lambda _: None, trackers=trackers)
    watcher.step(1, STEP)
    watch(tmp_path, accelerator, trackers, [])
    # Once each, however often; and the other tracker is told.
    assert said == [
        f"wandb did not take {what}; the run goes on without: the network is gone"
        for what in ("the numbers", "the pictures", "the table", "the end")
    ]
    events = EventAccumulator(str(tmp_path / "edit-rrm"))
    events.Reload()
    assert len(events.Scalars("train/reward")) == 2
    assert (tmp_path / "pictures" / "step-000001.json").exists()


def test_a_tracker_that_cannot_start_is_said(tmp_path: Path, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_key(**_: Any) -> FakeWandb:
        raise Exception("api_key not configured (no-tty). call wandb.login")  # as W&B's are: of no kind of Python's

    monkeypatch.setattr(wandb, "init", no_key)
    with pytest.raises(
        ValueError, match=r"report_to: wandb cannot be started \(api_key not .*leave it out of report_to"
    ):
        started(tmp_path, "wandb")


def test_fields_are_flat_and_of_kinds_that_trackers_take() -> None:
    assert flattened(CONFIG) == FLAT
    assert flattened({"none": []}) == {"none": ""}
