"""The judge in plain transformers: the portable engine, and the reference that vLLM's scores are compared with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edit_rrm.card import JudgeCard
from edit_rrm_service.engines.base import (
    Backend,
    Completion,
    EngineDeadError,
    EngineError,
    EngineFacts,
    EngineStartError,
    LabelReading,
    Prompt,
    Sampling,
)
from edit_rrm_service.engines.batching import MicroBatcher, Ticket
from edit_rrm_service.engines.checkpoint import find_checkpoint, first_line, weights_digest
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.rendering import ChatRenderer, image_size, images

if TYPE_CHECKING:
    from edit_rrm_service.engines.decoding import Row

_logger = logging.getLogger(__name__)

_ABSENT = float("-inf")
"""Reading of a label that is not a single token for this model (see `ChatRenderer.label_tokens`)."""


@dataclass(frozen=True, slots=True)
class _Job:
    prompt: Prompt
    sampling: Sampling | None
    """None for a probe."""


_Answer = Completion | Mapping[str, float]
_Ticket = Ticket[_Job, Any]


class TransformersEngine:
    """A judge on transformers, on one worker thread.

    Prompts that wait together are run together, padded on the left. There is no prefix cache: a group's shared prefix
    is computed for every edit, so `cached_tokens` is 0.
    """

    def __init__(self, model: str, card: JudgeCard, options: EngineOptions | None = None) -> None:
        """Prepare an engine for a checkpoint folder or hub name; nothing is loaded before `start`."""
        self._model_name = model
        self._card = card
        self._options = options or EngineOptions()
        self._labels: dict[str, int] = {}
        self._batcher: MicroBatcher[_Job, Any] | None = None
        self._facts: EngineFacts | None = None
        self._renderer: ChatRenderer
        self._model: Any = None
        self._stop: frozenset[int] = frozenset()
        self._max_len = 0

    @property
    def facts(self) -> EngineFacts:
        """Facts about the running engine; valid after `start`."""
        if self._facts is None:
            raise RuntimeError("the engine has not been started")
        return self._facts

    async def start(self, labels: Sequence[str]) -> None:
        """Load the model and resolve `labels` to single tokens.

        Raises:
            EngineStartError: With one line that says what to do.
        """
        await asyncio.to_thread(self._load, list(labels))
        self._batcher = MicroBatcher(self._run, self._options.max_batch)

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion | EngineError]:
        """Complete every prompt; a seed applies to each of them."""
        return await self._submit([_Job(prompt, sampling) for prompt in prompts], "generate")

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[LabelReading | EngineError]:
        """Read label log-probabilities after every prompt with one forward pass."""
        if not any(label in self._labels for label in labels):
            unknown = EngineError(f"none of the labels {list(labels)} was resolved at start", retryable=False)
            return [unknown for _ in prompts]
        readings: list[LabelReading | EngineError] = await self._submit(
            [_Job(prompt, None) for prompt in prompts], "probe"
        )
        return [
            reading
            if isinstance(reading, EngineError)
            else LabelReading(
                {label: reading.logprobs.get(label, _ABSENT) for label in labels},
                reading.prompt_tokens,
                reading.cached_tokens,
            )
            for reading in readings
        ]

    def backends(self) -> Sequence[Backend]:
        """None: it works itself."""
        return ()

    async def check(self) -> None:
        """Return if the engine is alive.

        Raises:
            EngineDeadError: It is not.
        """
        if self._batcher is None or not self._batcher.alive:
            raise EngineDeadError("the engine is not running")

    async def close(self) -> None:
        """Stop the worker after its current step and free the model."""
        batcher, self._batcher = self._batcher, None
        if batcher is not None:
            await asyncio.to_thread(batcher.close)
        self._model = None

    async def _submit(self, jobs: Sequence[_Job], kind: str) -> list[Any]:
        try:
            if self._batcher is None:
                raise EngineDeadError("the engine is not running")
            tickets = self._batcher.submit(jobs, kind)
        except EngineDeadError as error:
            return [error for _ in jobs]
        futures = [asyncio.wrap_future(ticket.future) for ticket in tickets]
        results = await asyncio.gather(*futures, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, EngineError):
                raise result
        return list(results)

    def _load(self, labels: Sequence[str]) -> None:
        checkpoint = find_checkpoint(self._model_name)
        try:
            import torch
            import transformers
            from transformers import AutoModelForImageTextToText
        except (ImportError, OSError, RuntimeError) as error:
            raise EngineStartError(f"transformers cannot be imported: {first_line(error)}") from None
        self._renderer = ChatRenderer(checkpoint)
        self._labels = self._renderer.label_tokens(labels, self._card)
        device = self._options.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = self._options.dtype
        if dtype == "auto":
            dtype = "float32" if device == "cpu" else "bfloat16"
        transformers.utils.logging.disable_progress_bar()
        try:
            model: Any = AutoModelForImageTextToText.from_pretrained(
                str(checkpoint), dtype=getattr(torch, dtype), local_files_only=True, attn_implementation="sdpa"
            )
            self._model = model.to(device).eval()
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise EngineStartError(f"{checkpoint} cannot be loaded with transformers: {first_line(error)}") from error
        if not hasattr(self._model.model, "get_rope_index"):
            raise EngineStartError(f"{checkpoint} is neither a Qwen2.5-VL nor a Qwen3-VL")
        self._stop = self._stop_tokens()
        context = int(self._model.config.get_text_config().max_position_embeddings)
        self._max_len = min(self._options.max_model_len or self._card.max_model_len or context, context)
        details = {
            "max_model_len": self._max_len,
            "image": self._card.image.model_dump(),
            "labels": dict(self._labels),
            "torch": version("torch"),
            "transformers": version("transformers"),
        }
        digest = weights_digest(checkpoint)
        concurrency = 2 * self._options.max_batch
        self._facts = EngineFacts("transformers", checkpoint.name, digest, dtype, True, details, concurrency)

    def _stop_tokens(self) -> frozenset[int]:
        wanted = self._model.generation_config.eos_token_id
        stop = set(wanted if isinstance(wanted, list) else [wanted])
        stop.add(self._renderer.tokenizer.eos_token_id)
        return frozenset(token for token in stop if token is not None)

    def _run(self, tickets: Sequence[_Ticket]) -> list[Any]:
        """Run a micro-batch on the worker thread."""
        from edit_rrm_service.engines.decoding import decode, next_logprobs

        inputs = self._inputs([ticket.job.prompt for ticket in tickets])
        lengths = [int(length) for length in inputs["attention_mask"].sum(dim=1)]
        if max(lengths) >= self._max_len:
            if len(tickets) > 1:
                raise EngineError("a prompt of the batch is too long", retryable=False)  # found again alone
            raise EngineError(
                f"the prompt has {lengths[0]} tokens and the judge's context {self._max_len}", retryable=False
            )
        if tickets[0].job.sampling is None:
            table = next_logprobs(self._model, inputs)
            return [
                LabelReading({label: float(row[token]) for label, token in self._labels.items()}, length, 0)
                for row, length in zip(table, lengths, strict=True)
            ]
        rows = [self._row(ticket, length) for ticket, length in zip(tickets, lengths, strict=True)]
        decode(self._model, inputs, rows, self._stop)
        return [self._completion(row, length) for row, length in zip(rows, lengths, strict=True)]

    def _inputs(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        texts = [self._renderer.text(prompt) for prompt in prompts]
        for prompt in prompts:
            self._renderer.token_ids(prompt)  # raises where a text brought special tokens of its own
        pictures = [[image.pixels for image in images(prompt)] for prompt in prompts]
        batch = self._renderer.processor(
            text=texts,
            images=pictures if any(pictures) else None,
            padding=True,
            padding_side="left",
            return_tensors="pt",
            images_kwargs={"size": image_size(self._card.image)},
        )
        return {name: value.to(self._model.device) for name, value in batch.items()}

    def _row(self, ticket: _Ticket, prompt_tokens: int) -> Row:
        from edit_rrm_service.engines.decoding import Row

        sampling = ticket.job.sampling
        assert sampling is not None
        limit = min(sampling.max_tokens, self._max_len - prompt_tokens)
        return Row(sampling, limit, cancelled=lambda: ticket.cancelled)

    def _completion(self, row: Row, prompt_tokens: int) -> Completion:
        return Completion(
            text=self._renderer.decode(row.tokens),
            finish_reason=row.finish_reason or "length",
            prompt_tokens=prompt_tokens,
            cached_tokens=0,
            # vLLM counts the stop token too; both bill what the model computed.
            completion_tokens=len(row.tokens) + (row.finish_reason == "stop"),
        )
