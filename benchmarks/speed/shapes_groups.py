"""Groups of the shapes world, which the shipped judge knows: its answers to made-up pictures cannot be read. Pure."""

from __future__ import annotations

from PIL import Image

from edit_rrm_client import Group
from edit_rrm_client.images import encode_image
from edit_rrm_training.shapes import make


def shapes_groups(size: int, count: int) -> list[Group]:
    """Groups of the validation split, with the principles that belong to them.

    Args:
        size: Edits of a group: the sample's own, each with another pixel a little brighter or darker, for no two edits
            may be alike.
        count: Groups.
    """
    return [_group(number, size) for number in range(count)]


def _group(number: int, size: int) -> Group:
    sample = make("validation", number)
    edits = []
    for member in range(size):
        pixels = sample.edited_pixels().copy()
        row, column = divmod(member, pixels.shape[1])
        pixels[row, column] ^= 1
        edits.append(encode_image(Image.fromarray(pixels)))
    principles = tuple(finding.principle for finding in sample.truth.findings)
    source = encode_image(Image.fromarray(sample.source_pixels()))
    return Group(sample.instruction, source, edits, principles)
