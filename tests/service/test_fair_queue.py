"""Shares by weight, whoever queues how much; order within a flow; what leaves unserved costs nobody anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_service.fair_queue import FairQueue

costs = st.floats(min_value=0.5, max_value=50.0)


def drained(queue: FairQueue[str]) -> list[str]:
    return [queue.pop().item for _ in range(len(queue))]


def test_one_flow_is_first_in_first_out() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in "abc":
        queue.push(item, flow="one", cost=1.0)
    assert len(queue) == 3
    assert drained(queue) == ["a", "b", "c"]


def test_a_smaller_priority_goes_first_whenever_it_came() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.push("training", flow="one", cost=1.0, priority=1)
    queue.push("interactive", flow="one", cost=100.0, priority=0)
    assert drained(queue) == ["interactive", "training"]


def test_who_queued_a_thousand_items_first_gets_half_when_another_comes() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(1_000):
        queue.push("greedy", flow="greedy", cost=1.0)
    for _ in range(500):
        queue.pop()
    for _ in range(100):
        queue.push("modest", flow="modest", cost=1.0)
    assert Counter(queue.pop().item for _ in range(200)) == {"greedy": 100, "modest": 100}


def test_a_flow_that_was_idle_has_saved_nothing_up() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(100):
        queue.push("busy", flow="busy", cost=1.0)
        queue.pop()
    for _ in range(10):
        queue.push("busy", flow="busy", cost=1.0)
        queue.push("late", flow="late", cost=1.0)
    assert Counter(queue.pop().item for _ in range(10)) == {"busy": 5, "late": 5}


@given(st.lists(costs, min_size=2, max_size=60), st.lists(costs, min_size=2, max_size=60), st.floats(0.25, 4.0))
def test_while_both_wait_shares_differ_from_weights_by_one_item_each(
    first: Sequence[float], second: Sequence[float], weight: float
) -> None:
    queue: FairQueue[str] = FairQueue()
    for cost in first:
        queue.push("first", flow="first", cost=cost)
    for cost in second:
        queue.push("second", flow="second", cost=cost, weight=weight)
    served = {"first": 0.0, "second": 0.0}
    left = Counter({"first": len(first), "second": len(second)})
    while all(left.values()):
        entry = queue.pop()
        left[entry.item] -= 1
        served[entry.item] += entry.cost
        bound = max(first) + max(second) / weight
        assert abs(served["first"] - served["second"] / weight) <= bound + 1e-6


@given(st.lists(st.tuples(st.sampled_from("abc"), costs), min_size=1, max_size=40), st.data())
def test_every_item_is_served_or_removed_once(items: Sequence[tuple[str, float]], data: st.DataObject) -> None:
    queue: FairQueue[str] = FairQueue()
    entries = [queue.push(str(index), flow=flow, cost=cost) for index, (flow, cost) in enumerate(items)]
    gone = data.draw(st.sets(st.sampled_from(range(len(entries)))))
    for index in gone:
        assert queue.remove(entries[index])
        assert not queue.remove(entries[index])
    left = [entry for index, entry in enumerate(entries) if index not in gone]
    assert len(queue) == len(left)
    assert sorted(drained(queue)) == sorted(entry.item for entry in left)
    assert queue.peek() is None


def test_what_leaves_unserved_costs_its_flow_no_turn() -> None:
    queue: FairQueue[str] = FairQueue()
    gone = [queue.push("gone", flow="one", cost=50.0) for _ in range(20)]
    queue.push("one", flow="one", cost=1.0)
    for entry in gone:
        queue.remove(entry)
    for _ in range(5):
        queue.push("two", flow="two", cost=1.0)
    assert "one" in [queue.pop().item for _ in range(2)]


def test_an_empty_queue_has_nothing_next_and_free_work_is_refused() -> None:
    queue: FairQueue[str] = FairQueue()
    with pytest.raises(IndexError, match="empty"):
        queue.pop()
    for cost, weight in ((0.0, 1.0), (1.0, 0.0)):
        with pytest.raises(ValueError, match="above 0"):
            queue.push("x", flow="one", cost=cost, weight=weight)
