"""Idempotency keys: a request that is sent twice is done once, and answered twice alike.

A client sends one `Idempotency-Key` with every try of one logical call (as in Stripe's API, and in the draft of the
IETF's httpapi working group). The first answer that is final is kept and replayed; tries that come while it is being
made wait for it. Answers that another try could better are not kept.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable

from edit_rrm_service.cache_entry import Record
from edit_rrm_service.callers import Caller
from edit_rrm_service.errors import ApiError
from edit_rrm_service.shared_work import SharedWork

_LONGEST_KEY = 255


class Answer(Record):
    """What a request was answered."""

    fingerprint: str
    """Of the request, so that another request under the same key is told from another try."""
    body: str
    final: bool
    """Whether another try would be answered the same."""


class Idempotency:
    """Answers by caller and key."""

    def __init__(self, shared: SharedWork) -> None:
        """Keep answers by these means."""
        self._shared = shared

    async def run(
        self,
        caller: Caller,
        key: str,
        fingerprint: Awaitable[str],
        work: Callable[[], Awaitable[tuple[str, bool]]],
        *,
        identity: str,
    ) -> tuple[str, bool]:
        """Answer a request, or replay what it was answered before.

        Args:
            caller: Keys are each caller's own.
            key: The client's, from `checked_key`.
            fingerprint: Of the request; waited for once the work is done, so that it may be made beside it.
            work: Makes the body, and says whether it is final.
            identity: Of the judge. What another one answered is not replayed: the client may have pinned this one.

        Returns:
            The body, and whether it is a replay.

        Raises:
            ApiError: 422; the key came with another request before.
        """
        own = asyncio.ensure_future(fingerprint)  # this try's; others may wait for the answer that it is part of

        async def answer() -> Answer:
            body, final = await work()
            return Answer(fingerprint=await asyncio.shield(own), body=body, final=final)

        owner = hashlib.sha256(f"{identity}:{len(caller.name)}:{caller.name}:{key}".encode()).hexdigest()
        name = f"edit-rrm:v1:idempotency:{owner}"
        found, how = await self._shared.run("idempotency", name, Answer, answer, keep=lambda made: made.final)
        if found.fingerprint != await asyncio.shield(own):
            raise ApiError(
                422,
                "idempotency_key_reused",
                "this Idempotency-Key came with another request before; make one key per request, and send it with "
                "every try of that request alone",
                param="idempotency-key",
            )
        return found.body, how != "miss"


def checked_key(header: str) -> str:
    """An `Idempotency-Key` as it was sent.

    Raises:
        ApiError: 422 where it is empty, too long, or not printable ASCII.
    """
    if not (0 < len(header) <= _LONGEST_KEY and header.isascii() and header.isprintable()):
        message = f"Idempotency-Key is 1 to {_LONGEST_KEY} printable ASCII characters, such as a UUID"
        raise ApiError(422, "invalid_request", message, param="idempotency-key")
    return header


def fingerprint_of(path: str, request: str, images: Iterable[bytes]) -> str:
    """SHA-256 (hex) over what a request asks: its path, its fields as canonical JSON, and its images as they came."""
    digest = hashlib.sha256(f"{len(path)}:{path}:{len(request)}:{request}".encode())
    for image in images:
        digest.update(hashlib.sha256(image).digest())
    return digest.hexdigest()
