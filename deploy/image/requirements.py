"""Prints what pip is to install for some extras of the project, for the Dockerfile.

The packages are a layer of their own that way, which a change of the project's sources leaves alone. With
`--keep-installed` it prints constraints instead: those of constraints.txt, but the installed version of whatever the
base image has, so that nothing of vLLM's own stack is replaced. Runs on a bare Python of the base image.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

_OWN = re.compile(r"^edit-rrm\[([\w,-]+)\]$")


def requirements(project: dict[str, Any], extras: Iterable[str]) -> Iterator[str]:
    """The project's requirements and those of the extras, with extras that name others of its own followed.

    Args:
        project: Table `project` of pyproject.toml.
        extras: Names of extras.

    Raises:
        KeyError: There is no such extra.
    """
    optional = project["optional-dependencies"]
    seen: set[str] = set()
    waiting = list(extras)
    yield from project["dependencies"]
    while waiting:
        extra = waiting.pop(0)
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in optional[extra]:
            if own := _OWN.match(requirement):
                waiting.extend(own[1].split(","))
            else:
                yield requirement


def normal(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def constraints(pinned: str, installed: dict[str, str]) -> Iterator[str]:
    """Lines of a constraints file: what is installed as it is, and the pins of everything else."""
    for line in pinned.splitlines():
        if normal(line.partition("==")[0]) not in installed:
            yield line
    for name, version in sorted(installed.items()):
        yield f"{name}=={version}"


def main() -> None:
    """Print requirements, or constraints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extras", nargs="*", metavar="EXTRA")
    parser.add_argument("--keep-installed", type=Path, metavar="CONSTRAINTS", help="print constraints")
    arguments = parser.parse_args()
    if arguments.keep_installed:
        installed = {normal(each.name): each.version for each in distributions()}
        lines = constraints(arguments.keep_installed.read_text(encoding="utf-8"), installed)
    else:
        project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = requirements(project, arguments.extras)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
