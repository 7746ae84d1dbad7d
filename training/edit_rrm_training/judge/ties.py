"""What two equal scores of a pair give: an open point of the paper, and so a switch."""

from __future__ import annotations

from enum import StrEnum


class Ties(StrEnum):
    """What two equal scores give."""

    ZERO = "zero"
    HALF = "half"
    DROP = "drop"
