"""nano-editor's pre-training: a VAE, then flow matching on edits of which half are as they should be."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edit_rrm_training.editor.editor_card import EditorCard, save_editor_card
from edit_rrm_training.editor.nano.architecture import PATCHES, SIDE, TEXT_TOKENS, build_pipeline
from edit_rrm_training.editor.nano.pictures import padded
from edit_rrm_training.editor.nano.stage import Batch, train_stage
from edit_rrm_training.editor.nano.tasks import Task, imperfect_target, make_task
from edit_rrm_training.editor.nano.vae import VaeRecipe, train_vae
from edit_rrm_training.editor.recipe import PolicyRecipe
from edit_rrm_training.judge.run_folder import claim, weights_digest
from edit_rrm_training.shapes.render import render

_VOCABULARY_TASKS = 4_000
"""Tasks whose instructions make the vocabulary: all words of the training phrasings are in far fewer."""
_AT_A_TIME = 64


@dataclass(frozen=True, slots=True)
class NanoEditorRecipe:
    """Everything that decides what pre-training produces."""

    vae: VaeRecipe = field(default_factory=VaeRecipe)
    tasks: int = 48_000
    """Edits, each seen `steps * batch / tasks` times with other noise."""
    perfect: float = 0.5
    """Share of targets that are perfect by intention; the others have the faults of real editors, or none by luck."""
    steps: int = 3_600
    batch: int = 64
    learning_rate: float = 1e-3
    changed: float = 4.0
    """Weight of the patches that an edit changes, where others have 1."""
    decay: float = 0.999
    """Of the moving average of the weights, which is what is kept."""
    seed: int = 0
    compiled: bool = True
    """Compile the transformer's blocks, which takes a few minutes (and a C++ compiler) before the first step."""


def pretrain(recipe: NanoEditorRecipe, output: Path, *, vae: Path | None = None) -> Path:
    """Train nano-editor from random weights.

    Args:
        recipe: How.
        output: For checkpoints, latents and the pipeline; a run that was interrupted is gone on with.
        vae: A pipeline's folder to take the VAE from instead of training one.

    Returns:
        The pipeline's folder, `output / "pipeline"`.

    Raises:
        ValueError: `output` holds another run.
        OSError: `vae` has no VAE, or the output cannot be written.
    """
    if vae is not None and not (vae / "vae" / "config.json").is_file():
        raise OSError(f"{vae} has no VAE; name a pipeline's folder, or nano")
    taken = None if vae is None else weights_digest(vae / "vae")
    claim(output, {"stage": "nano-editor", **asdict(recipe), "vae_weights": taken}, start=vae, resume=True)
    torch.set_flush_denormal(True)
    texts = [make_task("train", index).instruction for index in range(_VOCABULARY_TASKS)]
    pipeline = build_pipeline(texts, recipe.seed)
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
    data = _latents(pipeline, recipe, checkpoints / "latents.safetensors")
    module = FlowMatching(pipeline, recipe)
    train_stage(
        module,
        partial(flow_batch, recipe, data),
        checkpoints / "flow",
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        save_every=250,
    )
    module.use_average()
    folder = output / "pipeline"
    pipeline.to(torch.bfloat16).save_pretrained(folder)
    save_editor_card(EditorCard(policy=policy_recipe("nano")), folder)
    return folder


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


def _latents(pipeline: Any, recipe: NanoEditorRecipe, path: Path) -> Batch:
    """Packed latents of all sources and targets, (N, 121, 64), and their instructions' tokens, (N, 16) each.

    Sets the VAE's scale, so that latents have mean 0 and deviation 1.
    """
    if not path.exists():
        parts: list[Batch] = []
        with torch.no_grad():
            for first in range(0, recipe.tasks, _AT_A_TIME):
                tasks = [make_task("train", index) for index in range(first, min(recipe.tasks, first + _AT_A_TIME))]
                parts.append(_encoded(pipeline, tasks, recipe.perfect))
        data = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        sources = data["source"].float()
        data["shift"], data["scale"] = sources.mean().view(1), (1.0 / sources.std()).view(1)
        for name in ("source", "target"):
            data[name] = ((data[name].float() - data["shift"]) * data["scale"]).half()
        save_file(data, path)
    data = load_file(path)
    pipeline.vae.register_to_config(shift_factor=float(data["shift"]), scaling_factor=float(data["scale"]))
    return data


def _encoded(pipeline: Any, tasks: list[Task], perfect: float) -> Batch:
    vae = pipeline.vae
    found = {}
    scenes = {"source": [task.source for task in tasks], "target": [imperfect_target(task, perfect) for task in tasks]}
    for name, listed in scenes.items():
        pixels = padded([render(scene) for scene in listed]).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latents = vae.encode(pixels).latent_dist.mode().float()
        count, channels, height, width = latents.shape
        found[name] = pipeline._pack_latents(latents, count, channels, height, width).half().contiguous()
    texts = [task.instruction for task in tasks]
    for name, tokenizer in (("clip", pipeline.tokenizer), ("t5", pipeline.tokenizer_2)):
        tokens = tokenizer(texts, padding="max_length", max_length=TEXT_TOKENS, truncation=True, return_tensors="pt")
        found[name] = tokens.input_ids.to(torch.int32)
    return found


def flow_batch(recipe: NanoEditorRecipe, data: Batch, step: int) -> Batch:
    """Tasks, times and noise of a step."""
    rng = np.random.default_rng([recipe.seed, 1, step])
    chosen = torch.from_numpy(rng.choice(len(data["source"]), recipe.batch, replace=False))
    source, target = data["source"][chosen].float(), data["target"][chosen].float()
    # Half of the times where shapes are decided, half anywhere.
    times = np.where(
        rng.random(recipe.batch) < 0.5, rng.random(recipe.batch), 1 / (1 + np.exp(-rng.normal(1.0, 1.0, recipe.batch)))
    )
    return {
        "source": source,
        "target": target,
        "noise": torch.from_numpy(rng.standard_normal(target.shape, np.float32)),
        "times": torch.from_numpy(times.astype(np.float32)),
        "clip": data["clip"][chosen].long(),
        "t5": data["t5"][chosen].long(),
    }


class FlowMatching(nn.Module):
    """The flow-matching loss of a Kontext transformer and its text encoders, and a moving average of their weights."""

    def __init__(self, pipeline: Any, recipe: NanoEditorRecipe) -> None:
        super().__init__()
        self.transformer = pipeline.transformer
        self.clip = pipeline.text_encoder
        self.t5 = pipeline.text_encoder_2
        self._recipe = recipe
        target = pipeline._prepare_latent_image_ids(1, PATCHES, PATCHES, "cpu", torch.float32)
        source = target.clone()
        source[..., 0] = 1.0
        self.register_buffer("image_ids", torch.cat([target, source]), persistent=False)
        self.register_buffer("text_ids", torch.zeros(TEXT_TOKENS, 3), persistent=False)
        self._trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        for index, parameter in enumerate(self._trained):
            self.register_buffer(f"average_{index}", parameter.detach().clone())
        if not recipe.compiled:
            return
        for block in (*self.transformer.transformer_blocks, *self.transformer.single_transformer_blocks):
            block.forward = torch.compile(block.forward, dynamic=False)

    def forward(
        self,
        source: torch.Tensor,
        target: torch.Tensor,
        noise: torch.Tensor,
        times: torch.Tensor,
        clip: torch.Tensor,
        t5: torch.Tensor,
    ) -> torch.Tensor:
        """Squared error of the velocity (noise - target) at times 0 (picture) to 1 (noise)."""
        if self.training:
            self._follow()
        at = times[:, None, None]
        mixed = (1.0 - at) * target + at * noise
        found = self.transformer(
            hidden_states=torch.cat([mixed, source], dim=1),
            timestep=times,
            pooled_projections=self.clip(clip).pooler_output,
            encoder_hidden_states=self.t5(t5).last_hidden_state,
            txt_ids=self.text_ids,
            img_ids=self.image_ids,
            return_dict=False,
        )[0][:, : target.shape[1]]
        change = (target - source).square().mean(-1, keepdim=True) > 0.05
        weights = 1.0 + (self._recipe.changed - 1.0) * change
        errors = (found.float() - (noise - target)).square()
        loss: torch.Tensor = (errors * weights).mean() / weights.mean()
        return loss

    @torch.no_grad()
    def _follow(self) -> None:
        for index, parameter in enumerate(self._trained):
            getattr(self, f"average_{index}").lerp_(parameter, 1.0 - self._recipe.decay)

    @torch.no_grad()
    def use_average(self) -> None:
        """Take the moving average for the weights."""
        for index, parameter in enumerate(self._trained):
            parameter.copy_(getattr(self, f"average_{index}"))
