"""A group's rewards: measured or masked, in order, by one judge and one set of principles, whatever comes between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.verdicts import Outcome, Reward
from edit_rrm.wire import MAX_EDITS
from edit_rrm_client.call import NoResponse, Send
from edit_rrm_client.errors import (
    ApiStatusError,
    AuthenticationError,
    BadResponseError,
    ConnectionFailedError,
    IdentityChangedError,
    RewardClientError,
    UnscoredError,
)
from edit_rrm_client.group import GroupResult, OnError, Wishes, score
from edit_rrm_client.protocol import HttpResponse
from tests.client.steps import (
    BROKEN,
    IDENTITY,
    OTHER,
    PRINCIPLES,
    REFUSED,
    Wire,
    edits_of,
    failed,
    fields_of,
    in_turn,
    judged,
    scored,
    unscored,
)

TIMED_OUT = unscored(Outcome.TIMED_OUT, retryable=True)
UNPARSABLE = unscored(Outcome.UNPARSABLE)


def ask(wire: Wire, count: int, on_error: OnError = "mask") -> GroupResult:
    edits = [str(index).encode() for index in range(count)]
    steps = score(
        wire.session, "make it blue", b"source", edits, None, Wishes(), deadline=wire.deadline, on_error=on_error
    )
    return wire.take(steps)


def test_a_reward_is_measured_or_masked() -> None:
    result = ask(Wire(in_turn(judged(scored(7.5), UNPARSABLE, scored(0.0)))), 3)
    assert result.rewards.dtype == np.float32
    assert result.rewards.tolist()[::2] == [0.75, 0.0]
    assert np.isnan(result.rewards[1])
    assert result.mask.tolist() == [True, False, True]
    assert result.outcomes == (Outcome.SCORED, Outcome.UNPARSABLE, Outcome.SCORED)
    assert (result.identity, result.principles, result.error) == (IDENTITY, PRINCIPLES, None)


def test_only_what_failed_and_may_not_fail_again_is_sent_again() -> None:
    wire = Wire(in_turn(judged(scored(1.0), TIMED_OUT, UNPARSABLE, TIMED_OUT), judged(scored(2.0), scored(3.0))))
    result = ask(wire, 4)
    assert [edits_of(step) for step in wire.sent] == [[b"0", b"1", b"2", b"3"], [b"1", b"3"]]
    assert [one.score for one in result.results] == [1.0, 2.0, None, 3.0]
    assert result.attempts == 2
    # By the principles and the judge of the first answer.
    assert fields_of(wire.sent[1])["principles"] == [one.model_dump(mode="json") for one in PRINCIPLES]
    assert wire.sent[1].headers["x-expect-identity"] == IDENTITY


def test_tries_of_one_request_share_a_key_and_another_body_has_another() -> None:
    wire = Wire(in_turn(BROKEN, judged(TIMED_OUT, scored(1.0)), judged(scored(2.0))))
    ask(wire, 2)
    keys = [step.headers["idempotency-key"] for step in wire.sent]
    assert keys[0] == keys[1] != keys[2]
    other = Wire(in_turn(judged(scored(1.0))))
    ask(other, 1)
    assert other.sent[0].headers["idempotency-key"] not in keys


def test_a_group_beyond_one_request_is_sent_in_several() -> None:
    count = 2 * MAX_EDITS + 5
    wire = Wire(lambda step: judged(*(scored(int(edit) % 10) for edit in edits_of(step))))
    result = ask(wire, count)
    assert [len(edits_of(step)) for step in wire.sent] == [MAX_EDITS, MAX_EDITS, 5]
    assert [one.score for one in result.results] == [index % 10 for index in range(count)]
    assert wire.pauses == []


MISMATCH = failed(409, "identity_mismatch")


@pytest.mark.parametrize("honest", [True, False])
def test_a_judge_that_changes_between_two_tries_of_a_group_is_not_mixed_in(honest: bool) -> None:
    """Unpinned, the new judge judges all of the group again; whether it says that it is another, or only is."""
    new = judged(scored(3.0), scored(4.0), identity=OTHER)
    refusal = MISMATCH if honest else judged(scored(9.0), identity=OTHER)
    wire = Wire(in_turn(judged(scored(1.0), TIMED_OUT), refusal, new))
    result = ask(wire, 2)
    assert [one.score for one in result.results] == [3.0, 4.0]
    assert result.identity == OTHER
    assert [len(edits_of(step)) for step in wire.sent] == [2, 1, 2]
    with pytest.raises(IdentityChangedError):
        ask(Wire(in_turn(judged(scored(1.0), TIMED_OUT), refusal, new), expect=IDENTITY), 2)


def test_replicas_of_different_judges_are_told_so() -> None:
    names = iter("abcdefgh")

    def another(step: Send) -> HttpResponse:
        return judged(*[TIMED_OUT] * len(edits_of(step)), identity=next(names) * 64)

    with pytest.raises(IdentityChangedError, match="serve different judges"):
        ask(Wire(another), 2)


def test_results_of_another_judge_than_the_answers_are_no_answer() -> None:
    lie = judged(scored(1.0, identity=OTHER), scored(2.0, identity=IDENTITY))
    with pytest.raises(BadResponseError, match="came in an answer of"):
        ask(Wire(in_turn(lie)), 2)


def test_a_group_that_is_too_large_for_one_request_goes_in_smaller_ones() -> None:
    """A service's limit is in bytes, and what a proxy allows is nobody's to know."""

    def limited(step: Send) -> HttpResponse:
        edits = edits_of(step)
        return judged(*(scored(float(edit)) for edit in edits)) if len(edits) <= 3 else failed(413, "body_too_large")

    wire = Wire(limited)
    result = ask(wire, 10)
    assert [one.score for one in result.results] == [float(index) for index in range(10)]
    assert max(len(edits_of(step)) for step in wire.sent[2:]) <= 3
    alone = ask(Wire(in_turn(failed(413, "body_too_large"))), 2)
    assert alone.outcomes == (Outcome.BAD_IMAGE,) * 2
    assert [one.error.param for one in alone.results if one.error] == ["edited[0]", "edited[1]"]


@pytest.mark.parametrize(
    ("answer", "outcome", "code"),
    [
        (BROKEN, Outcome.TIMED_OUT, "connection_failed"),
        (failed(429, "overloaded", retryable=True), Outcome.OVERLOADED, "overloaded"),
        (failed(429, "rate_limited", retryable=True), Outcome.OVERLOADED, "rate_limited"),
        (failed(503, "draining", retryable=True), Outcome.TIMED_OUT, "draining"),
        (NoResponse("late", "no answer"), Outcome.TIMED_OUT, "no_answer_in_time"),
        (HttpResponse(502, b"<html>"), Outcome.TIMED_OUT, "bad_response"),
        (failed(422, "bad_image"), Outcome.BAD_IMAGE, "bad_image"),
    ],
)
def test_a_group_that_nobody_judged_is_masked_and_says_why(
    answer: HttpResponse | NoResponse, outcome: Outcome, code: str
) -> None:
    wire = Wire(in_turn(answer), timeout_s=20.0)
    result = ask(wire, 3)
    assert result.outcomes == (outcome,) * 3
    assert {one.error.code for one in result.results if one.error} == {code}
    assert not result.mask.any()
    assert np.isnan(result.rewards).all()
    assert result.error is not None
    assert result.error.code == code
    assert result.attempts == len(wire.sent)
    with pytest.raises(RewardClientError):
        result.raise_for_error()
    with pytest.raises(UnscoredError) as caught:
        ask(Wire(in_turn(answer), timeout_s=20.0), 3, "raise")
    assert caught.value.result.outcomes == (outcome,) * 3


@pytest.mark.parametrize("on_error", ["mask", "raise"])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failed(401, "unauthorised"), AuthenticationError),
        (failed(422, "invalid_request"), ApiStatusError),
        (judged(scored(1.0)), BadResponseError),
        (HttpResponse(200, b"{}"), BadResponseError),
        (REFUSED, ConnectionFailedError),
    ],
    ids=["key", "request", "item count", "garbage", "nobody there"],
)
def test_what_is_wrong_with_the_whole_run_is_raised(
    answer: HttpResponse | NoResponse, kind: type[RewardClientError], on_error: OnError
) -> None:
    with pytest.raises(kind):
        ask(Wire(in_turn(answer)), 3, on_error)


def test_errors_name_edits_by_their_place_in_the_whole_group() -> None:
    bad = unscored(Outcome.BAD_IMAGE, param="edited[1]")
    wire = Wire(in_turn(judged(TIMED_OUT, scored(1.0), TIMED_OUT), judged(scored(2.0), bad)))
    error = ask(wire, 3).results[2].error
    assert error is not None
    assert error.param == "edited[2]"


FATES = st.sampled_from(["scored", "unparsable", "timed_out", "engine_error"])


@given(st.lists(st.lists(FATES, min_size=1, max_size=3), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_every_edit_is_measured_once_or_masked_and_order_is_kept(fates: Sequence[list[str]], chance: object) -> None:
    """Each edit goes through fates of its own, one a try; the last stays. Connections break in between."""
    tries = [0] * len(fates)
    measured = [0] * len(fates)
    count = 0

    def script(step: Send) -> HttpResponse | NoResponse:
        nonlocal count
        count += 1
        if count % 3 == 2:
            return BROKEN
        results: list[Reward] = []
        for edit in edits_of(step):
            index = int(edit)
            fate = fates[index][min(tries[index], len(fates[index]) - 1)]
            tries[index] += 1
            measured[index] += fate == "scored"
            if fate == "scored":
                results.append(scored(index % 10))
            else:
                results.append(unscored(Outcome(fate), retryable=fate != "unparsable"))
        return judged(*results)

    result = ask(Wire(script), len(fates))
    for index, one in enumerate(result.results):
        assert bool(result.mask[index]) is (measured[index] == 1), "once, and never again"
        assert one.score == (index % 10 if measured[index] else None)
    assert np.array_equal(np.isnan(result.rewards), ~result.mask)
