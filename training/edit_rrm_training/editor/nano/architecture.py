"""nano-editor's parts: the classes of FLUX.1-Kontext, a thousandth of their size, with random weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import torch

TEXT_TOKENS: Final = 16
"""Tokens of every instruction, padding included. T5's are at most 12; CLIP's are more for about a tenth of them:
its merges cut some words into pieces, and those instructions are truncated."""
VAE_SCALE: Final = 4
"""Pixels of a latent's side. With FLUX's own 8, a VAE of this size blurred small objects after 2,250 steps."""
SIDE: Final = 88
"""Pixels of a padded picture's side: the shapes world's 84, and what makes it a multiple of a patch."""
LATENT_CHANNELS: Final = 4
"""Of a latent. With 16, of which the last ten hardly matter to a picture, the transformer drew blobs for shapes."""
PATCHES: Final = SIDE // (2 * VAE_SCALE)
"""Tokens of the transformer along a side: each has 2 x 2 latents."""

_WIDTH, _HEADS, _TEXT = 128, 4, 64
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.;'-"


def build_pipeline(texts: Iterable[str], seed: int = 0) -> Any:
    """A `FluxKontextPipeline` with random weights.

    Args:
        texts: Instructions; their words become the tokenizers' vocabulary.
        seed: Of the weights.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxKontextPipeline, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    torch.manual_seed(seed)
    words = sorted({word for text in texts for word in text.lower().split()})
    clip, t5 = _clip_tokenizer(words), _t5_tokenizer(words)
    vae = build_vae()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * LATENT_CHANNELS,
        num_layers=2,
        num_single_layers=6,
        attention_head_dim=_WIDTH // _HEADS,
        num_attention_heads=_HEADS,
        joint_attention_dim=_TEXT,
        pooled_projection_dim=_TEXT,
        guidance_embeds=False,
        axes_dims_rope=(8, 12, 12),
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(clip),
            hidden_size=_TEXT,
            intermediate_size=2 * _TEXT,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=TEXT_TOKENS,
            projection_dim=_TEXT,
            bos_token_id=clip.bos_token_id,
            eos_token_id=clip.eos_token_id,
            pad_token_id=clip.pad_token_id,
        )
    )
    text_encoder_2 = T5EncoderModel(
        T5Config(
            vocab_size=len(t5),
            d_model=_TEXT,
            d_kv=_TEXT // 4,
            d_ff=2 * _TEXT,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            tie_word_embeddings=False,
        )
    )
    return FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=clip,
        text_encoder_2=text_encoder_2,
        tokenizer_2=t5,
        transformer=transformer,
    )


def build_vae(channels: int = LATENT_CHANNELS) -> Any:
    """The VAE with random weights, as torch's generator has them."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=8,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )


def _clip_tokenizer(words: list[str]) -> Any:
    """CLIP's tokenizer, trained until each word is a token; others are read by pieces, down to characters."""
    from transformers import CLIPTokenizer

    untrained = CLIPTokenizer(model_max_length=TEXT_TOKENS)
    characters = [character + other for character in _CHARACTERS for other in ("", "a")]
    return untrained.train_new_from_iterator([*words, *characters], vocab_size=1_000_000, show_progress=False)


def _t5_tokenizer(words: list[str]) -> Any:
    """T5's tokenizer with a token for each word, and one for each character."""
    from transformers import T5Tokenizer

    letters = sorted({letter for word in words for letter in word} | set(_CHARACTERS))
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -4.0)]
    pieces += [(f"▁{word}", -1.0) for word in words]
    known = {piece for piece, _ in pieces}
    pieces += [(letter, -8.0) for letter in letters if letter not in known]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=TEXT_TOKENS)
