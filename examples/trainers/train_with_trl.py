"""Edit-RRM as the reward of TRL's GRPOTrainer, which trains a policy of a few words in seconds.

In your script:

    reward = TrlReward(RewardClient("http://judge:8000", expect_identity="first"), edited=draw)
    trainer = GRPOTrainer(..., reward_funcs=[reward])

`draw` turns completions into edits. Here a completion is the name of a colour, and its edit is the source with the red
star in that colour. The policy knows nothing at first, and the judge likes one colour. Run this file against
`make serve`.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen2Config, Qwen2ForCausalLM

from edit_rrm_client import ImageInput, RewardClient
from edit_rrm_client.adapters.trl import TrlReward

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "TRL currently supports vLLM")  # which is not used here
    from trl import GRPOConfig, GRPOTrainer

COLOURS = {"red": (220, 40, 40), "green": (40, 165, 70), "blue": (40, 90, 225), "yellow": (250, 225, 60)}
WORDS = ["<pad>", "<end>", "make", "the", "star", *COLOURS]


def draw(completions: Sequence[str], columns: dict[str, Any]) -> list[ImageInput]:
    """Edits of the sources, in the colours that completions name; any other word leaves them as they are."""
    return [recolour(source, text.strip()) for text, source in zip(completions, columns["source"], strict=True)]


def recolour(source: Image.Image, colour: str) -> Image.Image:
    """The picture with what is red in another colour."""
    pixels = np.array(source.convert("RGB"))
    red = pixels[..., 0].astype(int) - pixels[..., 1:].max(-1) > 100
    pixels[red] = COLOURS.get(colour, COLOURS["red"])
    return Image.fromarray(pixels)


def tiny_policy() -> tuple[Qwen2ForCausalLM, PreTrainedTokenizerFast]:
    """A language model of nine words and nine thousand weights, all of them random."""
    torch.manual_seed(0)
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, "<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "eos_token": "<end>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **special)
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = Qwen2Config(vocab_size=len(WORDS), num_hidden_layers=1, pad_token_id=0, eos_token_id=1, **shape)
    return Qwen2ForCausalLM(config), tokenizer


def main() -> None:
    """Train for a few steps and print what the judge thought of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()

    with files("edit_rrm_client").joinpath("examples", "source.png").open("rb") as file:
        source = Image.open(file).convert("RGB")
    row = {"prompt": "make the red star", "instruction": "make the red star blue", "source": source}
    model, tokenizer = tiny_policy()
    with RewardClient(options.url) as client, tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model,
            reward_funcs=[TrlReward(client, edited=draw)],
            args=GRPOConfig(
                output_dir=folder,
                max_steps=options.steps,
                per_device_train_batch_size=16,
                num_generations=16,
                max_completion_length=1,
                learning_rate=5e-2,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                remove_unused_columns=False,
                use_cpu=True,
            ),
            train_dataset=Dataset.from_list([row] * options.steps),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    rewards = [step["reward"] for step in trainer.state.log_history if "reward" in step]
    print("rewards:", *(f"{reward:.2f}" for reward in rewards))


if __name__ == "__main__":
    main()
