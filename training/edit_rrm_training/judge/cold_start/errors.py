"""What can go wrong in a cold start.

::

    ColdStartError              the run stops; one line for the user, finished rows stay
    ├── UnreachableError        a teacher does not answer at all
    └── (plain)                 settings, input or disk
    AnswerError                 one teacher's answer to one question cannot be used; recorded with its reason
    UnavailableError            no answer this time; nothing is recorded and the next run asks again
"""

from __future__ import annotations


class ColdStartError(Exception):
    """The run cannot go on. The message is for the user, on one line."""


class UnreachableError(ColdStartError):
    """A teacher that does not answer, row after row."""


class AnswerError(Exception):
    """An answer that cannot be used. Asking again would not help."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """Short and countable, such as `refused` or `truncated`."""


class UnavailableError(Exception):
    """No answer within the budget: unreachable, overloaded or too slow. Asking again later may help."""
