"""What can be wrong with a bulk run before, or instead of, any single row."""

from __future__ import annotations

from edit_rrm_client.errors import RewardClientError


class BulkError(RewardClientError):
    """A file, a column or a folder that cannot be used as asked; the message says what to do about it.

    `code` is one of ``bad_input``, ``missing_column``, ``bad_column``, ``another_run``, ``in_use``.
    """
