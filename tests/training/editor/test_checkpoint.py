"""Checkpoints on disks that are full or lost something: the one before is gone on with, or the run says why not."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edit_rrm_training.editor.checkpoint import CheckpointError
from edit_rrm_training.editor.checkpoint_files import AVERAGE_FILE, WEIGHTS_FILE, flaw_in, read_state, write_state
from tests.training.editor.toy_run import BlueJudge, Notes, toy_run, weights


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, with a checkpoint after each."""
    folder = tmp_path_factory.mktemp("saved")
    toy_run(folder, BlueJudge(), Notes(), steps=2, save_every=1).run()
    return folder


@pytest.fixture
def run(saved: Path, tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


def checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"checkpoint-{step}"


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def cut(path: Path) -> None:
    """What a loss of power leaves of a file that was not flushed."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def without_sizes(checkpoint: Path) -> None:
    """As earlier versions wrote it."""
    state = json.loads((checkpoint / "run_state.json").read_text())
    del state["files"]
    (checkpoint / "run_state.json").write_text(json.dumps(state))


FILES = ["run_state.json", "trained.safetensors", "average.safetensors", "optimizer.safetensors"]


@pytest.mark.parametrize("earlier", [False, True], ids=["sizes", "earlier"])
@pytest.mark.parametrize("spoil", [cut, emptied])
@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_that_lost_something_is_skipped_by_name(
    run: Path, capsys: pytest.CaptureFixture[str], name: str, spoil: Callable[[Path], None], earlier: bool
) -> None:
    for step in (1, 2) if earlier else ():
        without_sizes(checkpoint(run, step))
    spoil(checkpoint(run, 2) / name)
    resumed = toy_run(run, BlueJudge(), Notes(), steps=2, save_every=1)
    state = resumed._checkpoints.load()
    assert state is not None
    assert state["step"] == 1
    assert set(state) == {"step", "identities", "updates"}
    told = capsys.readouterr().out
    assert f"skipped the checkpoint {checkpoint(run, 2)}, which cannot be read ({name}" in told


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_named(run: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (checkpoint(run, 2) / name).unlink()
    assert toy_run(run, BlueJudge(), Notes(), steps=2)._checkpoints.load() is not None
    assert f"checkpoint-2, which cannot be read (there is no {name})" in capsys.readouterr().out


def test_a_run_that_went_back_ends_as_if_it_had_not(run: Path, tmp_path: Path) -> None:
    """What could not be read is replaced, and never kept in the place of what can be."""
    cut(checkpoint(run, 2) / "trained.safetensors")
    notes = Notes()
    resumed = toy_run(run, BlueJudge(), notes, steps=4, save_every=1, keep=2)
    assert resumed.run() == 4
    assert [step["number"] for step in notes.steps] == [1, 2, 3]
    assert names(run) == ["checkpoint-3", "checkpoint-4"]
    whole = toy_run(tmp_path / "whole", BlueJudge(), Notes(), steps=4, save_every=1)
    whole.run()
    assert torch.equal(weights(resumed), weights(whole))


def test_an_unreadable_checkpoint_further_on_does_not_push_out_a_new_one(run: Path) -> None:
    checkpoint(run, 2).rename(checkpoint(run, 9))
    cut(checkpoint(run, 9) / "run_state.json")
    assert toy_run(run, BlueJudge(), Notes(), steps=2, save_every=1, keep=1).run() == 2
    assert names(run) == ["checkpoint-2"]


def test_what_cannot_be_read_is_not_kept_in_the_place_of_what_can_be(run: Path) -> None:
    cut(checkpoint(run, 2) / "run_state.json")
    assert toy_run(run, BlueJudge(), Notes(), steps=3, save_every=3, keep=2).run() == 3
    assert names(run) == ["checkpoint-1", "checkpoint-3"]


def test_the_newest_is_kept_even_where_one_further_on_can_be_read_again(run: Path) -> None:
    """A disk that reads it now and not the next time would leave none."""
    checkpoint(run, 2).rename(checkpoint(run, 9))
    state = checkpoint(run, 9) / "run_state.json"
    content = state.read_bytes()
    cut(state)
    checkpoints = toy_run(run, BlueJudge(), Notes(), steps=2, keep=1)._checkpoints
    checkpoints.load()
    state.write_bytes(content)
    checkpoints.save(2, {})
    assert names(run) == ["checkpoint-2"]


def test_where_none_can_be_read_nothing_is_begun_anew(run: Path) -> None:
    cut(checkpoint(run, 1) / "run_state.json")
    cut(checkpoint(run, 2) / "average.safetensors")
    notes = Notes()
    with pytest.raises(
        CheckpointError, match=r"can be read \(checkpoint-2, checkpoint-1\).*begin it again with --fresh"
    ):
        toy_run(run, BlueJudge(), notes, steps=2).run()
    assert notes.steps == []
    assert names(run) == ["checkpoint-1", "checkpoint-2"]


class _Ranks:
    """An accelerator of one process of two; what the other sends is given."""

    device = "cpu"

    def __init__(self, rank: int, others: list[int]) -> None:
        self.is_main_process = rank == 0
        self._others = iter(others)

    def gather(self, mine: torch.Tensor) -> torch.Tensor:
        other = torch.tensor([next(self._others)])
        return torch.cat([mine, other] if self.is_main_process else [other, mine])


def test_the_first_process_chooses_for_all(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that finds a newer one readable goes on from the older one too."""
    checkpoints = toy_run(run, BlueJudge(), Notes(), steps=2)._checkpoints
    checkpoints._accelerator = _Ranks(1, [2, 1])
    state = checkpoints.load()
    assert state is not None
    assert state["step"] == 1
    cut(checkpoint(run, 2) / "trained.safetensors")
    checkpoints._accelerator = _Ranks(1, [2, 1])
    assert checkpoints.load() == state
    assert capsys.readouterr().out == "", "the first process says so, once"
    checkpoints._accelerator = _Ranks(1, [2, -2])
    with pytest.raises(CheckpointError, match="--fresh"):
        checkpoints.load()


def test_what_breaks_while_it_is_read_says_what_to_do(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = toy_run(run, BlueJudge(), Notes(), steps=2)._checkpoints

    def broken(folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(checkpoints, "_optimisation", SimpleNamespace(load=broken))
    with pytest.raises(CheckpointError, match=r"checkpoint-2 looks whole .*Input/output error.*delete that folder"):
        checkpoints.load()


@contextmanager
def files_up_to(count: int) -> Iterator[None]:
    """A limit of the system's, in bytes: writing on fails, in the middle of a file, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_one_before_and_nothing_half_written(run: Path) -> None:
    size = (checkpoint(run, 2) / "optimizer.safetensors").stat().st_size
    with (
        files_up_to(size - 100),
        pytest.raises(
            CheckpointError,
            match=r"step 3 could not be written \(.+\); what was written of it is deleted, and the last whole one is "
            r".*checkpoint-2\. Make room and run the same command again",
        ),
    ):
        toy_run(run, BlueJudge(), Notes(), steps=4, save_every=1).run()
    assert names(run) == ["checkpoint-1", "checkpoint-2"]
    notes = Notes()
    assert toy_run(run, BlueJudge(), notes, steps=4, save_every=1).run() == 4
    assert [step["number"] for step in notes.steps] == [2, 3]


def test_a_disk_that_is_full_when_all_is_flushed_is_no_other(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems that put off where files go say so only then."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"step 3 .*No space left on device.* deleted, and .*checkpoint-2"):
        toy_run(run, BlueJudge(), Notes(), steps=3, save_every=1).run()
    assert names(run) == ["checkpoint-1", "checkpoint-2"]


def test_what_an_interruption_left_is_deleted_when_the_run_goes_on(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gigabytes, of a step that need not be saved again."""
    shutil.copytree(checkpoint(run, 2), run / "checkpoints" / "checkpoint-7.partial")
    checkpoints: Any = toy_run(run, BlueJudge(), Notes(), steps=2)._checkpoints
    assert checkpoints.load()["step"] == 2
    assert names(run) == ["checkpoint-1", "checkpoint-2"]
    assert "checkpoint-7.partial, which had not been written to its end" in capsys.readouterr().out


def test_files_of_other_formats_and_in_folders_count(tmp_path: Path) -> None:
    """DeepSpeed's, which say nothing of their own size."""
    save_file({"weight": torch.ones(2)}, tmp_path / WEIGHTS_FILE)
    save_file({"weight": torch.ones(2)}, tmp_path / AVERAGE_FILE)
    part = tmp_path / "deepspeed" / "rank_0.pt"
    part.parent.mkdir()
    part.write_bytes(b"state")
    write_state(tmp_path, {"step": 3, "averaged": 1})
    assert flaw_in(tmp_path) is None
    assert read_state(tmp_path) == {"step": 3, "averaged": 1}
    part.write_bytes(b"sta")
    assert flaw_in(tmp_path) == "deepspeed/rank_0.pt has 3 bytes of 5"
    part.unlink()
    assert flaw_in(tmp_path) == "there is no deepspeed/rank_0.pt"


@pytest.mark.parametrize("state", ["[]", '{"step": 3}', "\0\0"])
def test_what_is_no_state_of_a_run_is_a_flaw(state: str, tmp_path: Path) -> None:
    (tmp_path / "run_state.json").write_text(state)
    assert str(flaw_in(tmp_path)).startswith("run_state.json: ")
