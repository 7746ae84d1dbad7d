"""Load: who is let in, whose turn it is, and a time to come back that follows the measured drain rate."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_service.admission import Admission, Ticket
from edit_rrm_service.callers import Caller, Priority
from edit_rrm_service.engines.base import EngineError
from edit_rrm_service.errors import ApiError
from tests.fakes.clock import Stopwatch
from tests.fakes.engine import FakeEngine
from tests.service.running import EDITED, error_of, png, post, running, until

ONE, OTHER = Caller("one"), Caller("other")
TRAINER = Caller("one", Priority.TRAINING)


class Seen:
    """Remembers what admission tells the metrics."""

    def __init__(self) -> None:
        self.levels: dict[Priority, tuple[int, float]] = {}
        self.in_flight = 0
        self.waits: list[float] = []
        self.refusals: list[str] = []

    def queue(self, priority: Priority, turns: int, work: float) -> None:
        self.levels[priority] = (turns, work)

    def turn(self, priority: Priority, waited_s: float) -> None:
        self.waits.append(waited_s)

    def running(self, turns: int) -> None:
        self.in_flight = turns

    def refused(self, reason: str, retry_after_s: float) -> None:
        self.refusals.append(reason)


class Bench:
    """An admission on a stopwatch, and workers that hold their turns until told to end."""

    def __init__(self, *, max_running: int = 1, max_queued_work: int = 1_000, max_wait_s: float = 1e9) -> None:
        self.clock = Stopwatch()
        self.seen = Seen()
        self.admission = Admission(
            max_running=max_running,
            max_queued_work=max_queued_work,
            max_wait_s=max_wait_s,
            observer=self.seen,
            clock=self.clock,
            rng=random.Random(0),
        )
        self.held: list[tuple[str, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, caller: Caller, work: int = 100, *, turns: int = 1, prompts: int = 1) -> None:
        """Let a request of equal turns in, which then wait and hold."""
        with self.admission.admitted(caller, work * turns) as ticket:
            await asyncio.gather(*(self._hold(ticket, caller, work, prompts) for _ in range(turns)))

    async def _hold(self, ticket: Ticket, caller: Caller, work: int, prompts: int) -> None:
        async with ticket.turn(work, prompts):
            end = asyncio.Event()
            self.held.append((caller.name, end))
            await end.wait()

    async def start(self, caller: Caller, work: int = 100, **more: int) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self.ask(caller, work, **more))
        self.tasks.append(task)
        await settled()
        return task

    async def end(self, seconds: float = 1.0) -> str:
        """End the turn held longest, after some time; return whose it was."""
        self.clock.now += seconds
        name, event = self.held.pop(0)
        event.set()
        await settled()
        return name

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self.admission.queued_work and not self.seen.in_flight

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
async def _nobody_waits_on() -> AsyncIterator[None]:
    """End what a test left waiting: the loop lives on, and would log their end in another."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_the_engine_has_no_room_for_waits_in_order() -> None:
    bench = Bench(max_running=2)
    for name in "abcd":
        await bench.start(Caller(name))
    assert [name for name, _ in bench.held] == ["a", "b"]
    assert bench.seen.levels[Priority.INTERACTIVE] == (2, 200)
    assert [await bench.end() for _ in range(4)] == ["a", "b", "c", "d"]
    assert bench.seen.waits == [0.0, 0.0, 1.0, 2.0]
    await bench.stop()
    assert bench.idle
    assert (bench.seen.in_flight, bench.seen.levels[Priority.INTERACTIVE]) == (0, (0, 0))


async def test_interactive_goes_before_training() -> None:
    bench = Bench()
    await bench.start(TRAINER, turns=3)
    await bench.start(Caller("person"))
    assert [await bench.end() for _ in range(4)] == ["one", "person", "one", "one"]


async def test_a_greedy_caller_delays_another_by_its_share_and_not_by_its_queue() -> None:
    bench = Bench()
    await bench.start(Caller("greedy"), work=10, turns=60)
    await bench.start(Caller("modest"), work=10, turns=10)
    served = Counter([await bench.end() for _ in range(21)])
    assert served == {"greedy": 11, "modest": 10}
    await bench.stop()


async def test_prompts_of_a_turn_go_together_and_one_beyond_the_limit_goes_alone() -> None:
    bench = Bench(max_running=4)
    await bench.start(ONE, prompts=3)
    await bench.start(OTHER, prompts=3)
    assert [name for name, _ in bench.held] == ["one"]
    await bench.end()
    await bench.start(ONE, prompts=9)
    assert [name for name, _ in bench.held] == ["other"]
    await bench.end()
    assert [name for name, _ in bench.held] == ["one"]
    await bench.stop()


@pytest.mark.parametrize("holds", [True, False])
async def test_who_is_cancelled_gives_its_turn_up(holds: bool) -> None:
    bench = Bench()
    first, second = await bench.start(ONE), await bench.start(OTHER)
    (first if holds else second).cancel()
    await settled()
    assert bench.admission.queued_work == 0
    assert [name for name, _ in bench.held] == (["one", "other"] if holds else ["one"])
    (second if holds else first).cancel()
    await settled()
    assert bench.idle


async def test_a_turn_granted_as_its_caller_leaves_is_given_to_the_next() -> None:
    bench = Bench()
    await bench.start(ONE)
    second = await bench.start(OTHER)
    await bench.start(Caller("third"))
    bench.held.pop(0)[1].set()
    # The end of the first turn is on its way; the second is granted and cancelled before it runs.
    for _ in range(10):
        await asyncio.sleep(0)
        if bench.seen.waits[1:]:
            break
    second.cancel()
    await settled()
    await bench.stop()
    assert bench.idle


async def test_a_turn_may_outlive_the_request_it_was_let_in_with() -> None:
    bench = Bench()
    await bench.start(ONE)
    with bench.admission.admitted(OTHER, 100) as ticket:
        turn = asyncio.ensure_future(bench._hold(ticket, OTHER, 150, 1))
        await settled()
    assert bench.admission.queued_work == 150
    assert [await bench.end(), await bench.end()] == ["one", "other"]
    await turn
    await bench.stop()
    assert bench.idle


async def test_beyond_the_limit_requests_are_refused_until_there_is_room() -> None:
    bench = Bench(max_queued_work=250)
    for _ in range(3):
        await bench.start(ONE)
    with pytest.raises(ApiError, match="2 edits wait") as caught:
        bench.admission.check(ONE, 100)
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (429, "overloaded", True)
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 2
    assert bench.seen.refusals == ["queue_full"]
    await bench.end()
    bench.admission.check(ONE, 100)
    await bench.stop()


async def test_a_full_queue_of_one_caller_keeps_no_other_out() -> None:
    bench = Bench(max_queued_work=1_000)
    await bench.start(Caller("greedy"), turns=10)
    bench.admission.check(Caller("modest"), 500)
    with pytest.raises(ApiError, match="no more may"):
        bench.admission.check(Caller("modest"), 501)
    await bench.stop()


async def test_a_request_larger_than_the_queue_is_let_in_where_nothing_waits() -> None:
    bench = Bench(max_queued_work=100)
    await bench.start(ONE, work=5_000)
    assert [name for name, _ in bench.held] == ["one"]
    await bench.stop()


async def saturated(bench: Bench, *, rate: float) -> None:
    """Have it measure a drain rate, in work a second."""
    await bench.start(ONE, turns=6)
    for _ in range(6):
        await bench.end(100 / rate)


async def test_who_would_not_be_done_by_the_deadline_is_refused_at_once() -> None:
    bench = Bench()
    await saturated(bench, rate=10.0)
    await bench.start(ONE, turns=4)
    # One runs and three wait; ten seconds each.
    assert bench.admission.estimate_s(ONE, 100) == (30.0, 50.0)
    bench.admission.check(ONE, 100, remaining_s=51.0)
    with pytest.raises(ApiError, match=r"done in about 50 s and the deadline is sooner") as caught:
        bench.admission.check(ONE, 100, remaining_s=40.0)
    assert 10 <= int(caught.value.headers["Retry-After"]) <= 16
    assert bench.seen.refusals == ["estimated_wait"]
    await bench.stop()


async def test_a_wait_beyond_the_limit_is_refused_whatever_the_deadline() -> None:
    bench = Bench(max_wait_s=25.0)
    await saturated(bench, rate=10.0)
    await bench.start(ONE, turns=4)
    with pytest.raises(ApiError, match="in about 30 s and the limit is 25 s"):
        bench.admission.check(ONE)
    # Another waits no longer than its share takes.
    bench.admission.check(OTHER)
    await bench.stop()


async def test_training_waits_for_what_is_interactive_too() -> None:
    bench = Bench()
    await saturated(bench, rate=10.0)
    await bench.start(ONE, turns=4)
    assert bench.admission.estimate_s(Caller("trainer", Priority.TRAINING), 100)[0] == 30.0
    assert bench.admission.estimate_s(OTHER, 100) == (0.0, 30.0)
    await bench.stop()


async def test_an_engine_that_was_never_full_says_nothing_about_how_long_a_queue_takes() -> None:
    bench = Bench(max_running=8)
    for _ in range(20):
        await bench.start(ONE)
        await bench.end(60.0)
    await bench.start(ONE, turns=20, work=10)
    assert bench.admission.estimate_s(ONE, 10) == (0.0, 0.0)
    bench.admission.check(ONE, 10, remaining_s=1.0)
    await bench.stop()


async def test_work_that_failed_is_not_counted_as_done() -> None:
    bench = Bench()
    await saturated(bench, rate=10.0)

    async def fail() -> None:
        with bench.admission.admitted(ONE, 100) as ticket:
            async with ticket.turn(100):
                raise RuntimeError

    for _ in range(50):
        with pytest.raises(RuntimeError):
            await fail()
    await bench.start(ONE, turns=2)
    assert bench.admission.estimate_s(ONE, 0) == (10.0, 20.0)
    await bench.stop()


@given(st.floats(0.0, 1e6), st.integers(0, 2**32))
def test_the_time_to_come_back_is_whole_seconds_spread_over_half_as_long_again(seconds: float, seed: int) -> None:
    bench = Bench()
    bench.admission._rng.seed(seed)
    told = int(bench.admission.retry_after(seconds))
    base = min(60.0, max(1.0, seconds))
    assert int(base) <= told <= base * 1.5 + 1
    assert 1 <= told <= 90


@given(st.data())
async def test_whatever_happens_every_turn_is_given_back(data: st.DataObject) -> None:
    bench = Bench(max_running=data.draw(st.integers(1, 3)), max_queued_work=data.draw(st.integers(1, 2_000)))
    for _ in range(data.draw(st.integers(1, 25))):
        step = data.draw(st.sampled_from(["ask", "end", "cancel"]))
        if step == "ask":
            caller = Caller(data.draw(st.sampled_from("abc")), data.draw(st.sampled_from(Priority)))
            work, turns = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 4))
            await bench.start(caller, work, turns=turns, prompts=data.draw(st.integers(1, 4)))
        elif step == "end" and bench.held:
            await bench.end(data.draw(st.floats(0.0, 10.0)))
        elif bench.tasks:
            data.draw(st.sampled_from(bench.tasks)).cancel()
            await settled()
    await bench.stop()
    assert bench.idle
    assert bench.admission.queued_work == 0
    assert (bench.seen.in_flight, set(bench.seen.levels.values()) | {(0, 0)}) == (0, {(0, 0)})


async def test_beyond_the_limit_a_service_refuses_with_when_to_come_back() -> None:
    engine = FakeEngine(seconds=0.3)
    async with running(engine, max_running=1, max_queued_work=1) as client:
        asked = [asyncio.ensure_future(post(client, instruction=f"make it {index}")) for index in range(5)]
        replies = await asyncio.gather(*asked)
        after = await post(client)
        text = (await client.get("/metrics")).text
    statuses = Counter(reply.status_code for reply in replies)
    assert statuses[200] >= 1
    assert statuses[429] >= 2
    assert set(statuses) == {200, 429}
    for reply in replies:
        if reply.status_code == 429:
            assert error_of(reply)["code"] == "overloaded"
            assert error_of(reply)["retryable"] is True
            assert int(reply.headers["retry-after"]) >= 1
    assert after.status_code == 200
    assert "edit_rrm_turns_in_flight 0.0" in text
    assert f'edit_rrm_outcomes_total{{outcome="overloaded"}} {float(statuses[429])}' in text
    assert f'edit_rrm_admission_rejected_total{{reason="queue_full"}} {float(statuses[429])}' in text


async def test_a_request_that_will_be_refused_need_not_send_its_body() -> None:
    engine = FakeEngine(seconds=1.0)
    async with running(engine, max_running=1, max_queued_work=1) as client:
        busy = asyncio.ensure_future(post(client))
        await until(lambda: engine.decompositions == 1)
        reply = await client.post("/v1/reward", content=b"no body that could be read")
        await busy
    assert reply.status_code == 429


async def test_a_caller_says_what_it_is_by_header_and_the_endpoint_where_it_does_not() -> None:
    async with running(FakeEngine()) as client:
        await post(client)
        await post(client, "/v1/rewards", edited=(png("green"), png("white")))
        await post(client, "/v1/rewards", edited=png("black"), headers={"x-priority": "interactive"})
        await post(client, edited=png("gray"), headers={"X-Priority": "Training"})
        wrong = await post(client, headers={"x-priority": "urgent"})
        text = (await client.get("/metrics")).text
    assert (wrong.status_code, error_of(wrong)["param"]) == (422, "x-priority")
    assert 'edit_rrm_queue_wait_seconds_count{priority="interactive"} 3.0' in text
    assert 'edit_rrm_queue_wait_seconds_count{priority="training"} 3.0' in text


@pytest.mark.parametrize("path", ["/v1/reward", "/v1/verify", "/v1/decompose"])
async def test_an_engine_that_failed_says_when_to_come_back_too(path: str) -> None:
    failure = EngineError("the engine stumbled")
    principle = {"question": "Is it blue?", "category": "image_quality"}
    fields: dict[str, Any] = {"principles": [principle]} if path == "/v1/verify" else {}
    async with running(FakeEngine(decomposition=failure, judgement=lambda prompt: failure)) as client:
        reply = await post(client, path, edited=None if path == "/v1/decompose" else EDITED, **fields)
    assert reply.status_code == 503
    assert error_of(reply)["retryable"] is True
    assert 1 <= int(reply.headers["retry-after"]) <= 90


async def test_what_can_never_succeed_names_no_time_to_come_back() -> None:
    failure = EngineError("the weights are broken", retryable=False)
    async with running(FakeEngine(judgement=lambda prompt: failure)) as client:
        reply = await post(client)
    assert reply.status_code == 503
    assert error_of(reply)["retryable"] is False
    assert "retry-after" not in reply.headers
