"""Writes what the chart has from elsewhere: rules, dashboards, and the table of values in its README.

A chart may only read files of its own folder, so that it has copies of `deploy/prometheus/rules` and of the dashboards
in `deploy/grafana`; the table is made from the comments in `values.yaml`. `--check` writes nothing and says what
differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "edit-rrm"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"


class Value(NamedTuple):
    """One value of the chart: a leaf, or a section with a comment of its own."""

    path: str
    default: str | None
    """As JSON; null for a section."""
    description: str


def values(text: str) -> Iterator[Value]:
    """Every value of a `values.yaml`, with the comment right above it."""
    lines = text.splitlines()

    def comment(line: int) -> str:
        above: list[str] = []
        while line and lines[line - 1].strip().startswith("#"):
            line -= 1
            above.insert(0, lines[line].strip().removeprefix("#").strip())
        return " ".join(above)

    def commented(node: yaml.Node) -> bool:
        if not isinstance(node, yaml.MappingNode) or node.flow_style:
            return False
        return any(comment(key.start_mark.line) or commented(value) for key, value in node.value)

    def within(node: yaml.MappingNode, prefix: str) -> Iterator[Value]:
        for key, value in node.value:
            path = f"{prefix}{key.value}"
            said = comment(key.start_mark.line)
            if commented(value):
                if said:
                    yield Value(path, None, said)
                yield from within(value, f"{path}.")
            else:
                content = yaml.safe_load(yaml.serialize(value))
                yield Value(path, json.dumps(content), said)

    node = yaml.compose(text)
    assert isinstance(node, yaml.MappingNode), "values.yaml is a mapping"
    yield from within(node, "")


def table(text: str) -> str:
    """The values as a table in Markdown."""
    rows = ["| value | default | what it is |", "|---|---|---|"]
    for value in values(text):
        default = "" if value.default is None else f"`{value.default}`"
        rows.append(f"| `{value.path}` | {default} | {value.description.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def wanted() -> dict[Path, str]:
    """What the generated files should be, by path."""
    found: dict[Path, str] = {}
    for rules in sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml")):
        found[CHART / "files" / "prometheus" / rules.name] = rules.read_text(encoding="utf-8")
    for dashboard in sorted((ROOT / "deploy" / "grafana").rglob("*.json")):
        text = dashboard.read_text(encoding="utf-8")
        if "panels" in json.loads(text):
            found[CHART / "files" / "dashboards" / dashboard.name] = text
    readme = CHART / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    listed = table((CHART / "values.yaml").read_text(encoding="utf-8"))
    found[readme] = f"{before}{BEGIN}\n{listed}\n{END}{after}"
    return found


def main() -> int:
    """Write the files, or with `--check` return 1 where they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file differs")
    check = parser.parse_args().check
    files = wanted()
    copies = {path for folder in ("prometheus", "dashboards") for path in (CHART / "files" / folder).glob("*")}
    differing = sorted(
        {path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text}
        | (copies - files.keys())
    )
    for path in differing:
        sys.stdout.write(f"{path.relative_to(ROOT)}{': differs from what it is made of' if check else ''}\n")
        if check:
            continue
        if path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
        else:
            path.unlink()
    if check and differing:
        sys.stdout.write("run: python deploy/tools/chart_files.py\n")
    return int(check and bool(differing))


if __name__ == "__main__":
    sys.exit(main())
