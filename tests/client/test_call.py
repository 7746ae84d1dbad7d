"""One call: tried again where that may help, inside its deadline, and ended by a typed error where it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm.wire import RewardsResponse
from edit_rrm_client.call import NoResponse, exchange
from edit_rrm_client.errors import (
    ApiStatusError,
    BadResponseError,
    ConnectionFailedError,
    DeadlineError,
    IdentityChangedError,
    RewardClientError,
)
from edit_rrm_client.protocol import HttpRequest, HttpResponse
from tests.client.steps import BROKEN, IDENTITY, OTHER, REFUSED, Wire, failed, in_turn, judged, scored

REQUEST = HttpRequest("/v1/rewards", [("request", (None, b"{}", "application/json"))])
GOOD = judged(scored(5.0))
DRAINING = failed(503, "draining", retryable=True, **{"retry-after": "5"})
OVERLOADED = failed(429, "overloaded", retryable=True, **{"retry-after": "10"})
LATE = NoResponse("late", "no answer")
PROXY = HttpResponse(502, b"<html>Bad Gateway</html>")
GARBAGE = HttpResponse(200, b"{not json")

AGAIN: dict[str, HttpResponse | NoResponse] = {
    "draining": DRAINING,
    "429": OVERLOADED,
    "proxy": PROXY,
    "reset": BROKEN,
    "late": LATE,
}
NEVER: dict[str, tuple[HttpResponse | NoResponse, type[RewardClientError]]] = {
    "422": (failed(422, "invalid_request"), ApiStatusError),
    "413": (failed(413, "body_too_large"), ApiStatusError),
    "400": (HttpResponse(400, b"no"), BadResponseError),
    "garbage": (GARBAGE, BadResponseError),
    "unreadable": (NoResponse("unreadable", "bad gzip"), BadResponseError),
    "another judge": (failed(409, "identity_mismatch"), IdentityChangedError),
}


def call(wire: Wire) -> RewardsResponse:
    return wire.take(exchange(wire.session, RewardsResponse, REQUEST, deadline=wire.deadline, group="g"))


@pytest.mark.parametrize("first", AGAIN.values(), ids=AGAIN.keys())
def test_what_may_get_better_is_sent_again(first: HttpResponse | NoResponse) -> None:
    wire = Wire(in_turn(first, first, GOOD), attempt_timeout_s=2.0)
    assert call(wire).results[0].score == 5.0
    assert len(wire.sent) == 3
    assert sum(wire.session.counters.stats(0, 0).retries.values()) == 2


@pytest.mark.parametrize(("only", "kind"), NEVER.values(), ids=NEVER.keys())
def test_what_cannot_get_better_is_not(only: HttpResponse | NoResponse, kind: type[RewardClientError]) -> None:
    wire = Wire(in_turn(only, GOOD))
    with pytest.raises(kind) as caught:
        call(wire)
    assert (len(wire.sent), caught.value.attempts, wire.pauses) == (1, 1, [])


def test_a_service_is_given_the_time_it_asks_for() -> None:
    wire = Wire(in_turn(OVERLOADED, GOOD))
    call(wire)
    assert 10.0 <= wire.pauses[0] <= 10.5


def test_who_asks_for_more_time_than_there_is_is_not_waited_for() -> None:
    wire = Wire(in_turn(OVERLOADED, GOOD), timeout_s=5.0)
    with pytest.raises(DeadlineError, match="allow more with timeout=SECONDS") as caught:
        call(wire)
    assert (wire.pauses, caught.value.status, caught.value.code) == ([], 429, "overloaded")
    assert isinstance(caught.value.__cause__, ApiStatusError)


@given(st.lists(st.sampled_from(list(AGAIN.values())), max_size=40), st.floats(0.05, 30.0), st.floats(0.05, 30.0))
def test_no_call_takes_longer_than_it_may(
    answers: list[HttpResponse | NoResponse], timeout: float, attempt: float
) -> None:
    wire = Wire(in_turn(*answers, LATE), timeout_s=timeout, attempt_timeout_s=attempt)
    wire.session.met.add("http://one")
    began = wire.now
    with pytest.raises(ConnectionFailedError) as caught:
        call(wire)
    assert isinstance(caught.value, DeadlineError)
    assert wire.now - began <= timeout + 0.002
    assert caught.value.attempts == len(wire.sent)
    # The service does not work past it either.
    assert all(int(step.headers["x-deadline-ms"]) <= max(1, timeout * 1e3) for step in wire.sent)


def test_a_server_that_was_never_there_is_given_up_soon_and_one_that_was_is_waited_for() -> None:
    never = Wire(in_turn(REFUSED))
    with pytest.raises(ConnectionFailedError, match="edit-rrm serve") as caught:
        call(never)
    assert (caught.value.code, caught.value.attempts) == ("connection_failed", 3)
    restarted = Wire(in_turn(GOOD, *[REFUSED] * 8, GOOD))
    call(restarted)
    assert call(restarted).results[0].score == 5.0
    assert len(restarted.sent) == 10


def test_one_that_takes_connections_and_breaks_them_off_is_there() -> None:
    wire = Wire(in_turn(*[BROKEN] * 8, GOOD))
    assert call(wire).results[0].score == 5.0


def test_where_there_is_another_server_it_is_asked_at_once() -> None:
    urls = ("http://one", "http://two", "http://three")
    wire = Wire(lambda step: GOOD if step.url == "http://two" else REFUSED, urls=urls)
    for group in range(30):
        wire.take(exchange(wire.session, RewardsResponse, REQUEST, deadline=wire.deadline, group=str(group)))
    assert set(wire.pauses) <= {0.0}
    # Once each finds out; after that the two are left alone for a while.
    assert sum(step.url != "http://two" for step in wire.sent) <= 8


@pytest.mark.parametrize("expect", [IDENTITY, "first"])
def test_a_pinned_judge_is_asked_for_and_another_one_refused(expect: str) -> None:
    wire = Wire(in_turn(GOOD, GOOD, judged(scored(5.0), identity=OTHER)), expect=expect)
    for _ in range(2):
        wire.session.check_identity(call(wire).identity)
    assert wire.sent[0].headers.get("x-expect-identity") == (None if expect == "first" else IDENTITY)
    assert wire.sent[1].headers["x-expect-identity"] == IDENTITY
    with pytest.raises(IdentityChangedError, match="Start a new run"):
        wire.session.check_identity(call(wire).identity)


def test_tries_are_limited_where_that_is_asked_for() -> None:
    wire = Wire(in_turn(DRAINING), max_attempts=4)
    with pytest.raises(ApiStatusError) as caught:
        call(wire)
    assert (caught.value.attempts, len(wire.sent), caught.value.code) == (4, 4, "draining")
    assert caught.value.elapsed == pytest.approx(sum(wire.pauses) + 0.4)


def test_waiting_for_room_costs_time_and_no_tries() -> None:
    wire = Wire(in_turn(GOOD), timeout_s=10.0, attempt_timeout_s=4.0, max_attempts=1, waits=7.0)
    assert call(wire).results[0].score == 5.0
    # The service hears what is left of the time, and not what there was before the wait.
    assert 2_900 <= int(wire.sent[0].headers["x-deadline-ms"]) <= 3_000
    full = Wire(in_turn(GOOD), timeout_s=3.0, full=True)
    with pytest.raises(DeadlineError, match="max_in_flight") as caught:
        call(full)
    assert (caught.value.code, caught.value.attempts, full.sent) == ("no_room_in_time", 0, [])
    assert full.now == 103.0


def test_a_fresh_client_finds_the_one_server_that_is_there() -> None:
    urls = tuple(f"http://{name}" for name in ("one", "two", "three", "four", "five"))
    for live in urls:
        wire = Wire(lambda step, live=live: GOOD if step.url == live else REFUSED, urls=urls)  # type: ignore[misc]  # bound early
        assert call(wire).results[0].score == 5.0
        assert set(wire.pauses) <= {0.0}
    nobody = Wire(in_turn(REFUSED), urls=urls)
    with pytest.raises(ConnectionFailedError) as caught:
        call(nobody)
    assert {step.url for step in nobody.sent} == set(urls)
    assert caught.value.attempts <= 6


@pytest.mark.parametrize("bad", [LATE, DRAINING], ids=["stalled", "draining"])
def test_a_replica_that_stalls_or_drains_is_stood_in_for_at_once(bad: HttpResponse | NoResponse) -> None:
    urls = ("http://one", "http://two")
    wire = Wire(lambda step: GOOD if step.url == "http://two" else bad, urls=urls, attempt_timeout_s=2.0)
    for group in range(12):
        wire.take(exchange(wire.session, RewardsResponse, REQUEST, deadline=wire.deadline, group=str(group)))
    assert set(wire.pauses) <= {0.0}
    if bad is LATE:
        # A stalled one is left alone for a while, so that not every group pays for it.
        assert sum(step.url == "http://one" for step in wire.sent) <= 4


@pytest.mark.parametrize("kind", ["draining", "429", "proxy"])
def test_ten_minutes_of_refusals_are_waited_out(kind: str) -> None:
    """With the deadline that trainers give: 15 minutes."""
    wire = Wire(lambda _: GOOD if wire.now > 700.0 else AGAIN[kind], timeout_s=900.0)
    began = wire.now
    assert call(wire).results[0].score == 5.0
    assert 600.0 < wire.now - began < 700.0
    assert len(wire.sent) < 200, "a service in trouble is not asked all the time"
