"""httpx2, as a call's steps need it: what is sent, and what its failures mean."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

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
    limits = httpx2.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEPALIVE_S
    )
    return httpx2.AsyncClient(headers=dict(headers), limits=limits, transport=transport, follow_redirects=False)


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


def checked_url(url: str) -> str:
    """A base URL without a slash at its end.

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
    return url.rstrip("/")


def checked_key(key: str) -> str:
    """A key without the line end that a file brings along; anything else HTTP cannot carry is refused, unprinted.

    Raises:
        RewardClientError: It cannot be sent.
    """
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise RewardClientError("the API key has characters that an HTTP header cannot carry", code="invalid_api_key")
    return key


def reason(error: BaseException) -> str:
    """What an error says, or its type where it says nothing."""
    return str(error) or type(error).__name__
