"""A group's prompts as this service's engines take them: with pixels, not files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.speed.contender import Setting, decoded, parts, requests
from edit_rrm_client import Group
from edit_rrm_service.engines.base import EngineImage, Prompt
from edit_rrm_service.images import pixel_digest

Place = tuple[int, int]
"""Of a prompt's edit: its group, and its number there."""


def engine_prompts(setting: Setting, groups: Sequence[Group]) -> list[tuple[Place, Prompt]]:
    """All prompts of some groups, in the judge's own order; every image is decoded once."""
    return [
        ((place, number), prompt) for place, group in enumerate(groups) for number, prompt in _prompts(setting, group)
    ]


def _prompts(setting: Setting, group: Group) -> Iterator[tuple[int, Prompt]]:
    source = _image(group.source)
    edits: dict[int, EngineImage] = {}
    for number, prompt, edit in requests(setting, group):
        if number not in edits:
            edits[number] = _image(edit)
        yield number, Prompt(prompt.system, tuple(parts(prompt, source, edits[number])))


def _image(data: object) -> EngineImage:
    picture = decoded(data)
    return EngineImage(picture, pixel_digest(picture))
