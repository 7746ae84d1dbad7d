"""Teachers behind OpenAI's chat API, through its own client: bounded, retried within a budget, failures typed."""

from __future__ import annotations

import asyncio
import base64
import io
import os
from collections.abc import Sequence
from typing import Any

import openai
from PIL import Image

from edit_rrm.principles import Principle
from edit_rrm.prompts import ImagePart, RenderedPrompt
from edit_rrm_client.images import encode_image
from edit_rrm_training.judge.cold_start.config import OpenAiTeacher
from edit_rrm_training.judge.cold_start.errors import AnswerError, ColdStartError, UnavailableError
from edit_rrm_training.judge.cold_start.exemplars import Exemplar
from edit_rrm_training.judge.cold_start.rows import EditRow
from edit_rrm_training.judge.cold_start.teachers.base import Source
from edit_rrm_training.judge.cold_start.templates import principles_prompt, think_prompt, triage_prompt, verify_prompt

_MODERATED = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
_HOPELESS = {401: "check the API key", 403: "check the API key", 404: "check base_url and model"}
_BUSY = {408, 409, 425, 429}


class ChatHost:
    """One host and model; several teachers' roles share its connections and its limit."""

    def __init__(self, name: str, config: OpenAiTeacher) -> None:
        """Prepare connections; none is opened before the first question.

        Raises:
            ColdStartError: The variable that should hold the key is not set, or holds none.
        """
        self.name = name
        self.config = config
        # Left out, the library would look for OPENAI_API_KEY of its own accord and send it to whatever host this is.
        self._client = openai.AsyncOpenAI(
            base_url=config.base_url,
            api_key=api_key(name, config.api_key_env) or "none",
            max_retries=config.retries,
            timeout=config.budget_s,
            organization="",
            project="",
        )
        self._slots = asyncio.Semaphore(config.concurrency)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def ask(self, prompt: RenderedPrompt, row: EditRow, temperature: float, seed: int) -> str:
        """The answer to one prompt. Raises as `base` says."""
        async with self._slots:
            body = await self._body(prompt, row, temperature, seed)
            try:
                async with asyncio.timeout(self.config.budget_s):
                    reply = await self._client.chat.completions.create(**body)
            except TimeoutError:
                raise self._unavailable(f"no answer in {self.config.budget_s:g} s") from None
            except openai.APIConnectionError as error:
                raise self._unavailable(f"{error} {error.__cause__ or ''}".strip()) from None
            except openai.APIStatusError as error:
                raise self._refusal(error) from None
            except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
                raise self._unavailable(f"the reply is not one of OpenAI's API ({error})") from None
        return self._text(reply)

    async def _body(self, prompt: RenderedPrompt, row: EditRow, temperature: float, seed: int) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        for part in prompt.parts:
            if isinstance(part, ImagePart):
                image = row.source if part.role == "source" else row.edited
                content.append({"type": "image_url", "image_url": {"url": await asyncio.to_thread(data_url, image)}})
            else:
                content.append({"type": "text", "text": part.text})
        body = {
            "model": self.config.model,
            "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": content}],
            "temperature": temperature,
            self.config.limit_field: self.config.max_tokens,
        }
        return body | {"seed": seed} if self.config.seeds else body

    def _text(self, reply: Any) -> str:
        try:
            choice = reply.choices[0]
            text, refusal, reason = choice.message.content, choice.message.refusal, choice.finish_reason
        except (AttributeError, IndexError, TypeError):
            # A proxy's page, say: nothing that this row is to blame for.
            raise self._unavailable("the reply is not one of OpenAI's API: it has no choices") from None
        if refusal or reason == "content_filter":
            raise AnswerError("refused", f"{self.name} refused")
        if reason == "length":
            raise AnswerError("truncated", f"{self.name} hit its limit of {self.config.max_tokens} tokens")
        if reason != "stop":
            raise AnswerError("unfinished", f"{self.name} ended with finish_reason {reason!r}")
        if not isinstance(text, str) or not text.strip():
            raise AnswerError("empty", f"{self.name} said nothing")
        return text

    def _refusal(self, error: openai.APIStatusError) -> Exception:
        status, said = error.status_code, " ".join(error.message.split())[:300]
        if status in _HOPELESS:
            return ColdStartError(f"teacher {self.name}: HTTP {status}; {_HOPELESS[status]} ({said})")
        if status in _BUSY or status >= 500:
            return self._unavailable(f"HTTP {status}: {said}")
        if status == 400 and {str(error.code), str(error.type)} & _MODERATED:
            return AnswerError("refused", f"{self.name} refused: {said}")
        return AnswerError("rejected", f"{self.name} rejected the question: HTTP {status}: {said}")

    def _unavailable(self, reason: str) -> UnavailableError:
        return UnavailableError(f"teacher {self.name} at {self.config.base_url}: {' '.join(reason.split())}")


class ChatTeacher:
    """A host in one role: a prompt variant and a temperature."""

    takes_exemplars = True

    def __init__(self, host: ChatHost, temperature: float, variant: str | None = None) -> None:
        """Choose how to ask; `variant` is needed to think."""
        self.source = Source(host.name, host.config.model, variant, temperature)
        self._host = host
        self._temperature = temperature

    async def write(self, row: EditRow, exemplars: Sequence[Exemplar], seed: int) -> str:
        """As `PrincipleWriter`."""
        return await self._host.ask(principles_prompt(row.instruction, exemplars), row, self._temperature, seed)

    async def think(self, row: EditRow, principles: Sequence[Principle], seed: int) -> str:
        """As `Thinker`."""
        assert self.source.variant is not None
        prompt = think_prompt(row.instruction, principles, self.source.variant)
        return await self._host.ask(prompt, row, self._temperature, seed)

    async def verify(self, row: EditRow, principles: Sequence[Principle], hints: Sequence[str], seed: int) -> str:
        """As `Verifier`."""
        return await self._host.ask(verify_prompt(row.instruction, principles, hints), row, self._temperature, seed)

    async def classify(self, row: EditRow, seed: int) -> str:
        """As `Classifier`."""
        return await self._host.ask(triage_prompt(row.instruction), row, self._temperature, seed)


def data_url(content: bytes) -> str:
    """An image file as a PNG data URL: every host reads PNG, and it adds no artefacts of its own."""
    if not content.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(content)) as image:
            content = encode_image(image, "png")
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def api_key(teacher: str, variable: str | None) -> str | None:
    """The key that an environment variable holds; None where none is named.

    Raises:
        ColdStartError: The variable is not set, or holds nothing that a header can carry.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key or not (key.isascii() and key.isprintable()):
        raise ColdStartError(f"teacher {teacher}: the environment variable {variable} holds no API key")
    return key
