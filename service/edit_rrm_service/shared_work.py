"""Work that is done once: remembered here, remembered by the store, or under way here or in another replica.

In this order: this process's cache; the same work running in this process; the store's cache; the same work running in
another replica, which is waited for as long as it holds its lease; and only then the work itself. Without a store, or
while it is down, every process works for itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, Protocol, TypeVar

from edit_rrm_service.cache_entry import BadEntryError, Record, seal, unseal
from edit_rrm_service.memory_cache import MemoryCache
from edit_rrm_service.singleflight import SingleFlight
from edit_rrm_service.store import Claim, Lease, Store, StoreDownError

RecordT = TypeVar("RecordT", bound=Record)
How = Literal["hit", "miss", "shared"]
Tier = Literal["local", "redis"]
Result = Literal["hit", "miss", "coalesced", "corrupt", "error"]

_logger = logging.getLogger(__name__)
_FIRST_LOOK_S = 0.02
_LAST_LOOK_S = 0.25


class Observer(Protocol):
    """What shared work tells the metrics."""

    def cache(self, cache: str, tier: Tier, result: Result) -> None:
        """A cache was asked."""


class SharedWork:
    """Does work once per key. For one event loop."""

    def __init__(
        self,
        cache: MemoryCache,
        observer: Observer,
        store: Store | None = None,
        *,
        keep_s: float = 86_400.0,
        renew_every_s: float = 3.0,
    ) -> None:
        """Share by these.

        Args:
            cache: This process's.
            observer: Is told what came of it.
            store: The replicas'.
            keep_s: How long the store keeps a value.
            renew_every_s: Pause between renewals of a lease; a third of its length.
        """
        self._cache = cache
        self._observer = observer
        self._store = store
        self._keep_s = keep_s
        self._renew_every_s = renew_every_s
        self._flights: SingleFlight[tuple[Record, bool]] = SingleFlight()

    async def run(
        self,
        name: str,
        key: str,
        kind: type[RecordT],
        work: Callable[[], Awaitable[RecordT]],
        *,
        keep: Callable[[RecordT], bool] = lambda record: True,
    ) -> tuple[RecordT, How]:
        """Return what belongs to a key, by working for it only where nobody has and nobody is.

        What `work` raises reaches everyone who waits for it in this process, and is not remembered.

        Args:
            name: Of the cache, for the metrics.
            key: From `cache_key`.
            kind: Of the record.
            work: Measures it.
            keep: Whether a record is to be remembered; it reaches those who wait for it anyway.
        """
        remembered = self._cache.get(key)
        if remembered is not None:
            found = self._recalled(name, "local", key, kind, remembered, "hit")
            if found is not None:
                return found, "hit"
            self._cache.drop(key)
        (record, fresh), shared = await self._flights.run(key, lambda: self._lead(name, key, kind, work, keep))
        assert isinstance(record, kind)
        if shared:
            self._observer.cache(name, "local", "coalesced")
            return record, "shared"
        self._observer.cache(name, "local", "miss")
        return record, "miss" if fresh else "hit"

    async def _lead(
        self,
        name: str,
        key: str,
        kind: type[RecordT],
        work: Callable[[], Awaitable[RecordT]],
        keep: Callable[[RecordT], bool],
    ) -> tuple[Record, bool]:
        """The record, and whether it was worked for here and now."""
        record: RecordT | None = None
        lease: Lease | None = None
        if self._store is not None:
            try:
                record, lease = await self._find(self._store, name, key, kind)
            except StoreDownError:
                self._observer.cache(name, "redis", "error")
        if record is not None:
            self._cache.put(key, seal(key, record))
            return record, False
        if self._store is None or lease is None:
            record = await work()
            if keep(record):
                self._cache.put(key, seal(key, record))
            return record, True
        async with self._held(self._store, lease) as lease:
            record = await work()
            if keep(record):
                value = seal(key, record)
                self._cache.put(key, value)
                await self._publish(self._store, name, lease, value)
            else:
                await _release(self._store, lease)
        return record, True

    async def _find(
        self, store: Store, name: str, key: str, kind: type[RecordT]
    ) -> tuple[RecordT | None, Lease | None]:
        """A record from the store, waiting for whoever works on it; or the lease to work on it here."""
        pause = _FIRST_LOOK_S
        anew = False
        waited = False
        while True:
            claim = await _claimed(store, key, anew=anew)
            if claim.value is not None:
                record = self._recalled(name, "redis", key, kind, claim.value, "coalesced" if waited else "hit")
                if record is not None:
                    return record, None
                anew = True
                continue
            if claim.lease is not None:
                self._observer.cache(name, "redis", "miss")
                return None, claim.lease
            waited = True
            await asyncio.sleep(pause)
            pause = min(_LAST_LOOK_S, 2 * pause)

    async def _publish(self, store: Store, name: str, lease: Lease, value: bytes) -> None:
        try:
            if not await store.put(lease, value, self._keep_s):
                _logger.info("a lease ended before its work did; another replica took over")
        except StoreDownError:
            self._observer.cache(name, "redis", "error")

    @asynccontextmanager
    async def _held(self, store: Store, lease: Lease) -> AsyncIterator[Lease]:
        """Renew a lease while its work runs, and end it where that fails."""
        renewing = asyncio.ensure_future(self._renew(store, lease))
        try:
            yield lease
        except BaseException:
            renewing.cancel()
            await asyncio.shield(_release(store, lease))
            raise
        finally:
            renewing.cancel()

    async def _renew(self, store: Store, lease: Lease) -> None:
        while True:
            await asyncio.sleep(self._renew_every_s)
            try:
                if not await store.renew(lease):
                    return
            except StoreDownError:
                continue

    def _recalled(
        self, name: str, tier: Tier, key: str, kind: type[RecordT], value: bytes, result: Result
    ) -> RecordT | None:
        try:
            record = unseal(key, value, kind)
        except BadEntryError as error:
            _logger.warning("a %s cache entry is ignored: %s", tier, error)
            self._observer.cache(name, tier, "corrupt")
            return None
        self._observer.cache(name, tier, result)
        return record


async def _claimed(store: Store, key: str, *, anew: bool) -> Claim:
    """Claim a key; a caller who leaves meanwhile does not take the lease along."""
    claiming = asyncio.ensure_future(store.claim(key, anew=anew))
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        if not claiming.cancelled():
            claiming.add_done_callback(lambda done: _give_back(store, done))
        raise


def _give_back(store: Store, claiming: asyncio.Task[Claim]) -> None:
    if claiming.cancelled() or claiming.exception() is not None:
        return
    lease = claiming.result().lease
    if lease is not None:
        task = asyncio.ensure_future(_release(store, lease))
        _releases.add(task)
        task.add_done_callback(_releases.discard)


async def _release(store: Store, lease: Lease) -> None:
    """End a lease; where the store is down it ends by itself."""
    with suppress(StoreDownError):
        await store.release(lease)


_releases: set[asyncio.Task[None]] = set()
"""Held, so that they are not collected while they run."""
