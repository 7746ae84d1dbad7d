"""Prompts -> the checkpoint's own chat format, and labels -> the single tokens they are at the start of a reply."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edit_rrm.card import ImageBudget, JudgeCard
from edit_rrm_service.engines.base import EngineError, EngineImage, EngineStartError, Prompt

_logger = logging.getLogger(__name__)


def messages(prompt: Prompt) -> list[dict[str, Any]]:
    """Write a prompt as chat messages, images as empty `image` parts."""
    content = [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in prompt.parts]
    return [
        {"role": "system", "content": [{"type": "text", "text": prompt.system}]},
        {"role": "user", "content": content},
    ]


def images(prompt: Prompt) -> list[EngineImage]:
    """List the images of a prompt in order."""
    return [part for part in prompt.parts if isinstance(part, EngineImage)]


def image_size(budget: ImageBudget) -> dict[str, int]:
    """Write a pixel budget the way Qwen-VL image processors take it: as areas, whatever the names say."""
    return {"shortest_edge": budget.min_pixels, "longest_edge": budget.max_pixels}


def resolve_labels(labels: Sequence[str], token_of: Any, card: JudgeCard) -> dict[str, int]:
    """Find the token of every label that is exactly one.

    Args:
        labels: Labels to resolve.
        token_of: Takes a label, returns its only token in the reply position, or None where it is several.
        card: Says which labels are variants of one answer.

    Returns:
        Label to token id. A label of several tokens is left out, with a log line, where another variant of the same
        answer remains.

    Raises:
        EngineStartError: An answer has no single-token label, or labels of two answers are the same token.
    """
    found: dict[str, int] = {}
    answers = [[label for label in group if label in labels] for group in (card.labels.yes, card.labels.no)]
    answers += [[label] for label in labels if not any(label in group for group in answers)]
    for group in filter(None, answers):
        for label in group:
            token = token_of(label)
            if token is None:
                _logger.warning("label %r is not one token after this model's chat prompt and is not read", label)
            elif token in (found[other] for other in group if other in found):
                _logger.warning(
                    "label %r is the same token as another variant of its answer and is not read twice", label
                )
            elif token in found.values():
                raise EngineStartError(
                    f"label {label!r} is the same token as a label of another answer; change the judge card's labels"
                )
            else:
                found[label] = token
        if not any(label in found for label in group):
            raise EngineStartError(
                f"none of the labels {', '.join(map(repr, group))} is a single token after this model's chat prompt; "
                "put one that is into the judge card's labels"
            )
    return found


class ChatRenderer:
    """A checkpoint's processor, used for what an engine must not get wrong."""

    def __init__(self, checkpoint: Path) -> None:
        """Load the processor.

        Raises:
            EngineStartError: The checkpoint's tokenizer, preprocessor or chat template can't be used.
        """
        from transformers import AutoProcessor

        try:
            load: Any = AutoProcessor.from_pretrained
            self.processor: Any = load(str(checkpoint), local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise EngineStartError(
                f"{checkpoint}: the tokenizer or image processor cannot be loaded: {reason}"
            ) from None
        self.tokenizer: Any = getattr(self.processor, "tokenizer", None)
        if self.tokenizer is None or getattr(self.processor, "image_processor", None) is None:
            raise EngineStartError(f"{checkpoint} has no image processor; a judge must be a vision-language model")
        if not (self.processor.chat_template or self.tokenizer.chat_template):
            raise EngineStartError(
                f"{checkpoint} has no chat template; add chat_template.jinja from the model it was trained from"
            )
        special = {token for token, added in self.tokenizer.added_tokens_decoder.items() if added.special}
        self._special: frozenset[int] = frozenset(special.union(self.tokenizer.all_special_ids))
        self._structures: dict[tuple[bool, ...], Counter[int]] = {}

    def text(self, prompt: Prompt) -> str:
        """Render a prompt up to and with the cue for the reply, one placeholder token per image."""
        rendered = self.processor.apply_chat_template(messages(prompt), tokenize=False, add_generation_prompt=True)
        return str(rendered)

    def token_ids(self, prompt: Prompt) -> list[int]:
        """Tokenize a rendered prompt, one placeholder token per image.

        Raises:
            EngineError: A text of the prompt brought special tokens of its own. `edit_rrm.prompts` makes users' words
                harmless before they get here; this holds for every caller.
        """
        ids = self._encode(self.text(prompt))
        if self._structure(ids) != self._expected(prompt):
            raise EngineError("a text of the prompt contains the chat template's special tokens", retryable=False)
        return ids

    def label_tokens(self, labels: Sequence[str], card: JudgeCard) -> dict[str, int]:
        """Resolve labels as the first token of a reply; see `resolve_labels`."""
        cue = self.text(Prompt("System.", ("Question?",)))
        before = self._encode(cue)

        def token_of(label: str) -> int | None:
            after = self._encode(cue + label)
            single = len(after) == len(before) + 1 and after[:-1] == before and after[-1] not in self._special
            return after[-1] if single else None

        return resolve_labels(labels, token_of, card)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Turn generated tokens into text, without special tokens."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _structure(self, ids: Sequence[int]) -> Counter[int]:
        return Counter(token for token in ids if token in self._special)

    def _expected(self, prompt: Prompt) -> Counter[int]:
        shape = tuple(isinstance(part, str) for part in prompt.parts)
        if shape not in self._structures:
            plain = Prompt("system", tuple("text" if isinstance(part, str) else part for part in prompt.parts))
            self._structures[shape] = self._structure(self._encode(self.text(plain)))
        return self._structures[shape]
