"""Request ids: taken from `X-Request-Id` where it is sane, made otherwise, echoed always, and in every log line."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar

_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}\Z", re.ASCII)

current_request_id: ContextVar[str | None] = ContextVar("edit_rrm_request_id", default=None)
"""Id of the request being served, for log lines."""


def request_id_from(header: str | None) -> str:
    """The client's id if it has 1 to 128 of ``A-Za-z0-9._-``, else a fresh one."""
    return header if header is not None and _SANE.match(header) else uuid.uuid4().hex
