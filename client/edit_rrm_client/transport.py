"""httpx2, as a call's steps need it: what is sent, and what its failures mean."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

import httpx2

from edit_rrm_client.call import NoResponse, Send
from edit_rrm_client.errors import RewardClientError
from edit_rrm_client.protocol import HttpResponse

_KEEPALIVE_S = 30.0
"""Shorter than servers keep idle connections, so that none closes under a request."""
_CONNECT_S = 5.0
_EXAMPLE_URL = "http://127.0.0.1:8000"


def http_client(
    headers: Mapping[str, str], connections: int, transport: httpx2.AsyncBaseTransport | None
) -> httpx2.AsyncClient:
    """A pool of connections, for one event loop; no redirects are followed with a key in hand."""
    # No proxies of the environment: a judge is a neighbour, and its key is for nobody in between.
    limits = httpx2.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEPALIVE_S
    )
    return httpx2.AsyncClient(
        headers=dict(headers), limits=limits, transport=transport, follow_redirects=False, trust_env=False
    )


async def send(http: httpx2.AsyncClient, step: Send) -> HttpResponse | NoResponse:
    """Take one step. Never longer than it may, however slowly the answer trickles in."""
    timeout = httpx2.Timeout(step.within_s, connect=min(_CONNECT_S, step.within_s))
    method = "POST" if step.request.parts else "GET"
    files = step.request.parts or None
    try:
        async with asyncio.timeout(step.within_s):
            reply = await http.request(
                method, step.url + step.request.path, files=files, headers=dict(step.headers), timeout=timeout
            )
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        return NoResponse("connect", reason(error), error)
    except (TimeoutError, httpx2.ReadTimeout, httpx2.WriteTimeout, httpx2.PoolTimeout) as error:
        return NoResponse("late", reason(error), error)
    except httpx2.TransportError as error:
        return NoResponse("broken", reason(error), error)
    except httpx2.RequestError as error:
        return NoResponse("unreadable", reason(error), error)
    return HttpResponse(reply.status_code, reply.content, {key.lower(): value for key, value in reply.headers.items()})


def checked_urls(given: str | Sequence[str], key: str | None) -> tuple[tuple[str, ...], str | None]:
    """Base URLs without a slash at their ends and without the key that one may have as its password; and the key.

    Raises:
        RewardClientError: One is no URL, there is none, or there are several keys.
    """
    listed = [given] if isinstance(given, str) else list(given)
    if not listed:
        raise RewardClientError(f"no URL to ask; give one such as {_EXAMPLE_URL}", code="invalid_url")
    found = [checked_url(url) for url in listed]
    keys = {one for _, one in found if one is not None} | ({checked_key(key)} if key and key.strip() else set())
    if len(keys) > 1:
        raise RewardClientError("the URLs and api_key name several API keys; give one", code="invalid_api_key")
    return tuple(url for url, _ in found), next(iter(keys), None)


def checked_url(url: str) -> tuple[str, str | None]:
    """A base URL without a slash at its end, and the key that it has as its password.

    Raises:
        RewardClientError: It is none.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise RewardClientError(
            f"{url!r} is not a URL ({error}); give one such as {_EXAMPLE_URL}", code="invalid_url"
        ) from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise RewardClientError(f"{url!r} is not an HTTP URL; give one such as {_EXAMPLE_URL}", code="invalid_url")
    key = parsed.password or None
    bare = parsed.copy_with(username=None, password=None, query=None, fragment=None) if parsed.userinfo else parsed
    return str(bare).rstrip("/"), None if key is None else checked_key(key)


def checked_key(key: str) -> str:
    """A key without the line end that a file brings along; anything else HTTP cannot carry is refused, unprinted.

    Raises:
        RewardClientError: It cannot be sent.
    """
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise RewardClientError("the API key has characters that an HTTP header cannot carry", code="invalid_api_key")
    return key


def checked_seconds(name: str, seconds: float) -> float:
    """A time that can be waited for.

    Raises:
        RewardClientError: It is none.
    """
    if not (math.isfinite(seconds) and seconds >= 0.0):
        raise RewardClientError(
            f"{name}={seconds} is no time to wait; give a finite number of seconds", code="invalid_timeout"
        )
    return seconds


def checked_identity(identity: str | None) -> str | None:
    """An identity as headers carry it, without the line end that a file brings along.

    Raises:
        RewardClientError: It is none.
    """
    if identity is None:
        return None
    stripped = identity.strip()
    if not (stripped and stripped.isascii() and stripped.isprintable()):
        raise RewardClientError(
            f"expect_identity={identity[:80]!r} is no identity; `edit-rrm identity` prints one, and 'first' takes the "
            "first one",
            code="invalid_identity",
        )
    return stripped


def reason(error: BaseException) -> str:
    """What an error says, or its type where it says nothing."""
    return str(error) or type(error).__name__
