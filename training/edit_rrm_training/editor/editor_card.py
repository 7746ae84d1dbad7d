"""The card of an editor: what model it is of, how it is asked, and which judge it was trained on."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edit_rrm_training.editor.recipe import PolicyRecipe

EDITOR_FILE = "edit_rrm_editor.json"


class EditorError(ValueError):
    """A folder that is no editor; the message says what is missing."""


class EditorCard(BaseModel):
    """What `edit-rrm edit` has to know."""

    model_config = ConfigDict(frozen=True)

    policy: PolicyRecipe
    judge: str | None = None
    """Identity of the judge that it was trained on; null for an editor before that."""
    others: dict[str, str] = {}
    """Identities of further judges, by name, whose rewards were added."""
    steps: int = 0
    """Of GRPO."""


def save_editor_card(card: EditorCard, folder: Path) -> None:
    """Write a card into an editor's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / EDITOR_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_editor_card(folder: Path) -> EditorCard:
    """Read an editor's card.

    Raises:
        EditorError: There is none, or it cannot be read.
    """
    try:
        return EditorCard.model_validate_json((folder / EDITOR_FILE).read_text(encoding="utf-8"))
    except OSError:
        raise EditorError(
            f"{folder} has no {EDITOR_FILE}; name OUT/editor of a finished `edit-rrm train editor`, or nano"
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise EditorError(f"{folder / EDITOR_FILE}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
