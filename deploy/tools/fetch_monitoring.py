"""Fetches what checks rules and dashboards into `build/tools`: Prometheus from Debian, Grafana's schema from npm.

`python deploy/tools/fetch_monitoring.py` leaves alone what is there. Nothing is installed on the machine: Debian's
package is only unpacked, which apt-get and dpkg-deb do without being root.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "build" / "tools"
SCHEMA = {"@grafana/schema": "11.6.0", "typescript": "5.9.3"}
"""Of the Grafana that the dashboards are built for, and the compiler that checks them against it."""


def fetch_prometheus() -> list[Path]:
    """Take Prometheus and promtool out of Debian's package, in the version that this Debian has."""
    wanted = [TOOLS / "prometheus", TOOLS / "promtool"]
    if not all(path.is_file() for path in wanted):
        with tempfile.TemporaryDirectory() as folder:
            # apt-get leaves the package in the current folder, checked against Debian's signature.
            subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=folder, check=True)  # noqa: S607 - found by PATH
            [package] = Path(folder).glob("prometheus_*.deb")
            subprocess.run(["dpkg-deb", "-x", str(package), folder], check=True)  # noqa: S603, S607 - constant, found by PATH
            for path in wanted:
                shutil.copy2(Path(folder) / "usr" / "bin" / path.name, path)
    return wanted


def fetch_schema() -> Path:
    """Install Grafana's schema and a TypeScript compiler in a folder of their own."""
    home = TOOLS / "grafana-schema"
    manifest = home / "package.json"
    text = json.dumps({"name": "grafana-schema", "private": True, "dependencies": SCHEMA})
    if not ((home / "node_modules").is_dir() and manifest.is_file() and manifest.read_text(encoding="utf-8") == text):
        home.mkdir(exist_ok=True)
        manifest.write_text(text, encoding="utf-8")
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(command, cwd=home, check=True)  # noqa: S603 - constant
    return home


def main() -> int:
    """Fetch everything."""
    missing = [name for name in ("apt-get", "dpkg-deb", "npm") if shutil.which(name) is None]
    if missing:
        sys.stderr.write(f"needed and not here: {', '.join(missing)}; use a Debian or Ubuntu with npm\n")
        return 1
    TOOLS.mkdir(parents=True, exist_ok=True)
    try:
        found = (*fetch_prometheus(), fetch_schema())
    except subprocess.CalledProcessError as error:
        hint = "; run apt-get update (as root), and try again" if error.cmd[0] == "apt-get" else ""
        sys.stderr.write(f"{' '.join(error.cmd)} failed{hint}\n")
        return 1
    for path in found:
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
