"""The page of every endpoint is what the service's own OpenAPI document says."""

from __future__ import annotations

from website.http_reference import PAGE, kind, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m website.http_reference`"


def test_types_are_said_in_words() -> None:
    assert kind({"$ref": "#/components/schemas/Mode"}) == "[Mode](#mode)"
    assert kind({"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": 128}) == (
        "list of file (1 to 128)"
    )
    assert kind({"anyOf": [{"type": "number", "minimum": 0.5}, {"type": "null"}]}) == "number (0.5 or more) or null"
    assert kind({"type": "integer", "ge": 0, "lt": 10}) == "integer (0 to 9)"
