"""`train_editor` with its transformer's blocks sharded over two processes, by FSDP2."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from edit_rrm_training.editor.edit import load_editor, make_edits
from tests.client.fake_service import judgement, judging_service
from tests.training.editor.pipelines import INSTRUCTIONS
from tests.training.editor.processes import raised, run_together
from tests.training.editor.sharded_runs import begun_anew, editor
from tests.training.editor.test_run import recipe
from tests.training.editor.toy_run import BlueJudge, Notes, toy_run

pytestmark = pytest.mark.slow


def redness_of_a_corner(image: Image.Image) -> str:
    """Differs between edits, which the brightness of random pictures hardly does."""
    pixel = image.convert("RGB").getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return judgement(round(pixel[0] / 25.5, 1))


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with judging_service(redness_of_a_corner) as url:
        yield url


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    Image.new("RGB", (32, 32), "gray").save(folder / "a.png")
    path = folder / "prompts.jsonl"
    lines = [json.dumps({"instruction": text, "source": "a.png"}) + "\n" for text in INSTRUCTIONS]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def fields(model: Path, prompts: Path, url: str, lora: bool, dtype: str = "float32") -> dict[str, Any]:
    made = recipe(model, prompts, url, report_to=[], evaluation={"prompts": None}).model_dump(mode="json")
    made["policy"] |= {"dtype": dtype} | ({} if lora else {"lora": None})
    return made | ({} if lora else {"kl": 0.0})


def trained(how: str, processes: int, made: dict[str, Any], out: Path) -> dict[str, torch.Tensor]:
    """What was saved of an editor that was trained by so many processes."""
    codes = run_together(processes, editor, how, made, out, log=out / "raised", ACCELERATE_USE_CPU="1")
    assert codes == [0] * processes, raised(out / "raised")
    files = [*(out / "editor").glob("*.safetensors"), *(out / "editor").glob("transformer/*.safetensors")]
    return {name: value for path in files for name, value in load_file(path).items()}


@pytest.mark.parametrize(("lora", "dtype"), [(True, "float32"), (True, "bfloat16"), (False, "float32")])
def test_the_editor_is_that_of_one_process(
    lora: bool, dtype: str, model: Path, prompts: Path, service: str, tmp_path: Path
) -> None:
    made = fields(model, prompts, service, lora, dtype)
    ours = trained("fsdp", 2, made, tmp_path / "two")
    theirs = trained("alone", 1, made, tmp_path / "one")
    assert ours.keys() == theirs.keys()
    assert {value.dtype for value in ours.values()} == {torch.float32}
    assert all(torch.allclose(ours[name], theirs[name], atol=2e-6, rtol=0.0) for name in ours)
    # It learnt something, and can be used.
    assert all(value.abs().max() > 0.0 for value in ours.values())
    with Image.open(prompts.parent / "a.png") as source:
        source.load()
        (edit,) = make_edits(load_editor(tmp_path / "two" / "editor"), source, INSTRUCTIONS[0], steps=1)
    assert edit.size == source.size


def test_no_process_goes_by_what_the_first_is_deleting(
    model: Path, prompts: Path, service: str, tmp_path: Path
) -> None:
    """Checkpoints of another judge's run, which is begun anew."""
    toy_run(tmp_path, BlueJudge(), Notes(), steps=1, save_every=1, identity="blue").run()
    made = fields(model, prompts, service, lora=True) | {"steps": 1}
    codes = run_together(2, begun_anew, made, tmp_path, log=tmp_path / "raised", ACCELERATE_USE_CPU="1")
    assert codes == [0, 0], raised(tmp_path / "raised")
    assert (tmp_path / "editor").is_dir()
