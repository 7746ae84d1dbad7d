"""Checkpoints and engines, built once per session. Starting vLLM takes half a minute, so tests share what they can."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx2
import pytest
import torch

from edit_rrm.card import JudgeCard
from edit_rrm_service.engines.base import Prompt
from edit_rrm_service.engines.checkpoint import judge_card
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.transformers import TransformersEngine
from edit_rrm_service.engines.vllm import VllmEngine
from edit_rrm_service.settings import SHIPPED_JUDGE
from tests.engines import checkpoints, prompts

FLOAT32 = EngineOptions(dtype="float32", device="cpu", max_num_seqs=64, kv_cache_gib=0.25)
_START_LIMIT_S = 600.0
"""Half a minute on two idle cores; beside a training run it took ten times that."""

# huggingface_hub reads it once, when it is imported: no test asks the model hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@dataclass(frozen=True)
class Judge:
    """A checkpoint and how it is talked to."""

    path: Path
    card: JudgeCard

    @property
    def labels(self) -> tuple[str, ...]:
        """What its probes read."""
        return (*self.card.labels.yes, *self.card.labels.no)

    def thinks(self, count: int, *, instruction: str = prompts.INSTRUCTION, seed: int = 0) -> list[Prompt]:
        """`think` prompts as this judge takes them."""
        side = math.isqrt(self.card.image.max_pixels)
        return prompts.thinks(count, prompts=self.card.prompts, instruction=instruction, seed=seed, side=side)

    def probes(self, count: int, *, instruction: str = prompts.INSTRUCTION, seed: int = 0) -> list[Prompt]:
        """`probe` prompts as this judge takes them."""
        side = math.isqrt(self.card.image.max_pixels)
        return prompts.probes(count, prompts=self.card.prompts, instruction=instruction, seed=seed, side=side)


@dataclass(frozen=True)
class Babbling:
    """A vLLM engine of random weights, and the process vLLM started for it."""

    engine: VllmEngine
    process: BaseProcess


@dataclass(frozen=True)
class Served:
    """A running `vllm serve`."""

    base_url: str
    api_key: str
    judge: Judge


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Small models gain nothing from a second thread, and its spinning costs them tenfold beside other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def qwen2_5_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.build_qwen2_5_vl(tmp_path_factory.mktemp("qwen2_5_vl"))


@pytest.fixture(scope="session")
def qwen3_vl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.build_qwen3_vl(tmp_path_factory.mktemp("qwen3_vl"))


@pytest.fixture(scope="session", params=["qwen2_5_vl", "qwen3_vl"])
def checkpoint(request: pytest.FixtureRequest) -> Path:
    """Each kind of checkpoint in turn."""
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture(scope="session")
def judge() -> Judge:
    """The shipped judge."""
    return Judge(SHIPPED_JUDGE, judge_card(SHIPPED_JUDGE))


@pytest.fixture(scope="session")
async def vllm_engine(judge: Judge) -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(str(judge.path), judge.card, FLOAT32)
    await engine.start(judge.labels)
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
async def babbling(qwen3_vl: Path) -> AsyncIterator[Babbling]:
    """Qwen3-VL on vLLM: the same weights as `served`, in this process; and long answers, for babble has no end."""
    before = set(multiprocessing.active_children())
    engine = VllmEngine(str(qwen3_vl), prompts.card(), FLOAT32)
    await engine.start(prompts.LABELS)
    (process,) = set(multiprocessing.active_children()) - before
    yield Babbling(engine, process)
    await engine.close()


@pytest.fixture(scope="session")
async def reference(checkpoint: Path) -> AsyncIterator[TransformersEngine]:
    """Each kind of checkpoint in turn, in transformers, under the standard prompts."""
    engine = TransformersEngine(str(checkpoint), prompts.card(), FLOAT32)
    await engine.start(prompts.LABELS)
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
async def transformers_engine(judge: Judge) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine(str(judge.path), judge.card, FLOAT32)
    await engine.start(judge.labels)
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
def served(qwen3_vl: Path) -> Iterator[Served]:
    """A real `vllm serve` of the random-weight Qwen3-VL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    size = {"shortest_edge": prompts.SIDE**2, "longest_edge": prompts.SIDE**2}
    arguments = {
        "model": str(qwen3_vl),
        "served-model-name": "babble",
        "host": "127.0.0.1",
        "port": str(port),
        "api-key": "a-key",
        "dtype": "float32",
        "block-size": "32",
        "max-model-len": "2048",
        "max-num-seqs": "32",
        "max-num-batched-tokens": "4096",
        "kv-cache-memory-bytes": str(2**28),
        "limit-mm-per-prompt": json.dumps({"image": 2, "video": 0}),
        "mm-processor-kwargs": json.dumps({"size": size}),
        "distributed-executor-backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor",
    }
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
    command += ["--enable-prompt-tokens-details", "--disable-log-stats"]
    command += [item for name, value in arguments.items() for item in (f"--{name}", value)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}/health", log)
            yield Served(f"http://127.0.0.1:{port}/v1", "a-key", Judge(qwen3_vl, prompts.card()))
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: object) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx2.get(url).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.25)
    log.seek(0)  # type: ignore[attr-defined]  # a file object has it
    pytest.fail(f"vllm serve did not start:\n{log.read().decode()[-4_000:]}")  # type: ignore[attr-defined]  # likewise
