"""Settings of the engines, in one place; the service's settings map onto these fields by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DType = Literal["auto", "bfloat16", "float16", "float32"]
EngineName = Literal["auto", "vllm", "openai", "transformers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How to run a judge. Every default works on a laptop; an engine ignores what is not for it."""

    dtype: DType = "auto"
    """`auto` is bfloat16 on a GPU and float32 on a CPU, where most machines only emulate bfloat16."""
    max_model_len: int | None = None
    """Longest prompt plus answer in tokens; null takes the judge card's, else the checkpoint's own."""

    max_num_seqs: int = 128
    """`vllm`: requests decoded at the same time."""
    max_num_batched_tokens: int | None = None
    """`vllm`: prompt tokens in one step, and image features cached. Null is 16,384 on a GPU, 4,096 on a CPU."""
    gpu_memory_utilization: float = 0.9
    """`vllm` on a GPU: share of its memory to take."""
    kv_cache_gib: float = 1.0
    """`vllm` on a CPU: memory for the KV cache."""
    image_cache_gib: float | None = None
    """`vllm`: memory of its engine process for processed images, where a group finds its source again. Null is vLLM's
    own 4 on a GPU, and 0.25 on a CPU."""
    tensor_parallel_size: int = 1
    """`vllm`: GPUs to split the model over."""
    enforce_eager: bool = False
    """`vllm` on a GPU: skip CUDA graphs (faster start, slower decoding). Always on on a CPU."""

    device: str = "auto"
    """`transformers`: `cpu`, `cuda`, `cuda:1`; `auto` is the first GPU, else the CPU."""
    max_batch: int = 16
    """`transformers`: prompts in one micro-batch."""

    base_urls: tuple[str, ...] = ()
    """`openai`: servers of the same model, such as `http://judge-0:8000/v1`."""
    api_key: str | None = field(default=None, repr=False)
    """`openai`: sent as a bearer token."""
    request_timeout_s: float = 120.0
    """`openai`: for one attempt at one server."""
    max_attempts: int = 3
    """`openai`: attempts per prompt, each on another server while there is one."""
    max_connections: int = 64
    """`openai`: requests under way at the same time."""
    eject_s: float = 15.0
    """`openai`: how long a failing server is left alone; doubles with every failed trial, up to eight times."""
