"""A checkpoint on disk: where it is, whether it can be served, what its card says, and the digest of its files."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from edit_rrm.card import CARD_FILE, CardError, JudgeCard, load_card
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.engines.base import EngineStartError

_logger = logging.getLogger(__name__)

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}\Z", re.ASCII)
_HUB_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja")
_CARDLESS = ("qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
_DIGESTED = frozenset({".safetensors", ".json", ".txt", ".jinja"})
_CHUNK = 1 << 22
_WANTED = "--model takes a checkpoint folder or a name such as Qwen/Qwen2.5-VL-7B-Instruct"


def first_line(error: BaseException) -> str:
    """Shorten an exception to what fits a one-line message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def find_checkpoint(model: str) -> Path:
    """Turn a folder, or a name on the Hugging Face hub, into a local folder that holds a checkpoint.

    A name is downloaded, or taken from the hub's cache; with `HF_HUB_OFFLINE=1` only the cache is looked at.

    Raises:
        EngineStartError: There is no such folder or model, or it lacks a configuration or weights.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if folder.exists():
            raise EngineStartError(f"{model} is a file; {_WANTED}")
        if _HUB_NAME.match(model) is None:
            raise EngineStartError(f"{model} does not exist; {_WANTED}")
        folder = _download(model)
    folder = folder.resolve()
    read_config(folder)
    if not any(folder.glob("*.safetensors")):
        raise EngineStartError(f"{folder} has no *.safetensors weights; point --model at a complete checkpoint")
    return folder


def read_config(checkpoint: Path) -> dict[str, Any]:
    """Read a checkpoint's `config.json`.

    Raises:
        EngineStartError: It is missing, or not a JSON object.
    """
    path = checkpoint / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EngineStartError(f"{checkpoint} has no config.json; point --model at a complete checkpoint") from None
    except (OSError, ValueError) as error:
        raise EngineStartError(f"{path} cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise EngineStartError(f"{path} is not a JSON object")
    return config


def judge_card(checkpoint: Path) -> JudgeCard:
    """Load the card of a checkpoint; a Qwen2.5-VL or Qwen3-VL without one gets the default card and a log line.

    Raises:
        EngineStartError: The card is broken, was written for other prompts, or is missing from another kind of model.
    """
    try:
        card = load_card(checkpoint)
    except CardError as error:
        raise EngineStartError(str(error)) from None
    if card is None:
        kind = read_config(checkpoint).get("model_type")
        if kind not in _CARDLESS:
            raise EngineStartError(
                f"{checkpoint} has no {CARD_FILE}, and its model_type {kind!r} is not {' or '.join(_CARDLESS)}; "
                f"write a judge card beside its config.json ({{}} takes every default)"
            )
        card = JudgeCard(name=checkpoint.name)
        _logger.warning(
            "%s has no %s: serving it with the default card and the %r prompts", checkpoint, CARD_FILE, card.prompts
        )
        return card
    try:
        fingerprint = load_prompt_set(card.prompts).fingerprint
    except ValueError as error:
        raise EngineStartError(f"{checkpoint / CARD_FILE}: {error}") from None
    if card.prompts_fingerprint not in (None, fingerprint):
        raise EngineStartError(
            f"{checkpoint / CARD_FILE}: trained with other {card.prompts!r} prompts ({card.prompts_fingerprint:.12}) "
            f"than this version's ({fingerprint:.12}); install the version it was trained with, or retrain it"
        )
    return card


def weights_digest(checkpoint: Path) -> str:
    """SHA-256 (hex) over every file that decides what the model says: weights, configuration, tokenizer, preprocessing.

    The card is left out: renaming a judge does not make it another one. Digests of files are cached by path, size and
    modification time, so that a restart does not read 16 GB again.
    """
    cache = _DigestCache()
    digest = hashlib.sha256()
    for path in sorted(checkpoint.iterdir()):
        if path.suffix in _DIGESTED and path.name != CARD_FILE and path.is_file():
            digest.update(f"{path.name}\0{cache.file(path)}\n".encode())
    cache.save()
    return digest.hexdigest()


class _DigestCache:
    """File digests remembered in the user's cache folder; losing it costs time only."""

    def __init__(self) -> None:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self._path = Path(root) / "edit-rrm" / "digests.json"
        self._changed = False
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        self._known: dict[str, str] = known if isinstance(known, dict) else {}

    def file(self, path: Path) -> str:
        real = path.resolve()
        status = real.stat()
        key = f"{real}|{status.st_size}|{status.st_mtime_ns}"
        found = self._known.get(key)
        if not isinstance(found, str):
            found = self._known[key] = _sha256(real)
            self._changed = True
        return found

    def save(self) -> None:
        if not self._changed:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False, encoding="utf-8") as file:
                json.dump(self._known, file)
            Path(file.name).replace(self._path)
        except OSError as error:
            _logger.debug("file digests are not cached: %s", error)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _download(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise EngineStartError(f"{name} is not a local folder, and fetching it needs huggingface_hub") from None
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except (OSError, ValueError) as error:
        raise EngineStartError(
            f"{name} is no local folder, and the model hub did not give it: {first_line(error)}"
        ) from None
