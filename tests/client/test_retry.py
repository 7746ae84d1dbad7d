"""When to send again: what may help, not before it may, and never all at once."""

from __future__ import annotations

import random
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_client.errors import ApiStatusError, BadResponseError, ConnectionFailedError, RewardClientError
from edit_rrm_client.retry import RetryPolicy, is_passing, retry_after_s

NOW = 1_700_000_000.0


def overloaded(retry_after: float | None = None) -> RewardClientError:
    return ApiStatusError("later", code="overloaded", status=429, retryable=True, retry_after=retry_after)


@given(st.integers(1, 40), st.integers(0, 2**32), st.floats(0.0, 90.0) | st.none())
def test_pauses_are_jittered_between_what_was_asked_for_and_a_bound(
    attempts: int, seed: int, retry_after: float | None
) -> None:
    pause = RetryPolicy().pause_s(overloaded(retry_after), attempts, random.Random(seed), stranger=False)
    assert pause is not None
    asked = retry_after or 0.0
    assert asked <= pause <= asked + min(8.0, 0.5 * 2.0 ** (attempts - 1))


def test_those_who_failed_together_do_not_come_back_together() -> None:
    pauses = [RetryPolicy().pause_s(overloaded(), 4, random.Random(seed), stranger=False) for seed in range(200)]
    assert min(filter(None, pauses)) < 0.2
    assert max(filter(None, pauses)) > 3.8
    assert len(set(pauses)) == 200


@pytest.mark.parametrize(
    "error",
    [
        ApiStatusError("wrong", code="invalid_request", status=422),
        ApiStatusError("unread", code="unparsable", status=502),
        BadResponseError("html", code="bad_response"),
        # Whatever these say of themselves.
        *(ApiStatusError("wrong", code="x", status=status, retryable=True) for status in (400, 413, 422)),
    ],
)
def test_what_cannot_get_better_is_not_sent_again(error: RewardClientError) -> None:
    assert RetryPolicy().pause_s(error, 1, random.Random(0), stranger=False) is None


def test_of_answers_that_do_not_say_it_the_status_does() -> None:
    assert all(is_passing(status) for status in (408, 409, 425, 429, 500, 502, 503, 504, 507, 520, 529))
    assert not any(is_passing(status) for status in (400, 401, 403, 404, 405, 413, 415, 422))


def test_a_date_that_no_clock_has_says_nothing() -> None:
    for text in ("Mon, 99999999999999999999 Jan 2020 00:00:00 GMT", "Mon, 01 Jan 99999 00:00:00 GMT", "soon"):
        assert retry_after_s({"retry-after": text}, NOW) is None


def test_attempts_end_where_they_are_limited_and_where_nobody_was_ever_there() -> None:
    gone = ConnectionFailedError("refused", code="connection_failed", retryable=True)

    def tries(policy: RetryPolicy, error: RewardClientError, *, stranger: bool) -> int:
        rng = random.Random(0)
        return next(n for n in range(1, 1_000) if n == 999 or policy.pause_s(error, n, rng, stranger=stranger) is None)

    assert tries(RetryPolicy(max_attempts=4), gone, stranger=False) == 4
    assert tries(RetryPolicy(), gone, stranger=True) == 3
    assert tries(RetryPolicy(), gone, stranger=False) == 999
    assert tries(RetryPolicy(), overloaded(), stranger=True) == 999


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


@given(st.text(max_size=40))
def test_no_header_breaks_the_reading(text: str) -> None:
    found = retry_after_s({"retry-after": text}, NOW)
    assert found is None or found >= 0.0
