"""Fetches Podman and debootstrap into `build/tools/containers`, from Debian's packages.

`python deploy/tools/fetch_podman.py` leaves alone what is there. Nothing is installed on the machine: the packages are
only unpacked, and whoever runs Podman from there says where its parts are (`deploy/image/engine.py`).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "build" / "tools"
HOME = TOOLS / "containers"
PACKAGES = ("podman", "conmon", "runc", "golang-github-containers-common", "debootstrap")
LIBRARIES = ("libassuan0", "libdevmapper1.02.1", "libgpgme11", "libseccomp2", "libsubid4")
"""What Podman and runc are linked with, beyond what every Debian has."""


def fetch() -> Path:
    """Unpack the packages, in the versions that this Debian has.

    Raises:
        subprocess.CalledProcessError: apt-get could not fetch a package.
    """
    stamp = HOME / "unpacked"
    wanted = " ".join((*PACKAGES, *LIBRARIES))
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        HOME.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            # apt-get leaves packages in the current folder, checked against Debian's signature.
            subprocess.run(["apt-get", "download", "-qq", *wanted.split()], cwd=folder, check=True)  # noqa: S603, S607 - constant, found by PATH
            for package in sorted(Path(folder).glob("*.deb")):
                subprocess.run(["dpkg-deb", "-x", str(package), str(HOME)], check=True)  # noqa: S603, S607 - constant, found by PATH
        stamp.write_text(wanted, encoding="utf-8")
    return HOME


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
