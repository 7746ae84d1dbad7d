"""Write the dashboards' JSON: `python -m deploy.grafana`; `--check` writes nothing and fails where a file is stale."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.engine import engine
from deploy.grafana.judge import judge
from deploy.grafana.service import service
from deploy.grafana.trainer import trainer

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, str]:
    """Every dashboard's JSON, by the name of its file."""
    boards = {"service": service(), "judge": judge(), "engine": engine(), "trainer-run": trainer()}
    return {name: json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True) + "\n" for name, board in boards.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or name those that are stale."""
    parser = argparse.ArgumentParser(prog="deploy.grafana", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--check", action="store_true", help="fail where a file is not what the code makes")
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    stale = False
    for name, text in dashboards().items():
        path: Path = given.out / f"{name}.json"
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale = True
        print(path.name)
        if not given.check:
            path.write_text(text, encoding="utf-8")
    return int(given.check and stale)


if __name__ == "__main__":
    sys.exit(main())
