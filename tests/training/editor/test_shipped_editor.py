"""nano-editor as it is shipped: it half works, is small, and goes by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from edit_rrm_training.editor.edit import load_editor
from edit_rrm_training.editor.editor_card import load_editor_card
from edit_rrm_training.editor.evaluation import evaluate_editor
from edit_rrm_training.editor.nano.pretrain import policy_recipe
from edit_rrm_training.editor.shipped import SHIPPED, editor_path


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_small_and_says_how_it_is_asked(name: str) -> None:
    folder = editor_path(name)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 16 * 2**20
    assert load_editor_card(folder).policy == policy_recipe(name)


def test_training_has_changed_the_transformer_alone() -> None:
    before, after = editor_path("nano"), editor_path("nano-grpo")
    files = {path.relative_to(before) for path in before.rglob("*") if path.is_file()}
    assert files == {path.relative_to(after) for path in after.rglob("*") if path.is_file()}
    differing = {str(file) for file in files if (before / file).read_bytes() != (after / file).read_bytes()}
    assert differing == {"edit_rrm_editor.json", "transformer/diffusion_pytorch_model.safetensors"}


@pytest.mark.slow
def test_it_half_works() -> None:
    report = evaluate_editor(load_editor("nano"), "validation", 60, steps=12)
    success = report.shares()["success"].value
    assert success is not None
    assert 0.2 < success < 0.8, "there has to be something to gain, and something to choose from"


def test_a_folder_of_its_name_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = editor_path("nano")
    monkeypatch.chdir(tmp_path)
    assert editor_path("nano") == shipped
    (tmp_path / "nano").mkdir()
    assert editor_path("nano") == Path("nano")
