"""The shared store on Redis (or Valkey): atomic scripts, short patience, and a service that goes on when it is gone."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from edit_rrm_service.store import Claim, Lease, StoreDownError

_logger = logging.getLogger(__name__)

_FIRST_RETRY_S = 0.25
_LAST_RETRY_S = 5.0
_CONNECTIONS = 32

_CLAIM = """
if ARGV[3] == '0' then
  local value = redis.call('GET', KEYS[1])
  if value then return value end
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[2]) == ARGV[1] then return 1 end
return 0
"""
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_PUT = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Observer(Protocol):
    """What the store tells the metrics."""

    def store_up(self, up: bool) -> None:
        """The store went away, or is back."""

    def store_operation(self, operation: str, seconds: float, failed: bool) -> None:
        """An operation ended."""


class RedisStore:
    """A store on one Redis.

    After a failure nothing is asked of it until it answers a PING again, which is tried in the background with growing
    pauses; until then every operation fails at once, so that a dead Redis costs requests no time.
    """

    def __init__(self, url: str, observer: Observer, *, lease_s: float = 10.0, timeout_s: float = 0.5) -> None:
        """Prepare connections; none is opened before the first operation.

        Args:
            url: Such as `redis://:password@host:6379/0` or `rediss://host`.
            observer: Is told what happens.
            lease_s: Length of a lease.
            timeout_s: For any operation.

        Raises:
            ValueError: The URL is none of Redis.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # Once, for a connection that a restarted Redis left stale; scripts may run twice.
            retry=Retry(NoBackoff(), 1),
            client_name="edit-rrm",
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._observer = observer
        self._lease_ms = round(lease_s * 1e3)
        self._timeout_s = timeout_s
        self._recovery: asyncio.Task[None] | None = None
        self._problem: str | None = None
        observer.store_up(True)

    @property
    def problem(self) -> str | None:
        """Why it is not used now; None while it is."""
        return self._problem

    async def claim(self, key: str, *, anew: bool = False) -> Claim:
        """In one step, the value of a key, or else its lease if it is free."""
        token = secrets.token_hex(16)
        found = await self._do("claim", _CLAIM, [key, _lease(key)], [token, self._lease_ms, int(anew)])
        if isinstance(found, bytes):
            return Claim(value=found)
        return Claim(lease=Lease(key, token) if found else None)

    async def renew(self, lease: Lease) -> bool:
        """Extend a lease to its full length; False where it is lost."""
        return bool(await self._do("renew", _RENEW, [_lease(lease.key)], [lease.token, self._lease_ms]))

    async def put(self, lease: Lease, value: bytes, seconds: float) -> bool:
        """Store the value of a lease's key and end the lease; False, and nothing stored, where it is lost."""
        keys, arguments = [lease.key, _lease(lease.key)], [lease.token, value, max(1, round(seconds * 1e3))]
        return bool(await self._do("put", _PUT, keys, arguments))

    async def release(self, lease: Lease) -> None:
        """End a lease without a value, if it is still held."""
        await self._do("release", _RELEASE, [_lease(lease.key)], [lease.token])

    async def close(self) -> None:
        """Close the connections."""
        if self._recovery is not None:
            self._recovery.cancel()
        await self._redis.aclose()

    async def _do(self, operation: str, script: str, keys: list[str], arguments: list[Any]) -> Any:
        if self._problem is not None:
            raise StoreDownError(self._problem)
        loop = asyncio.get_running_loop()
        started = loop.time()
        failed = True
        try:
            call = self._redis.eval(script, len(keys), *keys, *arguments)
            async with asyncio.timeout(self._timeout_s):
                answer = await call
            failed = False
        except ResponseError as error:  # it is there, and refuses: out of memory, read-only, a key of another type
            _logger.warning("redis refused %s: %s", operation, error)
            raise StoreDownError(f"redis refused: {error}") from None
        except (RedisError, OSError, TimeoutError) as error:
            self._down(f"{type(error).__name__}: {error}".rstrip(": "))
            raise StoreDownError(f"redis is down: {error}") from None
        finally:
            self._observer.store_operation(operation, loop.time() - started, failed)
        return answer

    def _down(self, problem: str) -> None:
        if self._problem is None:
            _logger.warning("redis does not answer (%s); serving without it until it does", problem)
            self._observer.store_up(False)
            self._problem = problem
            self._recovery = asyncio.ensure_future(self._recover())

    async def _recover(self) -> None:
        pause = _FIRST_RETRY_S
        while True:
            await asyncio.sleep(pause)
            pause = min(_LAST_RETRY_S, 2 * pause)
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._redis.ping()
            except (RedisError, OSError, TimeoutError):
                continue
            _logger.warning("redis answers again")
            self._problem = None
            self._observer.store_up(True)
            return


def _lease(key: str) -> str:
    # In the same slot of a cluster: a script may touch both (the braces are a hash tag).
    return f"{{{key}}}:lease"
