"""Weights sharded over two processes: the run of one process, resumable, with checkpoints of what is trained alone."""

from __future__ import annotations

import importlib.util
import shutil
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from tests.training.editor.processes import raised, run_together
from tests.training.editor.sharded_runs import SMALL, evaluations, partly_frozen, toy, whole_weights
from tests.training.editor.toy_run import BlueJudge, Notes, toy_run

pytestmark = pytest.mark.slow

TRAINED = {"0.weight", "2.weight", "2.bias"}
SHARDED = [
    "fsdp",
    pytest.param(
        "deepspeed",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed, nor needed"
        ),
    ),
]

ENVIRONMENT = {"fsdp": {"ACCELERATE_USE_CPU": "1"}, "deepspeed": {"DS_ACCELERATOR": "cpu"}}


class Found(NamedTuple):
    """What came of a run."""

    weights: dict[str, torch.Tensor]
    evaluations: list[Any]


def sharded(how: str, out: Path) -> Found:
    assert run_together(2, toy, how, out, None, log=out, **ENVIRONMENT[how]) == [0, 0], raised(out)
    return Found(*torch.load(out / "found.pt"))


@pytest.fixture(scope="module", params=SHARDED)
def how(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def folder(how: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def uninterrupted(how: str, folder: Path) -> Found:
    return sharded(how, folder)


def alone(out: Path) -> Found:
    """The same in one process."""
    notes = Notes()
    run = toy_run(out, BlueJudge(), notes, policy=partly_frozen(), **SMALL)
    assert run.run() == SMALL["steps"]
    return Found(whole_weights(run), evaluations(notes))


def close(one: Found, other: Found) -> bool:
    assert one.weights.keys() == other.weights.keys() == TRAINED
    return all(torch.allclose(one.weights[name], other.weights[name], atol=1e-6, rtol=0.0) for name in TRAINED)


def test_two_processes_make_the_run_of_one(uninterrupted: Found, tmp_path: Path) -> None:
    expected = alone(tmp_path)
    assert close(uninterrupted, expected)
    # Prompts were spread over processes, and came together in their order on the first.
    assert [(number, count) for number, count, _ in uninterrupted.evaluations] == [(0, 3), (2, 3), (4, 3)]
    for (_, _, ours), (_, _, theirs) in zip(uninterrupted.evaluations, expected.evaluations, strict=True):
        assert ours == pytest.approx(theirs, abs=1 / 255)
    assert expected.evaluations[-1] != expected.evaluations[0]


def test_one_that_was_killed_goes_on_as_if_it_had_not_been(how: str, uninterrupted: Found, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "killed", tmp_path / "copied"
    codes = run_together(2, toy, how, out, 5, log=out, **ENVIRONMENT[how])
    assert codes == [1, -signal.SIGKILL], "who waits for a process that was killed is told so"
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-2"]
    shutil.copytree(out, elsewhere)
    # A newer one that lost its end is skipped by all of them.
    newer = shutil.copytree(out / "checkpoints" / "checkpoint-2", out / "checkpoints" / "checkpoint-3")
    (newer / "run_state.json").write_text('{"step": 3, ')
    resumed = sharded(how, out)
    assert all(torch.equal(resumed.weights[name], uninterrupted.weights[name]) for name in TRAINED)
    # These notes are in no file: what was due at the checkpoint is evaluated again, and is the same.
    assert resumed.evaluations == uninterrupted.evaluations[1:], "the average was gone on with too"
    if how == "fsdp":
        # Whole tensors can be read by any number of processes, and without FSDP.
        assert close(alone(elsewhere), uninterrupted)


def test_checkpoints_have_what_is_trained_and_no_more(how: str, uninterrupted: Found, folder: Path) -> None:
    checkpoint = folder / "checkpoints" / "checkpoint-4"
    trained = load_file(checkpoint / "trained.safetensors")
    assert trained.keys() == load_file(checkpoint / "average.safetensors").keys() == TRAINED
    assert all(torch.equal(trained[name], uninterrupted.weights[name]) for name in TRAINED)
    names = {path.name for path in checkpoint.rglob("*") if path.is_file()}
    if how == "fsdp":
        assert names == {"trained.safetensors", "average.safetensors", "optimizer.safetensors", "run_state.json"}
        moments = load_file(checkpoint / "optimizer.safetensors")
        assert moments.keys() == {f"{kind}/{name}" for kind in ("exp_avg", "exp_avg_sq", "step") for name in TRAINED}
        assert all(moments[f"exp_avg/{name}"].shape == trained[name].shape for name in TRAINED)
    else:
        (states,) = checkpoint.rglob("*model_states.pt")
        assert torch.load(states, weights_only=False)["module"].keys() == TRAINED
