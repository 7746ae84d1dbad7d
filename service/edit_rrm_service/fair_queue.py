"""Start-time fair queueing: who is next among callers that share one engine. Pure, no clock, no event loop.

Goyal, Vin and Cheng, "Start-time Fair Queueing" (SIGCOMM 1996): every item gets a start tag in virtual time, the
smallest one is served, and virtual time is the tag of the item in service. Over any stretch in which two flows both
have work waiting, their shares differ from their weights by no more than one item each, however much either of them has
queued. Tags are given when an item reaches the head of its flow, so that items which leave the queue unserved cost
their flow nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """An item in the queue; its handle for leaving it."""

    item: T
    flow: Hashable
    cost: float
    priority: int


@dataclass(slots=True)
class _Flow(Generic[T]):
    weight: float
    entries: OrderedDict[int, Entry[T]] = field(default_factory=OrderedDict)
    start: float = 0.0
    """Start tag of the entry at the head."""


@dataclass(slots=True)
class _Band(Generic[T]):
    """One priority: its flows and its virtual time."""

    flows: dict[Hashable, _Flow[T]] = field(default_factory=dict)
    finished: dict[Hashable, float] = field(default_factory=dict)
    """Where flows without entries stopped, for those ahead of virtual time."""
    now: float = 0.0


class FairQueue(Generic[T]):
    """A queue by priority, among flows of one priority by weighted fair share, and first in, first out in a flow."""

    def __init__(self) -> None:
        self._bands: dict[int, _Band[T]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, item: T, *, flow: Hashable, cost: float, weight: float = 1.0, priority: int = 0) -> Entry[T]:
        """Queue an item.

        Args:
            item: What to hand out later.
            flow: Whose it is.
            cost: Its share of the engine, in any unit that is the same for all; above 0.
            weight: The flow's share relative to the others' from now on; above 0.
            priority: Smaller is served first, always.

        Returns:
            The handle for `remove`.
        """
        if not (cost > 0 and weight > 0):
            raise ValueError("cost and weight are above 0")
        band = self._bands.setdefault(priority, _Band())
        entry = Entry(item, flow, cost, priority)
        found = band.flows.get(flow)
        if found is None:
            found = band.flows[flow] = _Flow(weight, start=max(band.now, band.finished.pop(flow, 0.0)))
        found.weight = weight
        found.entries[id(entry)] = entry
        self._length += 1
        return entry

    def peek(self) -> Entry[T] | None:
        """The entry that `pop` would return."""
        found = self._next()
        return None if found is None else next(iter(found[1].entries.values()))

    def pop(self) -> Entry[T]:
        """Take the next entry out.

        Raises:
            IndexError: The queue is empty.
        """
        found = self._next()
        if found is None:
            raise IndexError("the queue is empty")
        band, flow = found
        entry = next(iter(flow.entries.values()))
        band.now = flow.start
        flow.start += entry.cost / flow.weight
        self._take(band, flow, entry)
        return entry

    def remove(self, entry: Entry[T]) -> bool:
        """Take an entry out unserved; False if it is not in the queue any more."""
        band = self._bands.get(entry.priority)
        flow = None if band is None else band.flows.get(entry.flow)
        if band is None or flow is None or id(entry) not in flow.entries:
            return False
        self._take(band, flow, entry)
        return True

    def _next(self) -> tuple[_Band[T], _Flow[T]] | None:
        for priority in sorted(self._bands):
            band = self._bands[priority]
            if band.flows:
                return band, min(band.flows.values(), key=lambda flow: flow.start)
        return None

    def _take(self, band: _Band[T], flow: _Flow[T], entry: Entry[T]) -> None:
        del flow.entries[id(entry)]
        self._length -= 1
        if flow.entries:
            return
        del band.flows[entry.flow]
        band.finished[entry.flow] = flow.start
        if not band.flows:  # the end of a busy period: the next one owes nobody anything
            band.now = max(band.finished.values())
        band.finished = {name: tag for name, tag in band.finished.items() if tag > band.now}
