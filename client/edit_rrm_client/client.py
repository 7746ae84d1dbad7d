"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Aggregation, Mode, Reward
from edit_rrm.wire import DecomposeResponse, Identity, RewardsResponse, VerifyResponse
from edit_rrm_client.errors import BadResponseError, ConnectionFailedError, RewardClientError
from edit_rrm_client.protocol import HttpRequest, ImageInput, build_request, encode_image, parse_response

ModelT = TypeVar("ModelT", bound=BaseModel)

_KEEPALIVE_S = 30.0
"""Shorter than servers keep idle connections, so that none closes under a request."""
_SHOWN = 200
_EXAMPLE_URL = "http://127.0.0.1:8000"
_ADVICE = "is the service running there? `edit-rrm serve` starts one"


class RewardClient:
    """Talks to one Edit-RRM service; safe to share between threads.

    ::

        with RewardClient("http://localhost:8000") as client:
            print(client.reward("make the star blue", "source.png", "edited.png").reward)
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 120.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            url: The service's base URL.
            api_key: Key to send, where the service wants one.
            timeout: Seconds to wait for an answer.
            transport: Replaces the network, for tests.

        Raises:
            RewardClientError: The URL or the key cannot be used at all.
        """
        self._url = _checked_url(url)
        self._timeout = timeout
        self._http = httpx2.Client(
            base_url=self._url,
            headers={} if api_key is None else {"Authorization": f"Bearer {_checked_key(api_key)}"},
            timeout=httpx2.Timeout(timeout, connect=5.0),
            limits=httpx2.Limits(max_connections=128, max_keepalive_connections=64, keepalive_expiry=_KEEPALIVE_S),
            transport=transport,
        )

    def __enter__(self) -> RewardClient:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def reward(
        self,
        instruction: str,
        source: ImageInput,
        edited: ImageInput,
        *,
        principles: Sequence[Principle] | None = None,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        samples: int = 1,
    ) -> Reward:
        """Judge one edit.

        Raises:
            ApiStatusError: Anything but a measured score; `code` names the outcome or what is wrong with the request.
            ConnectionFailedError: The service did not answer.
        """
        fields = _fields(instruction, principles, mode, aggregation, samples)
        request = build_request("/v1/reward", fields, encode_image(source), [encode_image(edited)])
        return self._post(Reward, request)

    def rewards(
        self,
        instruction: str,
        source: ImageInput,
        edited: Sequence[ImageInput],
        *,
        principles: Sequence[Principle] | None = None,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        samples: int = 1,
    ) -> RewardsResponse:
        """Judge a group of edits of one source; each result has its own outcome.

        Raises:
            ApiStatusError: The request itself is wrong, or its source image.
            ConnectionFailedError: The service did not answer.
        """
        fields = _fields(instruction, principles, mode, aggregation, samples)
        request = build_request("/v1/rewards", fields, encode_image(source), [encode_image(image) for image in edited])
        return self._post(RewardsResponse, request)

    def decompose(self, instruction: str, source: ImageInput) -> DecomposeResponse:
        """Break an instruction into principles. Raises as `reward` does."""
        request = build_request("/v1/decompose", {"instruction": instruction}, encode_image(source))
        return self._post(DecomposeResponse, request)

    def verify(
        self,
        instruction: str,
        source: ImageInput,
        edited: ImageInput,
        principles: Sequence[Principle],
        *,
        mode: Mode = Mode.THINK,
    ) -> VerifyResponse:
        """Check principles on one edit; verdicts without a score. Raises as `reward` does."""
        fields = {"instruction": instruction, "principles": _dumped(principles), "mode": mode.value}
        request = build_request("/v1/verify", fields, encode_image(source), [encode_image(edited)])
        return self._post(VerifyResponse, request)

    def identity(self) -> Identity:
        """What exactly is judging. Raises as `reward` does."""
        return self._answer(Identity, lambda: self._http.get("/v1/identity"))

    def wait_until_ready(self, within: float = 600.0) -> None:
        """Return once the service takes work.

        Raises:
            ConnectionFailedError: It did not within `within` seconds.
        """
        deadline = time.monotonic() + within
        while True:
            try:
                reply = self._http.get("/readyz", timeout=5.0)
            except httpx2.RequestError as error:
                last = _reason(error)
            else:
                if reply.is_success:
                    return
                last = f"HTTP {reply.status_code}: {reply.text[:_SHOWN]}"
            if time.monotonic() >= deadline:
                break
            time.sleep(min(0.2, max(0.0, deadline - time.monotonic())))
        message = f"{self._url} was not ready within {within:g} s ({last}); {_ADVICE}"
        raise ConnectionFailedError(message, code="not_ready", retryable=True)

    def _post(self, model: type[ModelT], request: HttpRequest) -> ModelT:
        return self._answer(model, lambda: self._http.post(request.path, files=request.parts))

    def _answer(self, model: type[ModelT], call: Callable[[], httpx2.Response]) -> ModelT:
        try:
            reply = call()
        except (httpx2.ReadTimeout, httpx2.WriteTimeout, httpx2.PoolTimeout) as error:
            message = (
                f"{self._url} did not answer within {self._timeout:g} s; allow more: RewardClient(..., timeout=SECONDS)"
            )
            raise ConnectionFailedError(message, code="no_answer_in_time", retryable=True) from error
        except httpx2.TransportError as error:
            message = f"{self._url} did not answer ({_reason(error)}); {_ADVICE}"
            raise ConnectionFailedError(message, code="connection_failed", retryable=True) from error
        except httpx2.RequestError as error:
            raise BadResponseError(
                f"{self._url} sent what cannot be read ({_reason(error)}); is the URL right?", code="bad_response"
            ) from error
        return parse_response(model, reply.status_code, reply.content)


def _checked_url(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise RewardClientError(
            f"{url!r} is not a URL ({error}); give one such as {_EXAMPLE_URL}", code="invalid_url"
        ) from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise RewardClientError(f"{url!r} is not an HTTP URL; give one such as {_EXAMPLE_URL}", code="invalid_url")
    return url.rstrip("/")


def _checked_key(key: str) -> str:
    """A key without the line end that a file brings along; anything else HTTP cannot carry is refused, unprinted."""
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise RewardClientError("the API key has characters that an HTTP header cannot carry", code="invalid_api_key")
    return key


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _fields(
    instruction: str,
    principles: Sequence[Principle] | None,
    mode: Mode,
    aggregation: Aggregation | None,
    samples: int,
) -> dict[str, Any]:
    return {
        "instruction": instruction,
        "principles": None if principles is None else _dumped(principles),
        "mode": mode.value,
        "aggregation": None if aggregation is None else aggregation.value,
        "samples": samples,
    }


def _dumped(principles: Sequence[Principle]) -> list[dict[str, Any]]:
    return [principle.model_dump(mode="json") for principle in principles]
