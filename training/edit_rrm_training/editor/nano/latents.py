"""Latents of nano-editor's tasks, which pre-training learns from: made once, on all cores and a GPU if there is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, Dataset

from edit_rrm_training.editor.nano.architecture import TEXT_TOKENS
from edit_rrm_training.editor.nano.pictures import padded
from edit_rrm_training.editor.nano.stage import Batch
from edit_rrm_training.editor.nano.tasks import imperfect_target, make_task
from edit_rrm_training.judge.devices import cpu_only
from edit_rrm_training.shapes.render import render
from edit_rrm_training.shapes.scene import Scene

_AT_A_TIME = 256
_MOST_WORKERS = 16


def task_latents(pipeline: Any, tasks: int, perfect: float, path: Path) -> Batch:
    """Packed latents of sources and targets, ``source`` and ``target`` (N, 121, 16), with mean 0 and deviation 1.

    Their instructions' tokens are ``clip`` and ``t5``, (N, 16) each. Sets the scale of the pipeline's VAE.

    Args:
        pipeline: With a trained VAE.
        tasks: How many.
        perfect: Share of perfect targets.
        path: A file of theirs: written if it is not there, and read.
    """
    if not path.exists():
        _save(_encoded(pipeline, tasks, perfect), path)
    data = load_file(path)
    pipeline.vae.register_to_config(shift_factor=float(data["shift"]), scaling_factor=float(data["scale"]))
    return data


def _save(data: Batch, path: Path) -> None:
    sources = data["source"][:4_000].float()
    data["shift"], data["scale"] = sources.mean().view(1), (1.0 / sources.std()).view(1)
    for name in ("source", "target"):
        for part in data[name].split(4_000):
            part.copy_((part.float() - data["shift"]) * data["scale"])
    unfinished = path.with_suffix(".part")
    save_file(data, unfinished)
    unfinished.replace(path)


@torch.no_grad()
def _encoded(pipeline: Any, tasks: int, perfect: float) -> Batch:
    device = torch.device("cpu" if cpu_only() else "cuda")
    vae = pipeline.vae.to(device)
    workers = min(_MOST_WORKERS, os.cpu_count() or 1) if tasks > _AT_A_TIME else 0
    loader = DataLoader(_Pictures(tasks, perfect), batch_size=None, num_workers=workers)
    found: dict[str, list[torch.Tensor]] = {"source": [], "target": []}
    texts: list[str] = []
    for sources, targets, instructions in loader:
        texts += instructions
        for name, pictures in (("source", sources), ("target", targets)):
            pixels = padded(pictures.to(device)).to(memory_format=torch.channels_last)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                latents = vae.encode(pixels).latent_dist.mode().float()
            packed = pipeline._pack_latents(latents, *latents.shape)
            found[name].append(packed.half().cpu().contiguous())
    data = {name: torch.cat(parts) for name, parts in found.items()}
    for name, tokenizer in (("clip", pipeline.tokenizer), ("t5", pipeline.tokenizer_2)):
        tokens = tokenizer(texts, padding="max_length", max_length=TEXT_TOKENS, truncation=True, return_tensors="pt")
        data[name] = tokens.input_ids.to(torch.int32)
    vae.cpu()
    return data


class _Pictures(Dataset[tuple[torch.Tensor, torch.Tensor, list[str]]]):
    """Some tasks at a time: pictures of their sources and targets, (N, 84, 84, 3) of bytes, and their instructions."""

    def __init__(self, tasks: int, perfect: float) -> None:
        self._tasks, self._perfect = tasks, perfect

    def __len__(self) -> int:
        return -(-self._tasks // _AT_A_TIME)

    def __getitem__(self, chunk: int) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        first = chunk * _AT_A_TIME
        tasks = [make_task("train", index) for index in range(first, min(self._tasks, first + _AT_A_TIME))]
        targets = [imperfect_target(task, self._perfect) for task in tasks]
        return _drawn([task.source for task in tasks]), _drawn(targets), [task.instruction for task in tasks]


def _drawn(scenes: list[Scene]) -> torch.Tensor:
    return torch.from_numpy(np.stack([render(scene) for scene in scenes]))
