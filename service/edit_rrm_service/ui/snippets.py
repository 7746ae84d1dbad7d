"""A question from the page as `curl` and as client code, to go on with elsewhere. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable

from edit_rrm.verdicts import Mode
from edit_rrm_service.ui.asking import Question

KEY_VARIABLE = "EDIT_RRM_API_KEY"
"""Environment variable that both read the key from, where the service wants one: a key is nothing to copy about."""


def as_curl(question: Question, url: str, *, key: bool) -> str:
    """The question as a `curl` command, run where the image files are.

    Args:
        question: What was asked.
        url: The service's base URL.
        key: Whether the service wants an API key.
    """
    lines = [f"curl -s {shlex.quote(url.rstrip('/') + '/v1/rewards')}"]
    if key:
        lines.append(f'-H "Authorization: Bearer ${KEY_VARIABLE}"')
    # Not -F: a text that begins with @ or < would name a file there, and one with a semicolon would end.
    lines.append(f"--form-string {shlex.quote('request=' + json.dumps(question.fields, ensure_ascii=False))}")
    lines.append(f"-F {_file('source', question.source.name)}")
    lines += [f"-F {_file('edited', image.name)}" for image in question.edited]
    return " \\\n  ".join(lines)


def as_client_code(question: Question, url: str, *, key: bool) -> str:
    """The question as a program for the Python client, run where the image files are."""
    arguments = [_text(question.instruction), _text(question.source.name), _listed(_names(question))]
    verdicts = []
    if question.principles is not None:
        arguments.append(f"principles={_listed(_principles(question))}")
    if question.mode is not Mode.THINK:
        arguments.append(f"mode=Mode.{question.mode.name}")
        verdicts.append("Mode")
    if question.aggregation is not None:
        arguments.append(f"aggregation=Aggregation.{question.aggregation.name}")
        verdicts.append("Aggregation")
    if question.samples != 1:
        arguments.append(f"samples={question.samples}")
    imports = ["import os", ""] if key else []
    if question.principles is not None:
        imports.append("from edit_rrm.principles import Category, Principle")
    if verdicts:
        imports.append(f"from edit_rrm.verdicts import {', '.join(sorted(verdicts))}")
    imports.append("from edit_rrm_client import RewardClient")
    made = f'{_text(url)}, api_key=os.environ["{KEY_VARIABLE}"]' if key else _text(url)
    indented = "".join(f"        {argument},\n" for argument in arguments)
    return (
        "\n".join(imports)
        + f"\n\nwith RewardClient({made}) as client:\n    group = client.rewards(\n{indented}    )\n"
        + "for result in group.results:\n    print(result.outcome, result.reward)\n"
    )


def _names(question: Question) -> Iterable[str]:
    return (_text(image.name) for image in question.edited)


def _principles(question: Question) -> Iterable[str]:
    for one in question.principles or ():
        yield f"Principle(question={_text(one.question)}, category=Category.{one.category.name})"


def _listed(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _text(value: str) -> str:
    """A string literal, in double quotes as the documentation has them."""
    return json.dumps(value, ensure_ascii=False)


def _file(field: str, name: str) -> str:
    """A file for curl's -F, which takes commas and semicolons for its own unless the name is in double quotes."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'{field}=@"{escaped}"') if set(name) & set(',;"\\') else shlex.quote(f"{field}=@{name}")
