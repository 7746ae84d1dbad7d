"""The OpenAI chat API as a judge needs it: request bodies, and what their replies say. Pure."""

from __future__ import annotations

import base64
import io
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from edit_rrm_service.engines.base import (
    Completion,
    EngineError,
    EngineImage,
    FinishReason,
    LabelReading,
    Prompt,
    Sampling,
)

ProbeMethod = Literal["token_ids", "top_logprobs"]
TOP_LOGPROBS = 20
"""Most the OpenAI API returns."""

_REFUSAL_CODES = frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"})
_ABSENT = float("-inf")
_ROUNDING = 0.01
"""How far above 0 a server's own rounding may put a log-probability."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server understands beyond the common ground; found out at start."""

    limit_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    vllm: str | None = None
    """Version of vLLM behind the API, if it is one."""
    probe: ProbeMethod | None = None
    label_ids: Mapping[str, int] | None = None
    """Token of every label, for `token_ids`."""


class DataUrls:
    """Images as PNG data URLs; the latest are kept, for all edits of a group share their source."""

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._known: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def url(self, image: EngineImage) -> str:
        """Encode an image without loss, or return what was encoded before."""
        with self._lock:
            found = self._known.pop(image.digest, None)
        if found is None:
            buffer = io.BytesIO()
            image.pixels.save(buffer, format="PNG", compress_level=1)
            found = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
        with self._lock:
            self._known[image.digest] = found
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return found


def messages(prompt: Prompt, urls: DataUrls, dialect: Dialect) -> list[dict[str, Any]]:
    """Write a prompt as chat messages."""
    content: list[dict[str, Any]] = []
    for part in prompt.parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        else:
            picture: dict[str, Any] = {"type": "image_url", "image_url": {"url": urls.url(part)}}
            if dialect.vllm:
                picture["uuid"] = part.digest
            content.append(picture)
    return [{"role": "system", "content": prompt.system}, {"role": "user", "content": content}]


def generation(model: str, chat: Sequence[Mapping[str, Any]], sampling: Sampling, dialect: Dialect) -> dict[str, Any]:
    """Body of a completion request. Sampling is spelt out: servers fill gaps from the checkpoint's own defaults."""
    body: dict[str, Any] = {
        "model": model,
        "messages": list(chat),
        dialect.limit_field: sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if dialect.vllm:
        # Qwen2.5-VL's generation_config.json, which `vllm serve` applies, would repeat-penalise verdicts ("1 1 1 1").
        body |= {"repetition_penalty": 1.0, "top_k": 0, "min_p": 0.0}
    return body


def probing(model: str, chat: Sequence[Mapping[str, Any]], dialect: Dialect) -> dict[str, Any]:
    """Body of a one-token request that returns label log-probabilities."""
    body = generation(model, chat, Sampling(max_tokens=1), dialect) | {"logprobs": True}
    if dialect.probe == "token_ids":
        ids = sorted((dialect.label_ids or {}).values())
        return body | {"logprob_token_ids": ids, "return_tokens_as_token_ids": True}
    return body | {"top_logprobs": TOP_LOGPROBS}


def completion(reply: Mapping[str, Any]) -> Completion:
    """Read a completion.

    Raises:
        EngineError: The reply is not one.
    """
    with _strictly():
        choice = _choice(reply)
        message = choice.get("message") or {}
        reason = choice.get("finish_reason")
        finish: FinishReason = "length" if reason == "length" else "stop"
        if message.get("refusal") or reason == "content_filter":
            finish = "refused"
        elif reason not in ("stop", "length"):
            raise EngineError(f"the server ended the answer with finish_reason {reason!r}", retryable=False)
        text = message.get("refusal") or message.get("content") or ""
        if not isinstance(text, str):
            raise TypeError(f"the answer is of type {type(text).__name__}")
        prompt_tokens, cached, completion_tokens = _usage(reply)
    return Completion(text, finish, prompt_tokens, cached, completion_tokens)


def refusal(status: int, error: Mapping[str, Any]) -> Completion | None:
    """Read a moderation error, which some servers send in place of a completion; None where it is not one."""
    if status == 400 and _REFUSAL_CODES & {str(error.get("code")), str(error.get("type"))}:
        return Completion(str(error.get("message") or ""), "refused", 0, 0, 0)
    return None


def reading(reply: Mapping[str, Any], labels: Sequence[str], dialect: Dialect) -> LabelReading:
    """Read label log-probabilities.

    Raises:
        EngineError: The reply has none.
    """
    with _strictly():
        logprobs = _choice(reply).get("logprobs") or {}
        rows = logprobs.get("content") or [{}]
        top = rows[0].get("top_logprobs")
        if not top:
            raise EngineError("the server returned no log-probabilities", retryable=False)
        found = [(str(item["token"]), _logprob(item["logprob"])) for item in top]
        if dialect.probe == "token_ids":
            values = _by_token(dict(found), labels, dialect.label_ids or {})
        else:
            values = {label: _sum(value for token, value in found if token.strip() == label) for label in labels}
        prompt_tokens, cached, _ = _usage(reply)
    return LabelReading(values, prompt_tokens, cached)


@contextmanager
def _strictly() -> Iterator[None]:
    """Turn whatever a reply of another form makes the code around it raise into an `EngineError`."""
    try:
        yield
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise EngineError(
            f"the server's reply is not in the form of OpenAI's API: {reason}", retryable=False
        ) from error


def _logprob(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= _ROUNDING:
        raise ValueError(f"{value!r} is no log-probability")
    return min(0.0, float(value))


def _by_token(found: Mapping[str, float], labels: Sequence[str], ids: Mapping[str, int]) -> dict[str, float]:
    missing = [label for label in labels if label in ids and f"token_id:{ids[label]}" not in found]
    if missing:
        raise EngineError(f"the server returned no log-probability for {', '.join(missing)}", retryable=False)
    return {label: found[f"token_id:{ids[label]}"] if label in ids else _ABSENT for label in labels}


def _sum(logprobs: Any) -> float:
    # Spellings are disjoint events, so only rounding can bring their sum above 1.
    return min(0.0, math.log(total)) if (total := sum(map(math.exp, logprobs))) > 0.0 else _ABSENT


def _choice(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise EngineError("the server's reply has no choices", retryable=False)
    return choices[0]


def _usage(reply: Mapping[str, Any]) -> tuple[int, int, int]:
    usage = reply.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    return (
        int(usage.get("prompt_tokens") or 0),
        int(details.get("cached_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
    )
