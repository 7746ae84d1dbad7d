"""Several servers of one model: which one a prompt goes to, when one is left alone, and what a failure means."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from edit_rrm_service.engines.base import Backend, EngineError, EngineStartError
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.tracing import outgoing

_logger = logging.getLogger(__name__)

_BACKOFF_S = 0.25
_BACKOFF_MAX_S = 8.0
_EJECT_DOUBLINGS = 3
_HEADROOM = 1.25
"""A new key goes to servers with up to this many times the average load."""
_SLACK = 4
"""And this many requests more, so that a few requests are not spread for evenness' sake."""
_BUSY = frozenset({408, 409, 425, 429})
"""Statuses that ask for another try and say nothing against the server."""


class StatusError(EngineError):
    """A server answered with an error that another try won't change."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        hint = "; check the API key" if status in (401, 403) else ""
        super().__init__(f"the server answered {status}: {error.get('message') or 'no message'}{hint}", retryable=False)
        self.status = status
        self.error = error


@dataclass(slots=True, eq=False)
class Server:
    """One base URL and how it has been doing."""

    url: str
    failures: int = 0
    """In a row."""
    ejected_until: float = 0.0
    in_flight: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    """Attempts by how they ended."""


class _TryAnotherError(Exception):
    """An attempt failed in a way that another server, or a later attempt, may not."""

    def __init__(self, reason: str, *, wait_s: float = 0.0, busy: bool = False) -> None:
        super().__init__(reason)
        self.wait_s = wait_s
        self.busy = busy


class Servers:
    """Sends requests to one of several servers.

    A prompt's key decides its server by rendezvous hashing, so that prompts with a shared prefix meet on the server
    that has it cached, and only the keys of a failed server move. Loads are bounded (Mirrokni, Thorup and
    Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018): a new key passes over servers that have more
    than their share under way, and stays where it went as long as anything of it is under way. A server that fails is
    left alone for a while, longer every time, and is back as soon as it answers; if all are, they are tried anyway, for
    there is nothing to lose.
    """

    def __init__(
        self,
        options: EngineOptions,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare connections; none is opened before the first request.

        Raises:
            EngineStartError: The API key cannot be sent.
        """
        self.all = [Server(url) for url in dict.fromkeys(url.rstrip("/") for url in options.base_urls)]
        self._options = options
        api_key = _checked(options.api_key)
        passwords = [_password(url) for url in options.base_urls]
        self._secrets = [secret for secret in (api_key, *passwords) if secret]
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._homes: dict[bytes, tuple[Server, int]] = {}
        """Where the keys of requests under way are, and how many requests those are."""
        self._slots = asyncio.Semaphore(options.max_connections)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx2.AsyncClient(
            headers=headers,
            timeout=None,  # every attempt has one limit of its own, from its first byte to its last
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=options.max_connections),
            transport=transport,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def order(self, key: bytes) -> list[Server]:
        """Servers for a key, best first.

        Where the key is at home while anything of it is under way; then by rendezvous hash, those last that have more
        than their share; then the ejected ones, soonest back first.
        """
        now = self._clock()
        home = self._homes.get(key, (None, 0))[0]
        share = _SLACK + _HEADROOM * sum(server.in_flight for server in self.all) / len(self.all)
        ranked = sorted(self.all, key=lambda server: hashlib.sha256(server.url.encode() + b"\0" + key).digest())
        ranked.sort(key=lambda server: server is not home and server.in_flight >= share)
        ranked.sort(key=lambda server: server is not home)
        return sorted(ranked, key=lambda server: max(0.0, server.ejected_until - now))

    def backends(self) -> list[Backend]:
        """How every server has been doing."""
        now = self._clock()
        return [
            Backend(self._scrub(server.url), server.ejected_until <= now, server.in_flight, dict(server.ended))
            for server in self.all
        ]

    async def request(self, method: str, path: str, *, key: bytes = b"", body: Any = None) -> Any:
        """Send a request and return the JSON of its reply, trying other servers where that can help.

        Raises:
            StatusError: The request itself is at fault.
            EngineError: Every attempt failed.
        """
        tried: list[Server] = []
        reasons: list[str] = []
        for attempt in range(self._options.max_attempts):
            candidates = self.order(key)
            server = next((item for item in candidates if item not in tried), None)
            if server is None:  # all were tried: start another round, but not with the one that has just failed
                server = next((item for item in candidates if item is not tried[-1]), candidates[0])
                tried = tried[-1:]
            tried.append(server)
            try:
                async with self._slots:
                    with self._at_home(key, server):
                        return await self.attempt(server, method, path, body=body)
            except _TryAnotherError as error:
                reasons.append(str(error))
                if attempt + 1 < self._options.max_attempts:
                    ceiling = min(_BACKOFF_MAX_S, _BACKOFF_S * 2**attempt)
                    # What one server asks for is no reason to keep another one waiting.
                    asked = 0.0 if len(tried) < len(self.all) else min(error.wait_s, _BACKOFF_MAX_S)
                    await self._sleep(self._rng.uniform(0.0, ceiling) + asked)
        raise EngineError(f"no server answered after {len(reasons)} attempts: {'; '.join(dict.fromkeys(reasons))}")

    @contextmanager
    def _at_home(self, key: bytes, server: Server) -> Iterator[None]:
        """Keep a key at a server while requests of it are under way."""
        home, requests = self._homes.get(key, (server, 0))
        # Another attempt of one request moves nothing: the others of its group stay where their prefix is.
        self._homes[key] = (home if requests else server, requests + 1)
        try:
            yield
        finally:
            home, requests = self._homes[key]
            if requests > 1:
                self._homes[key] = (home, requests - 1)
            else:
                del self._homes[key]

    async def attempt(
        self, server: Server, method: str, path: str, *, body: Any = None, timeout_s: float | None = None
    ) -> Any:
        """Send a request to one server, once. `path` starting with a slash leaves out the base URL's `/v1`."""
        server.in_flight += 1
        ended = "failed"
        try:
            reply = await self._attempt(server, method, path, body, timeout_s or self._options.request_timeout_s)
            ended = "ok"
            return reply
        except StatusError:
            ended = "refused"
            raise
        except _TryAnotherError as error:
            ended = "busy" if error.busy else "failed"
            raise
        except asyncio.CancelledError:
            ended = "cancelled"
            raise
        finally:
            server.in_flight -= 1
            server.ended[ended] += 1

    async def _attempt(self, server: Server, method: str, path: str, body: Any, timeout_s: float) -> Any:
        url = server.url.removesuffix("/v1") + path if path.startswith("/") else f"{server.url}/{path}"
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._client.request(method, url, json=body, headers=dict(outgoing.get()))
        except TimeoutError:
            self._failed(server)
            raise self._another(server, f"no answer in {timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            self._failed(server)
            raise self._another(server, f"{type(error).__name__} {error}") from None
        if reply.status_code in _BUSY:
            wait_s = _seconds(reply.headers.get("retry-after"))
            raise self._another(server, f"busy ({reply.status_code})", wait_s=wait_s, busy=True)
        if reply.status_code >= 500:
            self._failed(server)
            raise self._another(server, f"{reply.status_code} {self._error(reply).get('message', '')}")
        self._answered(server)
        if reply.status_code >= 400:
            raise StatusError(reply.status_code, self._error(reply))
        try:
            return reply.json()
        except (ValueError, RecursionError):  # half an answer, or the page of a proxy
            raise self._another(server, f"{path} did not return JSON") from None

    async def try_each(self, method: str, path: str, *, timeout_s: float | None = None) -> dict[Server, Any]:
        """Ask every server once; a reply, or the `EngineError` or reason why there is none, for each."""

        async def one(server: Server) -> Any:
            try:
                return await self.attempt(server, method, path, timeout_s=timeout_s)
            except StatusError as error:
                return error
            except _TryAnotherError as error:
                return EngineError(str(error))

        replies = await asyncio.gather(*(one(server) for server in self.all))
        return dict(zip(self.all, replies, strict=True))

    def _another(self, server: Server, reason: str, *, wait_s: float = 0.0, busy: bool = False) -> _TryAnotherError:
        return _TryAnotherError(self._scrub(f"{server.url}: {reason}".rstrip()), wait_s=wait_s, busy=busy)

    def _error(self, reply: httpx2.Response) -> Mapping[str, Any]:
        return {name: self._scrub(item) if isinstance(item, str) else item for name, item in _error(reply).items()}

    def _scrub(self, text: str) -> str:
        """Take secrets out of a message: servers repeat what they were sent, and URLs may hold passwords."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _failed(self, server: Server) -> None:
        if self._clock() < server.ejected_until:
            return  # one of several requests that were under way when it failed
        pause = self._options.eject_s * 2 ** min(server.failures, _EJECT_DOUBLINGS)
        server.failures += 1
        server.ejected_until = self._clock() + pause
        url = self._scrub(server.url)
        _logger.warning("%s failed %d time(s) in a row and is left alone for %g s", url, server.failures, pause)

    def _answered(self, server: Server) -> None:
        if server.failures:
            _logger.warning("%s answers again", self._scrub(server.url))
        server.failures = 0
        server.ejected_until = 0.0


def _error(reply: httpx2.Response) -> Mapping[str, Any]:
    """Find the error object in OpenAI's shape, vLLM's older flat one, or neither."""
    try:
        body = reply.json()
    except (ValueError, RecursionError):
        return {"message": reply.text[:200]}
    if not isinstance(body, dict):
        return {"message": reply.text[:200]}
    error = body.get("error", body)
    return error if isinstance(error, dict) else {"message": str(error)}


def _checked(api_key: str | None) -> str | None:
    """Strip an API key, which may come with the line break of its file, and refuse what no header can carry."""
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise EngineStartError("the API key holds spaces or characters that no HTTP header can carry; check it")
    return key or None


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None


def _seconds(retry_after: str | None) -> float:
    try:
        return max(0.0, float(retry_after or 0.0))
    except ValueError:
        return 0.0  # an HTTP date; the jittered pause has to do
