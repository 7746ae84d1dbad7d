"""nano-editor's pre-training: a VAE, then flow matching on edits of which three quarters are as they should be."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from edit_rrm_training.editor.editor_card import EditorCard, save_editor_card
from edit_rrm_training.editor.nano.architecture import SIDE, TEXT_TOKENS, build_pipeline
from edit_rrm_training.editor.nano.flow_matching import FlowMatching, flow_batch
from edit_rrm_training.editor.nano.latents import task_latents
from edit_rrm_training.editor.nano.stage import Batch, train_stage
from edit_rrm_training.editor.nano.tasks import make_task
from edit_rrm_training.editor.nano.vae import VaeRecipe, train_vae
from edit_rrm_training.editor.nano.windows import Windows, corner_windows
from edit_rrm_training.editor.recipe import PolicyRecipe
from edit_rrm_training.judge.devices import cpu_only
from edit_rrm_training.judge.run_folder import claim, weights_digest

_VOCABULARY_TASKS = 4_000
"""Tasks whose instructions make the vocabulary: all words of the training phrasings are in far fewer."""


@dataclass(frozen=True, slots=True)
class NanoEditorRecipe:
    """Everything that decides what pre-training produces."""

    vae: VaeRecipe = field(default_factory=VaeRecipe)
    tasks: int = 48_000
    """Edits, each seen `steps * batch / tasks` times with other noise."""
    perfect: float = 0.75
    """Share of targets that are perfect by intention; the others have the faults of real editors, or none by luck."""
    steps: int = 6_000
    batch: int = 32
    learning_rate: float = 1e-3
    changed: float = 4.0
    """Weight of the patches that an edit changes, where others have 1."""
    windows: float = 0.7
    """Share of the steps, the first, that look at windows of twice as many pictures."""
    decay: float = 0.999
    """Of the moving average of the weights, which is what is kept."""
    seed: int = 0
    save_every: int = 1_000
    """Steps between checkpoints."""
    compiled: bool = True
    """On CPUs, compile the transformer's blocks: a few minutes (and a C++ compiler) before the first step."""


def pretrain(recipe: NanoEditorRecipe, output: Path, *, vae: Path | None = None, init_from: Path | None = None) -> Path:
    """Train nano-editor, from random weights or another one's.

    Args:
        recipe: How.
        output: For checkpoints, latents and the pipeline; a run that was interrupted is gone on with.
        vae: A pipeline's folder to take the VAE from instead of training one.
        init_from: A nano-editor's folder, all of whose parts are begun with: its VAE is kept, the others trained.

    Returns:
        The pipeline's folder, `output / "pipeline"`.

    Raises:
        ValueError: `output` holds another run, or both `vae` and `init_from` are given.
        OSError: `vae` has no VAE, `init_from` is no pipeline, or the output cannot be written.
    """
    if vae is not None and init_from is not None:
        raise ValueError("an editor that is begun with brings its VAE: name only one of the two")
    vae = init_from if vae is None else vae
    if vae is not None and not (vae / "vae" / "config.json").is_file():
        raise OSError(f"{vae} has no VAE; name a pipeline's folder, or nano")
    taken = None if vae is None else weights_digest(vae / "vae")
    begun = None if init_from is None else weights_digest(init_from / "transformer")
    facts = {"stage": "nano-editor", **asdict(recipe), "vae_weights": taken, "weights": begun}
    claim(output, facts, start=vae, resume=True)
    torch.set_flush_denormal(True)
    # On an H200, with torch 2.11 and CUDA 13.0, the backward pass of cuDNN's attention fails on this transformer, and
    # compiled blocks read memory that is not theirs.
    torch.backends.cuda.enable_cudnn_sdp(False)
    pipeline = _new(recipe.seed) if init_from is None else _loaded(init_from)
    checkpoints = output / "checkpoints"
    done = checkpoints / "vae" / "vae.safetensors"
    if not done.exists():
        if vae is None:
            train_vae(pipeline.vae, recipe.vae, done.parent)
        else:
            done.parent.mkdir(parents=True, exist_ok=True)
            pipeline.vae.load_state_dict(type(pipeline.vae).from_pretrained(vae, subfolder="vae").state_dict())
        save_file({name: value.contiguous() for name, value in pipeline.vae.state_dict().items()}, done)
    pipeline.vae.load_state_dict(load_file(done))
    pipeline.vae.eval().requires_grad_(False)
    data = task_latents(pipeline, recipe.tasks, recipe.perfect, checkpoints / "latents.safetensors")
    compiled = recipe.compiled and cpu_only()
    module = FlowMatching(pipeline, data, changed=recipe.changed, decay=recipe.decay, compiled=compiled)
    train_stage(
        module,
        partial(_step, recipe, corner_windows(data["source"], data["target"])),
        checkpoints / "flow",
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        save_every=recipe.save_every,
    )
    module.cpu().use_average()
    folder = output / "pipeline"
    pipeline.to(torch.bfloat16).save_pretrained(folder)
    save_editor_card(EditorCard(policy=policy_recipe("nano")), folder)
    return folder


def _new(seed: int) -> Any:
    texts = [make_task("train", index).instruction for index in range(_VOCABULARY_TASKS)]
    return build_pipeline(texts, seed)


def _loaded(folder: Path) -> Any:
    from diffusers import FluxKontextPipeline

    pipeline = FluxKontextPipeline.from_pretrained(folder, dtype=torch.float32)
    for part in (pipeline.transformer, pipeline.text_encoder, pipeline.text_encoder_2):
        part.train()
    return pipeline


def _step(recipe: NanoEditorRecipe, windows: Windows, step: int) -> Batch:
    seen = windows if step < recipe.windows * recipe.steps else None
    return flow_batch(recipe.seed, seen, recipe.tasks, recipe.batch, step)


def policy_recipe(model: str) -> PolicyRecipe:
    """How nano-editor is asked, and trained: whole, in fp32, and without moving a pixel."""
    return PolicyRecipe(
        kind="flux-kontext",
        model=model,
        dtype="float32",
        text_tokens=TEXT_TOKENS,
        max_pixels=SIDE * SIDE,
        fit="pad",
        lora=None,
    )
