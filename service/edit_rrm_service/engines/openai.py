"""The judge on one or more OpenAI-compatible servers: `vllm serve`, or a hosted vision-language model."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from edit_rrm.card import JudgeCard
from edit_rrm_service.engines import chat_api
from edit_rrm_service.engines.base import (
    Backend,
    Completion,
    EngineError,
    EngineFacts,
    EngineImage,
    EngineStartError,
    LabelReading,
    ProbeUnsupportedError,
    Prompt,
    Sampling,
)
from edit_rrm_service.engines.chat_api import DataUrls, Dialect
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.rendering import resolve_labels
from edit_rrm_service.engines.servers import Servers, StatusError

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_CHECK_S = 5.0
"""For a server to list its models. One that takes longer hangs, and is left alone."""
_TRIAL = Prompt("Answer with a single word.", ("Is one more than zero? Answer yes or no.",))


class OpenAIEngine:
    """A judge behind the OpenAI chat API.

    All base URLs must serve the same model. Images go as PNG data URLs; their size is what the service made of them by
    the judge card, so servers should keep their own pixel limits at or beyond the card's.
    """

    def __init__(
        self, model: str, card: JudgeCard, options: EngineOptions | None = None, *, servers: Servers | None = None
    ) -> None:
        """Prepare an engine; nothing is sent before `start`. An empty `model` takes the only one the servers have."""
        self._options = options or EngineOptions()
        self._model = model
        self._card = card
        self._servers = servers or Servers(self._options)
        self._urls = DataUrls()
        self._dialect = Dialect()
        self._facts: EngineFacts | None = None

    @property
    def facts(self) -> EngineFacts:
        """Facts about the remote model; valid after `start`."""
        if self._facts is None:
            raise RuntimeError("the engine has not been started")
        return self._facts

    async def start(self, labels: Sequence[str]) -> None:
        """Find the model and what its servers can do.

        Raises:
            EngineStartError: With one line that says what to do.
        """
        if not self._servers.all:
            raise EngineStartError("the openai engine needs at least one base URL, such as http://127.0.0.1:8000/v1")
        self._model = await self._find_model()
        await self._find_limit_field()
        self._dialect = replace(self._dialect, vllm=await self._vllm_version())
        await self._find_probe(labels)
        details = {
            "vllm": self._dialect.vllm,
            "probe": self._dialect.probe,
            "image": self._card.image.model_dump(),
            "labels": dict(self._dialect.label_ids or {}),
        }
        supported = self._dialect.probe is not None
        concurrency = self._options.max_connections
        self._facts = EngineFacts("openai", self._model, None, "remote", supported, details, concurrency)

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion | EngineError]:
        """Complete every prompt; a seed applies to each of them."""

        async def one(prompt: Prompt) -> Completion:
            chat = await asyncio.to_thread(chat_api.messages, prompt, self._urls, self._dialect)
            body = chat_api.generation(self._model, chat, sampling, self._dialect)
            try:
                return chat_api.completion(await self._post(prompt, body))
            except StatusError as error:
                if refused := chat_api.refusal(error.status, error.error):
                    return refused
                raise

        return await _each(prompts, one)

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[LabelReading | EngineError]:
        """Read label log-probabilities after every prompt, where the server can return them."""

        async def one(prompt: Prompt) -> LabelReading:
            if self._dialect.probe is None:
                raise ProbeUnsupportedError("this server returns no log-probabilities; use mode 'think'")
            chat = await asyncio.to_thread(chat_api.messages, prompt, self._urls, self._dialect)
            body = chat_api.probing(self._model, chat, self._dialect)
            return chat_api.reading(await self._post(prompt, body), labels, self._dialect)

        return await _each(prompts, one)

    def backends(self) -> Sequence[Backend]:
        """The servers, as they have been doing."""
        return self._servers.backends()

    async def check(self) -> None:
        """Return if a server answers.

        Raises:
            EngineError: None does. Never `EngineDeadError`: replacing this process would not bring a server back.
        """
        replies = await self._servers.try_each("GET", "models", timeout_s=_CHECK_S)
        problems = [str(reply) for reply in replies.values() if isinstance(reply, EngineError)]
        if len(problems) == len(replies):
            raise EngineError(f"no server answers: {'; '.join(problems)}")

    async def close(self) -> None:
        """Close the connections; servers abort what they were doing for them."""
        await self._servers.close()

    async def _post(self, prompt: Prompt, body: dict[str, Any]) -> dict[str, Any]:
        reply = await self._servers.request("POST", "chat/completions", key=sharing_key(prompt), body=body)
        return _object(reply)

    async def _find_model(self) -> str:
        replies = await self._servers.try_each("GET", "models")
        answers = [reply for reply in replies.values() if not isinstance(reply, EngineError)]
        problems = [reply for reply in replies.values() if isinstance(reply, EngineError)]
        if not answers:
            if self._model and all(isinstance(item, StatusError) and item.status in (404, 405) for item in problems):
                return self._model  # some hosts do not list models
            raise EngineStartError(f"no server can be used: {'; '.join(map(str, problems))}")
        for problem in problems:
            _logger.warning("a server is not available at start: %s", problem)
        names = {name for reply in answers for name in _names(reply)}
        if self._model in names:
            return self._model
        if not self._model and len(names) == 1:
            return names.pop()
        asked = f"model {self._model!r} is not served there" if self._model else "say which model"
        raise EngineStartError(f"{asked}; the servers list: {', '.join(sorted(names)[:20]) or 'none'}")

    async def _find_limit_field(self) -> None:
        try:
            await self._try(chat_api.generation, Sampling(max_tokens=1))
        except StatusError as error:
            if error.status not in (400, 422):
                raise EngineStartError(str(error)) from None
            self._dialect = replace(self._dialect, limit_field="max_tokens")
            try:
                await self._try(chat_api.generation, Sampling(max_tokens=1))
            except EngineError as second:
                raise EngineStartError(f"a trial request failed: {second}") from None
        except EngineError as error:
            raise EngineStartError(f"a trial request failed: {error}") from None

    async def _vllm_version(self) -> str | None:
        try:
            reply = await self._servers.request("GET", "/version")
        except EngineError:
            return None
        version = reply.get("version") if isinstance(reply, dict) else None
        return version if isinstance(version, str) else None

    async def _find_probe(self, labels: Sequence[str]) -> None:
        """Use exact token ids where the server takes them, else the most likely tokens' texts, else nothing."""
        if self._dialect.vllm and (ids := await self._label_ids(labels)):
            self._dialect = replace(self._dialect, probe="token_ids", label_ids=ids)
            if await self._probe_works(labels):
                return
        self._dialect = replace(self._dialect, probe="top_logprobs", label_ids=None)
        if await self._probe_works(labels):
            _logger.warning("probes see only the %d most likely tokens of this server", chat_api.TOP_LOGPROBS)
            return
        self._dialect = replace(self._dialect, probe=None)
        _logger.warning("this server returns no log-probabilities: mode 'probe' is not available, only 'think'")

    async def _probe_works(self, labels: Sequence[str]) -> bool:
        try:
            chat_api.reading(await self._try(chat_api.probing), labels, self._dialect)
        except EngineError as error:
            _logger.debug("no probes by %s: %s", self._dialect.probe, error)
            return False
        return True

    async def _label_ids(self, labels: Sequence[str]) -> dict[str, int] | None:
        """Ask the server's tokenizer; None where it has no such endpoint.

        Raises:
            EngineStartError: An answer has no label that is a single token.
        """
        chat = chat_api.messages(_TRIAL, self._urls, self._dialect)

        async def tokens(turns: list[dict[str, Any]], *, cue: bool) -> list[int]:
            body = {
                "model": self._model,
                "messages": turns,
                "add_generation_prompt": cue,
                "continue_final_message": not cue,
            }
            return list(_object(await self._servers.request("POST", "/tokenize", body=body))["tokens"])

        found: dict[str, int | None] = {}
        try:
            before = await tokens(chat, cue=True)
            for label in labels:
                after = await tokens([*chat, {"role": "assistant", "content": label}], cue=False)
                single = len(after) == len(before) + 1 and after[:-1] == before
                found[label] = after[-1] if single else None
        except (EngineError, KeyError, TypeError):
            return None
        return resolve_labels(labels, found.get, self._card)

    async def _try(self, write: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
        chat = chat_api.messages(_TRIAL, self._urls, self._dialect)
        return await self._post(_TRIAL, write(self._model, chat, *arguments, self._dialect))


def sharing_key(prompt: Prompt) -> bytes:
    """Digest what a prompt shares with its group: everything up to and with the first image."""
    digest = hashlib.sha256(prompt.system.encode())
    for part in prompt.parts:
        if isinstance(part, EngineImage):
            digest.update(b"\0image\0" + part.digest.encode())
            break
        digest.update(b"\0text\0" + part.encode())
    return digest.digest()


async def _each(prompts: Sequence[Prompt], work: Callable[[Prompt], Awaitable[_Result]]) -> list[_Result | EngineError]:
    async def guarded(prompt: Prompt) -> _Result | EngineError:
        try:
            return await work(prompt)
        except EngineError as error:
            return error
        except Exception as error:  # one prompt's failure is its own entry, whatever it is
            _logger.exception("a prompt failed")
            return EngineError(f"the prompt could not be sent: {type(error).__name__}: {error}", retryable=False)

    return list(await asyncio.gather(*(guarded(prompt) for prompt in prompts)))


def _names(reply: Any) -> list[str]:
    """Names in a list of models, as far as the reply is one."""
    listed = reply.get("data") if isinstance(reply, dict) else None
    found = [item.get("id") for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return [name for name in found if isinstance(name, str)]


def _object(reply: Any) -> dict[str, Any]:
    if not isinstance(reply, dict):
        raise EngineError("the server's reply is not a JSON object", retryable=False)
    return reply
