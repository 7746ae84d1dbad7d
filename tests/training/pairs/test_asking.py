"""Asking a service about a group: what is sent, what a failure costs, and that one judge answers throughout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward
from edit_rrm.wire import MAX_EDITS, Identity
from edit_rrm_client import ApiStatusError, ConnectionFailedError, GroupResult, RewardClientError
from edit_rrm_client.images import encode_image
from edit_rrm_training.judge.pairs.asking import EditScore, GroupAsker, JudgeChangedError, Question, resized, sendable
from edit_rrm_training.judge.pairs.grouping import Group
from tests.training.pairs.datasets_on_disk import png
from tests.training.pairs.pictures import assembled, pair, picture

IDENTITY = "a" * 64
OVERLOADED = ApiStatusError("overloaded: later", code="overloaded", status=429, retryable=True)
BAD_SOURCE = ApiStatusError("bad_image: too large", code="bad_image", status=422, param="source")


def scored(score: float, std: float | None = None) -> Reward:
    return Reward(
        outcome=Outcome.SCORED,
        score=score,
        reward=score / 10,
        average=1.0,
        aggregation=Aggregation.MODEL,
        mode=Mode.THINK,
        score_std=std,
    )


def unscored(outcome: Outcome) -> Reward:
    return Reward(outcome=outcome, error=ErrorDetail(code=outcome.value, message="no verdicts"))


class FakeApi:
    """Answers what it was given, in order; the last answer again and again."""

    def __init__(self, *answers: Sequence[Reward] | Exception, identity: str = IDENTITY) -> None:
        self._answers = list(answers)
        self._identity = identity
        self.asked: list[dict[str, Any]] = []

    def identity(self) -> Identity:
        return Identity(identity=self._identity, name="fake", facts={})

    def rewards(
        self,
        instruction: str,
        source: bytes,
        edited: Sequence[bytes],
        *,
        principles: Sequence[Principle] | None = None,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        samples: int = 1,
    ) -> GroupResult:
        self.asked.append(dict(locals()))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return GroupResult(tuple(answer), identity=self._identity)


def one_group(*pairs: Any) -> Group:
    (group,) = assembled(*(pairs or [pair("blue", "green")])).groups
    return group


def ask(api: FakeApi, group: Group, wait: Callable[[float], None] = lambda _: None, **question: Any) -> list[EditScore]:
    return GroupAsker(api, Question(**question), IDENTITY, wait=wait)(group)


def test_both_edits_of_a_pair_are_one_request() -> None:
    api = FakeApi([scored(8, 0.5), unscored(Outcome.UNPARSABLE)])
    found = ask(api, one_group(), mode=Mode.THINK, samples=4, aggregation=Aggregation.MEAN)
    assert found == [EditScore(Outcome.SCORED, 8, 0.5), EditScore(Outcome.UNPARSABLE, message="no verdicts")]
    (asked,) = api.asked
    assert [encode_image(image) for image in asked["edited"]] == [png("blue"), png("green")]
    assert encode_image(asked["source"]) == png("red"), "files go out as they are"
    assert (asked["instruction"], asked["samples"], asked["aggregation"]) == ("make it blue", 4, "mean")
    assert asked["principles"] is None


def test_principles_are_passed_on() -> None:
    principles = (Principle(question="Is it blue?", category=Category.INSTRUCTION_FOLLOWING),)
    api = FakeApi([scored(8), scored(7)])
    ask(api, one_group(pair("blue", "green", principles=principles)), mode=Mode.PROBE)
    assert (api.asked[0]["principles"], api.asked[0]["mode"]) == (principles, "probe")


def test_a_source_that_the_service_refuses_costs_its_group() -> None:
    found = ask(FakeApi(BAD_SOURCE), one_group())
    assert [(each.outcome, each.score) for each in found] == [(Outcome.BAD_IMAGE, None)] * 2
    assert found[0].message == "bad_image: too large"


@pytest.mark.parametrize("error", [OVERLOADED, ConnectionFailedError("gone", code="connection_failed", retryable=True)])
def test_a_service_that_is_busy_or_away_is_asked_again_after_a_while(error: RewardClientError) -> None:
    waited: list[float] = []
    api = FakeApi(error, error, [scored(8), scored(7)])
    assert [each.score for each in ask(api, one_group(), waited.append)] == [8, 7]
    assert waited == sorted(waited)
    assert len(waited) == 2


def test_patience_ends() -> None:
    with pytest.raises(ConnectionFailedError):
        ask(FakeApi(ConnectionFailedError("gone", code="connection_failed", retryable=True)), one_group())
    found = ask(FakeApi(OVERLOADED), one_group())
    assert [each.outcome for each in found] == [Outcome.OVERLOADED] * 2


def test_a_request_that_is_wrong_stops_the_run_at_once() -> None:
    api = FakeApi(ApiStatusError("unauthorised: key", code="unauthorised", status=401))
    with pytest.raises(ApiStatusError):
        ask(api, one_group())
    assert len(api.asked) == 1


def test_another_judge_stops_the_run() -> None:
    with pytest.raises(JudgeChangedError, match="it was aaaaaaaaaaaa, now bbbbbbbbbbbb answers"):
        ask(FakeApi([scored(8), scored(7)], identity="b" * 64), one_group())


def test_more_edits_than_a_request_takes_are_several_requests() -> None:
    group = one_group(*(pair(f"#{index:06x}", "#ffffff") for index in range(MAX_EDITS + 2)))
    api = FakeApi([scored(1)] * MAX_EDITS, [scored(2)] * 3)
    assert [each.score for each in ask(api, group)] == [1.0] * MAX_EDITS + [2.0] * 3
    assert [len(asked["edited"]) for asked in api.asked] == [MAX_EDITS, 3]


TOO_LARGE = ApiStatusError("body_too_large: 48 MiB", code="body_too_large", status=413)
TOO_MANY = ApiStatusError("too_many_edits: 1", code="too_many_edits", status=422)


@pytest.mark.parametrize("error", [TOO_LARGE, TOO_MANY])
def test_what_is_too_much_together_is_asked_in_parts(error: ApiStatusError) -> None:
    group = one_group(pair("blue", "green"), pair("blue", "black"))
    api = FakeApi(error, [scored(1)], error, [scored(2)], [scored(3)])
    assert [each.score for each in ask(api, group)] == [1, 2, 3]
    assert [len(asked["edited"]) for asked in api.asked] == [3, 1, 2, 1, 1]


def test_an_edit_that_is_too_large_alone_costs_itself() -> None:
    found = ask(FakeApi(TOO_LARGE, TOO_LARGE, [scored(2)]), one_group())
    assert [(each.outcome, each.score) for each in found] == [(Outcome.BAD_IMAGE, None), (Outcome.SCORED, 2)]


def test_edits_are_resized_where_the_benchmark_says_so() -> None:
    wide = picture("blue", (64, 32))
    group = one_group(pair("green", "black"))
    group = Group(group.key, group.instruction, group.source, (wide, picture("green")), group.comparisons, None)
    api = FakeApi([scored(1), scored(2)])
    ask(api, group, resize_edits=True)
    one, two = api.asked[0]["edited"]
    with Image.open(BytesIO(one)) as image:
        assert (image.format, image.size) == ("WEBP", (32, 32))
    assert two == png("green"), "one that fits goes out as it is"
    ask(api, group)
    assert api.asked[1]["edited"][0] == png("blue", (64, 32))


def test_a_photo_on_its_side_is_resized_upright() -> None:
    photo, lying = BytesIO(), Image.Exif()
    lying[0x0112] = 6
    Image.new("RGB", (64, 32), "blue").save(photo, "JPEG", exif=lying)
    assert resized(photo.getvalue(), png("red", (32, 64))) == photo.getvalue(), "it is 32 by 64 to whoever looks at it"
    smaller = resized(photo.getvalue(), png("red", (16, 32)))
    assert isinstance(smaller, Image.Image)
    assert smaller.size == (16, 32)


def test_formats_that_the_service_does_not_take_become_lossless_webp() -> None:
    assert sendable(png("blue")) == png("blue")
    assert encode_image(sendable(png("blue", kind="BMP")))[8:12] == b"WEBP"
    palette = BytesIO()
    Image.new("P", (4, 4)).save(palette, "GIF")
    assert encode_image(sendable(palette.getvalue()))[8:12] == b"WEBP"
    assert encode_image(resized(palette.getvalue(), png("red")))[8:12] == b"WEBP"
