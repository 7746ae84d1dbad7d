"""docs/reference/http.md from the service's OpenAPI document: `python -m website.http_reference` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edit_rrm_service.app import create_app
from edit_rrm_service.settings import Settings
from website.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "http.md"
HEAD = """# Every endpoint

Made by `python -m website.http_reference` from the OpenAPI document that a running service has at `/openapi.json`,
and at `/docs` as a page to try requests on. What fields, headers, outcomes and errors mean is in
[the contract](../http.md).
"""

Schema = dict[str, Any]


def page() -> str:
    """The page as it should be."""
    document = create_app(Settings(sentinels="off")).openapi()
    paths = [
        part
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for part in endpoint(f"{method.upper()} {path}", operation)
    ]
    objects = [part for name, schema in document["components"]["schemas"].items() for part in described(name, schema)]
    return "\n".join([HEAD, *paths, "## Objects", "", *objects]).rstrip() + "\n"


def endpoint(title: str, operation: Schema) -> Iterator[str]:
    """One endpoint: what it does, takes and answers."""
    yield from (
        f"## {title}",
        "",
        f"**{operation['summary']}.** {_sentence(operation.get('description', ''))}".rstrip(),
    )
    yield ""
    if parameters := operation.get("parameters", []):
        yield from ("| parameter | in | type |", "|---|---|---|")
        yield from (f"| `{one['name']}` | {one['in']} | {kind(one['schema'])} |" for one in parameters)
        yield ""
    if content := operation.get("requestBody", {}).get("content"):
        yield from body({media: media_type["schema"] for media, media_type in content.items()})
    yield from (f"- {', '.join(statuses)}: {what or 'text'}" for what, statuses in answers(operation).items())
    yield ""


def answers(operation: Schema) -> dict[str, list[str]]:
    """Statuses by what comes back with them."""
    found: dict[str, list[str]] = {}
    for status, response in sorted(operation["responses"].items()):
        found.setdefault(answer(response), []).append(f"`{status}`")
    return found


def body(schemas: dict[str, Schema]) -> Iterator[str]:
    """What is sent: a column for each content type."""
    first = next(iter(schemas.values()))
    yield f"| field | needed | {' | '.join(f'`{media}`' for media in schemas)} | default |"
    yield "|---" * (3 + len(schemas)) + "|"
    for name, schema in first["properties"].items():
        kinds = [kind(one["properties"][name]) for one in schemas.values()]
        needed = "yes" if name in first.get("required", ()) else ""
        yield f"| `{name}` | {needed} | {' | '.join(kinds)} | {default(schema)} |"
    yield ""


def answer(response: Schema) -> str:
    """What comes back with a status."""
    content = response.get("content", {})
    return ", ".join(kind(one.get("schema", {})) if "json" in media else f"`{media}`" for media, one in content.items())


def described(name: str, schema: Schema) -> Iterator[str]:
    """One object of the document."""
    yield from (f"### {name}", "", _sentence(schema.get("description", "")), "")
    if "enum" in schema:
        yield from (f"One of {kind(schema)}.", "")
    if properties := schema.get("properties"):
        yield from ("| field | type | default |", "|---|---|---|")
        yield from (f"| `{field}` | {kind(one)} | {default(one)} |" for field, one in properties.items())
        yield ""


def kind(schema: Schema) -> str:
    """A type in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}{_bounds(schema, 'Items', '')}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return f"object of {kind(inner)}" if isinstance(inner, dict) and inner else "object"
    if schema.get("type") == "string":
        form = {"binary": "file", "byte": "base64"}.get(schema.get("format", ""), "string")
        return form + _bounds(schema, "Length", " characters")
    return str(schema.get("type", "any")) + _bounds(schema, "imum", "")


def default(schema: Schema) -> str:
    """A default as JSON has it, where there is one that is not an object."""
    found = schema.get("default")
    return "" if found in (None, "") or isinstance(found, dict | list) else f"`{str(found).lower()}`"


def _bounds(schema: Schema, of: str, unit: str) -> str:
    least = schema.get(f"min{of}", schema.get("ge"))  # the second is how pydantic writes it beside `anyOf`
    most = schema.get(f"max{of}", schema.get("le", schema["lt"] - 1 if "lt" in schema else None))
    if most is not None:
        return f" ({_number(least or 0)} to {_number(most)}{unit})"
    return "" if least is None else f" ({_number(least)}{unit} or more)"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else str(value)


def _sentence(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
