"""What pip on this machine reads, lent to a build: its settings as a secret, the local folders they name as volumes.

Neither stays in the image. A machine that installs from PyPI as everybody does lends nothing.
"""

from __future__ import annotations

import ast
import configparser
import io
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

LENT = (
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "trusted-host",
    "proxy",
    "cert",
    "client-cert",
    "timeout",
)
"""Where packages come from. What else pip is told here is this machine's own business."""


def settings(listed: str) -> dict[str, str]:
    """The settings that are lent, from what `pip config list` prints; the environment wins over files."""
    found: dict[str, str] = {}
    lines = sorted(listed.splitlines(), key=lambda line: line.startswith(":env:"))
    for line in lines:
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in LENT and value:
            found[option] = str(ast.literal_eval(value))
    return found


def configuration(found: dict[str, str]) -> str:
    """The settings as a pip.conf."""
    parser = configparser.RawConfigParser()
    parser["global"] = {name: "\n".join(value.split()) for name, value in found.items()}
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def local_paths(found: dict[str, str]) -> list[Path]:
    """Files and folders of this machine that the settings name."""
    paths: set[Path] = set()
    for option, value in found.items():
        for word in value.split():
            is_url = word.startswith("file:")
            path = Path(unquote(urlsplit(word).path)) if is_url else Path(word)
            if not path.is_absolute() or not path.exists():
                continue
            # Pages of an index lead to files beside it.
            paths.add(path.parent if is_url and option.endswith("index-url") else path)
    return sorted(paths)


def lend(folder: Path) -> list[str]:
    """Arguments for `podman build`; writes a pip.conf into the folder, where there is anything to say."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - constant
    found = settings(listed)
    if not found:
        return []
    file = folder / "pip.conf"
    file.write_text(configuration(found), encoding="utf-8")
    return [f"--secret=id=pip.conf,src={file}", *(f"--volume={path}:{path}:ro" for path in local_paths(found))]
