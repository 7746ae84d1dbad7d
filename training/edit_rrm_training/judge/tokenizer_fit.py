"""Whether a model's embeddings are those of the tokenizer that stands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def check_tokenizer(model: Any, processor: Any, folder: Path | str) -> None:
    """Refuse a model whose tokenizer is another's, before it is trained on words that it does not mean.

    Raises:
        ValueError: The tokenizer has tokens that the model has no embedding of, or the two disagree on which token
            stands for an image.
    """
    tokenizer = processor.tokenizer
    rows, tokens = model.get_input_embeddings().num_embeddings, len(tokenizer)
    if tokens > rows:
        raise ValueError(
            f"{folder}: the tokenizer has {tokens} tokens and the model embeds {rows}; "
            "tokenizer.json belongs to another checkpoint"
        )
    token = getattr(processor, "image_token", None)
    image = None if token is None else tokenizer.convert_tokens_to_ids(token)
    known = getattr(model.config, "image_token_id", image)
    if image != known:
        raise ValueError(
            f"{folder}: {token} is token {image} of the tokenizer and {known} of the model; "
            "tokenizer.json belongs to another checkpoint"
        )
