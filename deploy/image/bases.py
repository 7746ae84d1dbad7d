"""Base images: pulled where their registry can be reached, and stood in for where it cannot.

What stands in for Python's image is a minimal Debian with its Python, made by debootstrap: the build's own steps are
the same. What stands in for vLLM's has no vLLM, only the names and versions of its packages: it shows that the target
`server` builds and starts, and nothing about GPUs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from deploy.image.engine import ROOT, STORE, ImageError, Podman, say
from deploy.tools import fetch_podman

DEBIAN, MIRROR = "bookworm", "http://deb.debian.org/debian"
PYTHON_STAND_IN = f"localhost/edit-rrm-python:{DEBIAN}"
VLLM_STAND_IN = "localhost/edit-rrm-vllm:stand-in"
PACKAGES = ("ca-certificates", "python3", "python3-venv")
VLLM_HAS = ("vllm", "torch", "torchvision", "transformers", "accelerate", "safetensors")


def default(argument: str) -> str:
    """Default of one of the Dockerfile's arguments."""
    found = re.search(rf"^ARG {argument}=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, f"the Dockerfile has an ARG {argument}"
    return found[1]


def python_base(podman: Podman) -> str:
    """The base of the target `cpu`, or what stands in for it.

    Raises:
        ImageError: It can neither be pulled nor be made.
    """
    wanted = default("BASE")
    if podman.has(wanted):
        return wanted
    if podman.has(PYTHON_STAND_IN):
        say(f"base: {PYTHON_STAND_IN}, made here before")
        return PYTHON_STAND_IN
    if podman.run("pull", "--quiet", wanted).returncode == 0:
        return wanted
    say(f"{wanted} cannot be pulled from here; a minimal Debian {DEBIAN} is made to stand in for it")
    _debian(podman)
    return PYTHON_STAND_IN


def vllm_stand_in(podman: Podman, python: str) -> str:
    """What stands in for vLLM's image, on the base of the target `cpu`."""
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line
    )
    names = [(name, pins.get(name) or pins[f"{name}-cpu"]) for name in VLLM_HAS]
    script = (
        "import pathlib, sysconfig\n"
        f"for name, version in {names!r}:\n"
        "    home = pathlib.Path(sysconfig.get_path('purelib')) / f'{name}-{version}.dist-info'\n"
        "    home.mkdir(parents=True)\n"
        "    (home / 'METADATA').write_text(f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')\n"
        "    (home / 'INSTALLER').write_text('stand-in\\n')\n"
        "    (home / 'RECORD').write_text('')\n"
    )
    with tempfile.TemporaryDirectory(dir=STORE) as folder:
        (Path(folder) / "packages.py").write_text(script, encoding="utf-8")
        (Path(folder) / "Dockerfile").write_text(
            f"FROM {python}\nCOPY packages.py /\nRUN python3 /packages.py && rm /packages.py\n", encoding="utf-8"
        )
        podman.must("build", "--quiet", "--network=host", f"--tag={VLLM_STAND_IN}", folder)
    return VLLM_STAND_IN


def _debian(podman: Podman) -> None:
    if os.geteuid() != 0:
        raise ImageError("making a base image needs root; name one that can be pulled with --base")
    home = fetch_podman.fetch()
    script = shutil.which("debootstrap")
    environment = dict(os.environ)
    if script is None:
        script = str(home / "usr" / "sbin" / "debootstrap")
        environment["DEBOOTSTRAP_DIR"] = str(home / "usr" / "share" / "debootstrap")
    with tempfile.TemporaryDirectory(dir=STORE) as folder:
        root = Path(folder) / "root"
        command = [script, "--variant=minbase", f"--include={','.join(PACKAGES)}", DEBIAN, str(root), MIRROR]
        made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own
        if made.returncode:
            raise ImageError(f"debootstrap failed: {(made.stdout + made.stderr).strip()[-1000:]}")
        for cache in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(root / cache)
        archive = Path(folder) / "root.tar"
        with tarfile.open(archive, "w") as packed:
            packed.add(root, arcname=".")
        podman.must("import", "--quiet", str(archive), PYTHON_STAND_IN)
