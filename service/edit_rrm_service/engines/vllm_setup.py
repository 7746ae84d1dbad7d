"""What vLLM must be told before and while it starts: environment, logs and engine arguments."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edit_rrm.card import JudgeCard
from edit_rrm_service.engines.checkpoint import first_line
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.rendering import image_size
from edit_rrm_service.engines.vllm_orphans import SERVICE_PID

MAX_IMAGES = 2
"""Images of one prompt: the source and one edit."""

_BLOCK_SIZE_CPU = 32
"""vLLM's own default on a CPU is 128, and a shared prefix shorter than a block is never reused."""

_IMAGE_CACHE_GIB_CPU = 0.25
"""vLLM's own default of 4 is filled by some ten thousand edits of the shapes world, and is beyond what a CPU needs."""

_SMALL_CPU = 8
"""Up to this many cores the engine runs in one process: a start of 15 s instead of 28 s (measured on two cores)."""

_NOISE = (
    "Triton is",
    "Enforce eager set",
    "Inductor compilation was disabled",
    "Model Runner V2 requires Triton",
    "There was no CUDA",
    "[shutdown]",
)
"""Openings of vLLM's warnings that tell an operator nothing to act on."""


def import_error() -> str | None:
    """Return why vLLM can't be used here, or None where it can. Imports it: about ten seconds the first time."""
    prepare_process()
    try:
        importlib.import_module("vllm.v1.engine.async_llm")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return first_line(error)
    _quieten()
    return None


def prepare_process() -> None:
    """Set what vLLM reads at import. Values an operator has set win."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # for the processes it spawns; ours is set in _quieten
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # As vLLM's own server does: forking from a process that has threads may deadlock.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    logging.getLogger("vllm.triton_utils.importing").addFilter(_drop_noise)  # speaks before there is any handler


def start_environment(*, on_cpu: bool) -> Mapping[str, str]:
    """Variables for the processes vLLM spawns, where an operator has not set them."""
    wanted = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    wanted[SERVICE_PID] = str(os.getpid())
    if on_cpu:
        # Without dynamo the sampler's helpers run as written: otherwise the first request compiles them with a C++
        # compiler (25 s measured, and none may be installed). One core is left to the service: with as many OpenMP
        # threads as cores, spinning made the same requests ten times slower beside another busy process.
        wanted |= {"TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": str(max(1, _cores() - 1)), "PYTHONWARNINGS": "ignore"}
    return {name: value for name, value in wanted.items() if name not in os.environ}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables while vLLM spawns its processes, which inherit them."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


def engine_arguments(checkpoint: Path, card: JudgeCard, options: EngineOptions, *, on_cpu: bool) -> dict[str, Any]:
    """Arguments of `AsyncEngineArgs`. Batch sizes are explicit: vLLM's defaults depend on who constructs the engine."""
    dtype = options.dtype
    if dtype == "auto":
        dtype = "float32" if on_cpu else "bfloat16"
    arguments: dict[str, Any] = {
        "model": str(checkpoint),
        "dtype": dtype,
        "max_model_len": options.max_model_len or card.max_model_len,
        "max_num_seqs": options.max_num_seqs,
        "max_num_batched_tokens": options.max_num_batched_tokens or (4_096 if on_cpu else 16_384),
        "enable_prefix_caching": True,
        "limit_mm_per_prompt": {"image": MAX_IMAGES, "video": 0},
        "mm_processor_kwargs": {"size": image_size(card.image)},
        "mm_processor_cache_gb": options.image_cache_gib or (_IMAGE_CACHE_GIB_CPU if on_cpu else None),
        "tensor_parallel_size": options.tensor_parallel_size,
        "generation_config": "auto",
        "use_tqdm_on_load": False,
        "enable_log_requests": False,
    }
    if on_cpu:
        arguments |= {
            "block_size": _BLOCK_SIZE_CPU,
            "enforce_eager": True,
            "kv_cache_memory_bytes": int(options.kv_cache_gib * 2**30),
        }
        if options.tensor_parallel_size == 1 and _cores() <= _SMALL_CPU:
            arguments["distributed_executor_backend"] = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
    else:
        arguments |= {
            "enforce_eager": options.enforce_eager,
            "gpu_memory_utilization": options.gpu_memory_utilization,
        }
    return {name: value for name, value in arguments.items() if value is not None}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quieten() -> None:
    """Send vLLM's records in this process through the service's own handlers, warnings and above."""
    logger = logging.getLogger("vllm")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.WARNING)
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "vllm"]:
        # Filters of a logger don't see what reaches it from below, so each gets one; the same one is added only once.
        logging.getLogger(name).addFilter(_drop_noise)


def _drop_noise(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_NOISE)
