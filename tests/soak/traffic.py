"""The traffic of a soak: trainers, people, and clients that send damage, hang up, or want it at once."""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2

from tests.faults.load import Group, Reply, ask, client_of, group
from tests.service.test_fuzz import bodies, mutants

_EDITS = 8


@dataclass
class Traffic:
    """Clients of one service, and what they saw."""

    url: str
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    """By kind of client."""
    bodies: Counter[int] = field(default_factory=Counter)
    """Statuses of damaged bodies."""
    hung_up: int = 0
    _client: httpx2.AsyncClient = field(init=False)
    _rng: random.Random = field(default_factory=lambda: random.Random(0))
    _asked: list[tuple[Group, Reply]] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """Send for so long, and wait for what is under way then."""
        async with client_of(self.url) as client:
            self._client = client
            clients = [
                *(self._every(0.0, self._trainer) for _ in range(4)),
                self._every(0.0, self._prober),
                self._every(0.5, self._repeater),
                self._every(2.0, self._person),
                self._every(2.0, self._damaged_images(mutants(0))),
                self._every(2.0, self._damaged_body(bodies(0))),
                self._every(3.0, self._hangs_up),
                self._every(5.0, self._hasty),
            ]
            until = asyncio.get_running_loop().time() + seconds
            await asyncio.gather(*(client(until) for client in clients))

    def outcomes(self) -> Counter[str]:
        """How edits ended, of all clients."""
        return Counter(itertools.chain.from_iterable(one.outcomes for ended in self.replies.values() for one in ended))

    def statuses(self) -> Counter[int | None]:
        """How requests ended, of those that waited for their answer and were not damaged."""
        return Counter(reply.status for ended in self.replies.values() for reply in ended)

    def median_s(self, kind: str) -> float:
        """Median time to an answer of one kind of client."""
        return statistics.median(reply.seconds for reply in self.replies[kind])

    @staticmethod
    def _every(pause_s: float, send: Callable[[], Awaitable[None]]) -> Callable[[float], Awaitable[None]]:
        async def client(until: float) -> None:
            while asyncio.get_running_loop().time() < until:
                await send()
                await asyncio.sleep(pause_s)

        return client

    async def _ask(self, kind: str, asked: Group, **headers: str) -> Reply:
        reply = await ask(self._client, asked, {"mode": "probe"} if kind == "probes" else {}, **headers)
        self.replies.setdefault(kind, []).append(reply)
        return reply

    async def _trainer(self) -> None:
        asked = group(_EDITS)
        self._asked.append((asked, await self._ask("groups", asked)))
        del self._asked[:-200]

    async def _prober(self) -> None:
        await self._ask("probes", group(_EDITS // 2))

    async def _repeater(self) -> None:
        """Asks what somebody asked before: what was measured is still what it was, wherever it comes from now."""
        if not self._asked:
            return
        asked, before = self._rng.choice(self._asked)
        again = await self._ask("repeats", asked)
        for was, now in zip(before.scores, again.scores, strict=False):
            assert was is None or now == was, (was, now)

    async def _person(self) -> None:
        key = f"soak-{self._rng.random()}"
        asked = group()
        headers = {"x-priority": "interactive", "idempotency-key": key}
        first, again = await asyncio.gather(*(self._ask("people", asked, **headers) for _ in range(2)))
        assert (first.status, first.scores) == (again.status, again.scores)

    def _damaged_images(self, files: Iterator[bytes]) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            whole = group(2)
            edits = (whole.edits[0], next(files), next(files), whole.edits[1])
            reply = await self._ask("damaged images", Group(whole.instruction, whole.source, edits))
            assert "bad_image" not in (reply.outcomes[0], reply.outcomes[3])

        return send

    def _damaged_body(self, damaged: Iterator[tuple[bytes, dict[str, str]]]) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            body, headers = next(damaged)
            reply = await self._client.post("/v1/rewards", content=body, headers=headers)
            self.bodies[reply.status_code] += 1

        return send

    async def _hangs_up(self) -> None:
        task = asyncio.ensure_future(ask(self._client, group(_EDITS)))
        await asyncio.sleep(self._rng.uniform(0.02, 0.5))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self.hung_up += 1

    async def _hasty(self) -> None:
        await self._ask("hasty", group(2), **{"x-deadline-ms": "150"})
