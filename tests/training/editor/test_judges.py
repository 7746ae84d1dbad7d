"""A run's judges: asked who they are before anything else, each pinned, and the held-out one is never learnt from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from PIL import Image

from edit_rrm.card import JudgeCard
from edit_rrm.prompts import load_prompt_set
from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm_client import (
    AuthenticationError,
    ConnectionFailedError,
    Group,
    GroupResult,
    IdentityChangedError,
    RewardClientError,
)
from edit_rrm_service.app import create_app
from edit_rrm_service.engines.base import EngineFacts
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import LoadedJudge
from edit_rrm_training.editor.judges import Judges, as_state, check_same
from edit_rrm_training.editor.scoring import Judge, Scored, Scorer
from tests.client.fake_service import ScriptedEngine, judgement, running
from tests.training.editor.toy_run import PROMPTS, recipe

NOBODY = "http://127.0.0.1:9"


class _Writes(ScriptedEngine):
    """An engine that only writes."""

    @property
    def facts(self) -> EngineFacts:
        return EngineFacts(
            engine="transformers", model="writes", weights_digest="1" * 64, dtype="float32", supports_probe=False
        )


@contextmanager
def service(
    score: float, *, floor: float = 0.5, key: str | None = None, probes: bool = True, port: int = 0
) -> Iterator[str]:
    """A judge that gives every edit the same score, and is another one for every `floor`."""
    engine = (ScriptedEngine if probes else _Writes)(lambda _: judgement(score))
    loaded = LoadedJudge(engine, JudgeCard(name="scripted", label_mass_floor=floor), load_prompt_set("nano"))
    hashes = "" if key is None else hashlib.sha256(key.encode()).hexdigest()
    settings = Settings.model_validate({"sentinels": "off", "api_key_hashes": hashes})
    with running(create_app(settings, loader=lambda _: loaded), port) as url:
        yield url


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with service(8.0) as url:
        yield url


@pytest.fixture(scope="module")
def other() -> Iterator[str]:
    with service(4.0, floor=0.25) as url:
        yield url


def judges(rewards: dict[str, Any], judge: dict[str, Any] | None = None, **through: Any) -> Judges:
    return Judges(recipe(rewards=rewards, evaluation={"prompts": "toy", "judge": judge}), **through)


def scored(scorer: Scorer) -> Scored:
    edit = Image.new("RGB", (8, 8), "blue")
    return scorer.submit(PROMPTS[0], [edit, edit]).result()


def test_each_is_asked_as_the_recipe_says(url: str, other: str) -> None:
    through: list[tuple[Mode, Aggregation | None]] = []

    class Listens:
        def __init__(self, judge: Judge) -> None:
            self._judge = judge

        def score_groups(
            self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
        ) -> list[GroupResult]:
            through.append((mode, aggregation))
            return self._judge.score_groups(groups, mode=mode, aggregation=aggregation)

    others = [
        {"name": "probed", "weight": 0.5, "mode": "probe", "aggregation": "min"},
        {"name": "second", "weight": 2.0, "url": other},
    ]
    rewards = {"url": url, "weight": 3.0, "others": others}
    with judges(rewards, {"mode": "probe", "aggregation": "product"}, through=Listens) as found:
        identities = found.identities()
        assert list(identities) == ["judge", "probed", "second", "held_out_judge"]
        assert identities["judge"] == identities["probed"] == identities["held_out_judge"] != identities["second"]
        rewarded = scored(found.scorer([]))
        # P(yes) of both principles is 0.9.
        assert rewarded.result.rewards == pytest.approx([0.8, 0.8])
        assert {name: values[0] for name, values in rewarded.extras.items()} == pytest.approx(
            {"probed": 0.9, "second": 0.4}
        )
        assert rewarded.rewards == pytest.approx([3.0 * 0.8 + 0.5 * 0.9 + 2.0 * 0.4] * 2)
        assert sorted(through, key=str) == [(Mode.PROBE, Aggregation.MIN), (Mode.THINK, None), (Mode.THINK, None)]
        # Nothing stands before the judge that is to tell the truth.
        (name, held_out), *rest = found.held_out().items()
        assert (name, rest) == ("held_out_judge", [])
        assert scored(held_out).rewards == pytest.approx([0.81, 0.81])
        assert len(through) == 3


def test_without_a_held_out_judge_there_is_none(url: str) -> None:
    with judges({"url": url}) as found:
        assert list(found.identities()) == ["judge"]
        assert found.held_out() == {}


@pytest.mark.parametrize("place", ["first", "other", "held out"])
def test_one_that_is_not_there_is_named(place: str, url: str) -> None:
    rewards: dict[str, Any] = {"url": NOBODY if place == "first" else url}
    if place == "other":
        rewards["others"] = [{"name": "second", "url": NOBODY}]
    judge = {"name": "witness", "url": NOBODY} if place == "held out" else None
    name = {"first": "judge", "other": "second", "held out": "witness"}[place]
    with (
        judges(rewards, judge) as found,
        pytest.raises(ConnectionFailedError, match=rf"^{name}: {NOBODY} did not answer \(.*"),
    ):
        found.identities()


def test_one_that_wants_another_key_is_named_and_keys_go_to_their_own_services(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "mine")
    with service(4.0, floor=0.25, key="mine") as closed:
        # The key that was named for the first service is not sent to the second.
        rewards = {"url": url, "api_key_env": "MY_KEY"}
        with judges(rewards, {"url": closed}) as found, pytest.raises(AuthenticationError) as caught:
            found.identities()
        assert str(caught.value).startswith(f"held_out_judge at {closed} wants a key (")
        assert str(caught.value).endswith("set EDIT_RRM_API_KEY to one that it accepts")
        assert "mine" not in str(caught.value)
        wrong = closed.replace("//", "//user:not-mine@")
        with judges(rewards, {"url": wrong}) as found, pytest.raises(AuthenticationError) as caught:
            found.identities()
        assert "not-mine" not in str(caught.value)
        with judges(rewards, {"url": closed, "api_key_env": "MY_KEY"}) as found:
            assert len(found.identities()) == 2
        # The same service in another mode is asked with its key.
        with judges({"url": closed, "api_key_env": "MY_KEY"}, {"mode": "probe"}) as found:
            assert len(found.identities()) == 2


def test_a_url_that_is_none_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(RewardClientError, match="'judge:8000' is not an HTTP URL"):
        judges({"url": NOBODY}, {"url": "judge:8000"})


def test_a_judge_that_cannot_be_probed_is_refused_at_the_start() -> None:
    with (
        service(5.0, probes=False) as writes,
        judges({"url": writes}, {"mode": "probe"}) as found,
        pytest.raises(ValueError, match=r"held_out_judge cannot be probed.*set mode: think"),
    ):
        found.identities()


def test_a_held_out_judge_that_is_learnt_from_is_refused(url: str, other: str) -> None:
    # What the service would do by itself is the same, said or not.
    own = r"held_out_judge \(evaluation\.judge\) is judge, which is trained on"
    with judges({"url": url}, {"aggregation": "model"}) as found, pytest.raises(ValueError, match=own):
        found.identities()
    told = r"held_out_judge \(evaluation\.judge\) is {}, which is trained on, asked in the same way"
    with judges({"url": url}, {"mode": "think"}) as found, pytest.raises(ValueError, match=told.format("judge")):
        found.identities()
    others = [{"name": "second", "url": other, "mode": "probe"}]
    # Another service of the same judge is the same judge.
    with service(4.0, floor=0.25) as again, judges({"url": url, "others": others}, {"url": again}) as found:
        assert len(found.identities()) == 3
    with (
        service(4.0, floor=0.25) as again,
        judges({"url": url, "others": others}, {"url": again, "mode": "probe"}) as found,
        pytest.raises(ValueError, match=told.format("second")),
    ):
        found.identities()


@pytest.mark.parametrize("place", ["other", "held out"])
def test_each_is_pinned_for_the_run(place: str, url: str) -> None:
    with ExitStack() as before:
        second = before.enter_context(service(4.0, floor=0.25))
        other, judge = {"name": "second", "url": second}, {"url": second}
        rewards = {"url": url, "others": [other] if place == "other" else []}
        with judges(rewards, None if place == "other" else judge) as found:
            found.identities()
            scorer = found.scorer([]) if place == "other" else found.held_out()["held_out_judge"]
            assert scored(scorer).mask.all()
            before.close()
            with (
                service(9.0, floor=0.125, port=int(second.rpartition(":")[2])),
                pytest.raises(IdentityChangedError),
            ):
                scored(scorer)


def test_what_a_checkpoint_remembers_is_compared() -> None:
    both = {"judge": "a", "held_out_judge": "b"}
    check_same(as_state(both), both)
    with pytest.raises(IdentityChangedError, match="c is judging, and the run began with a"):
        check_same(as_state(both), both | {"judge": "c"})
    with pytest.raises(IdentityChangedError, match="c is judging as held_out_judge, and the run began with b"):
        check_same(as_state(both), both | {"held_out_judge": "c"})
    with pytest.raises(IdentityChangedError, match="no judge is judging as held_out_judge, and the run began with b"):
        check_same(as_state(both), {"judge": "a"})
    # Runs that had one judge remembered it so.
    check_same({"identity": "a"}, {"judge": "a"})
    with pytest.raises(IdentityChangedError, match="c is judging, and the run began with a"):
        check_same({"identity": "a"}, {"judge": "c"})
