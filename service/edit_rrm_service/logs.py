"""Log lines, as text for people or as JSON for collectors, each with its request id."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from edit_rrm_service.request_id import current_request_id


class TextFormatter(logging.Formatter):
    """One line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, request id and message."""
        request_id = current_request_id.get()
        tag = f" [{request_id}]" if request_id else ""
        line = f"{_time(record)} {record.levelname.lower():<7}{tag} {_printable(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, logger, request id, message and any traceback."""
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "request_id": current_request_id.get(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure_logs(level: str, kind: str) -> None:
    """Send all log lines to standard error in one format; other libraries' only from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if kind == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("edit_rrm_service").setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True


def _printable(text: str) -> str:
    """Text on one line: a path a client asked for may hold line breaks and terminal codes."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
