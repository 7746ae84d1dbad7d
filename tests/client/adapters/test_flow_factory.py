"""Called as Flow-Factory calls a groupwise reward model, over a stand-in for its base classes.

The stand-in has what ``flow_factory/rewards/abc.py`` of May 2026 documents: the constructor's arguments, the two class
attributes, and an output with rewards and extra info. Settings that the base does not know are in ``extra_kwargs``.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from edit_rrm_client import UnscoredError
from tests.client.fake_service import judgement, judging_service

BASE = """
from dataclasses import dataclass
from typing import Any


@dataclass
class RewardModelOutput:
    rewards: Any
    extra_info: dict[str, Any] | None = None


class GroupwiseRewardModel:
    required_fields = ("image", "prompt")
    use_tensor_inputs = False

    def __init__(self, config, accelerator):
        self.config, self.accelerator, self.model = config, accelerator, None
"""
MODULE = "edit_rrm_client.adapters.flow_factory"
SOURCE = Image.new("RGB", (64, 64), "white")


def shade(light: int) -> Image.Image:
    return Image.new("RGB", (64, 64), (light, light, light))


def answer(edited: Image.Image) -> str:
    """The lighter, the better; of black images the judge babbles."""
    light = edited.getpixel((0, 0))[0]  # type: ignore[index]  # a tuple, as edited images are RGB
    return judgement(round(light / 25.5, 1)) if light else "I am not sure."


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with judging_service(answer) as started:
        yield started


@pytest.fixture
def reward_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The class as Flow-Factory resolves a dotted path, with the stand-in installed."""
    package = tmp_path / "flow_factory" / "rewards"
    package.mkdir(parents=True)
    (package / "abc.py").write_text(BASE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(MODULE).EditRrmReward
    for name in [name for name in sys.modules if name == MODULE or name.split(".")[0] == "flow_factory"]:
        del sys.modules[name]


@contextmanager
def made(kind: Any, **settings: Any) -> Iterator[Any]:
    reward = kind(SimpleNamespace(extra_kwargs=settings), SimpleNamespace())
    yield reward
    reward.close()


def test_a_group_comes_back_in_order_and_knows_what_was_measured(url: str, reward_class: Any) -> None:
    # Flow-Factory passes what the signature names, of what the fields require.
    assert set(inspect.signature(reward_class.__call__).parameters) - {"self"} == set(reward_class.required_fields)
    images = [shade(light) for light in (255, 0, 51, 102)]
    with made(reward_class, url=url, timeout=5.0) as reward:
        output = reward(prompt=["lighter"] * 4, image=images, condition_images=[[SOURCE]] * 4)
    assert output.rewards.tolist() == pytest.approx([1.0, 1.6 / 3, 0.2, 0.4])
    assert output.extra_info["mask"].tolist() == [True, False, True, True]
    assert output.extra_info["outcomes"][1] == "unparsable"


def test_nothing_measured_stops_the_run(url: str, reward_class: Any) -> None:
    with (
        made(reward_class, url=url, mode="think") as reward,
        pytest.raises(UnscoredError, match="2 of 2 edits were not scored"),
    ):
        reward(prompt=["x"] * 2, image=[shade(0)] * 2, condition_images=[[SOURCE]] * 2)


def test_what_cannot_be_judged_is_said(url: str, reward_class: Any) -> None:
    with made(reward_class, url=url) as reward, pytest.raises(ValueError, match=r"an edit has one source, not \[2\]"):
        reward(prompt=["x"], image=[shade(9)], condition_images=[[SOURCE, SOURCE]])
    with pytest.raises(ValueError, match="no judge to ask: say url:"), made(reward_class):
        pass
    with pytest.raises(ValueError, match="this reward does not have: urll"), made(reward_class, url=url, urll="x"):
        pass
