"""Podman, as the machine has it or fetched from Debian: builds images and runs containers without a daemon."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.tools import fetch_podman

ROOT = Path(__file__).parents[2]
STORE = ROOT / "build" / "image"
"""Images and containers of a fetched Podman, and what is made on the way; `make clean` removes it."""

_ALONE = "EDIT_RRM_IMAGE_OWN_MOUNTS"


class ImageError(Exception):
    """An image cannot be built or is not what it should be; the message says what to do."""


class Podman:
    """Runs Podman's commands."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        """Use a command and its own environment; `find` knows both."""
        self._command = list(command)
        self._environment = environment

    def run(
        self, *arguments: str, given: bytes | None = None, quiet: bool = True, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command and wait for it, whatever becomes of it.

        Args:
            arguments: What comes after `podman`.
            given: Standard input.
            quiet: Keep what it prints, instead of showing it.
            timeout: Longest to wait, in seconds.

        Raises:
            ImageError: It took longer.
        """
        pipe = subprocess.PIPE if quiet else None
        try:
            result = subprocess.run(  # noqa: S603 - Podman, with arguments of our own
                [*self._command, *arguments],
                env=self._environment,
                input=given,
                stdout=pipe,
                stderr=pipe,
                check=False,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise ImageError(f"podman {arguments[0]} took longer than {timeout:g} s") from error
        texts = [(stream or b"").decode("utf-8", "replace") for stream in (result.stdout, result.stderr)]
        return subprocess.CompletedProcess(result.args, result.returncode, *texts)

    def must(self, *arguments: str, given: bytes | None = None, quiet: bool = True) -> str:
        """Run one command and return what it printed.

        Raises:
            ImageError: It failed.
        """
        result = self.run(*arguments, given=given, quiet=quiet)
        if result.returncode:
            said = f": {result.stderr.strip()[-2000:]}" if quiet else ""
            raise ImageError(f"podman {arguments[0]} failed{said}")
        return result.stdout

    def inspect(self, image: str) -> dict[str, Any]:
        """What an image says of itself."""
        [found] = json.loads(self.must("image", "inspect", image))
        assert isinstance(found, dict)
        return found

    def has(self, image: str) -> bool:
        """Whether the image is in the store."""
        return self.run("image", "exists", image).returncode == 0


def own_mounts() -> None:
    """Start this program again where its mounts are its own, for a Podman that is fetched.

    However the program ends, none of them is left on the machine then, and the store can be removed.
    """
    unshare = shutil.which("unshare")
    if _ALONE in os.environ or shutil.which("podman") or os.geteuid() != 0 or unshare is None:
        return
    # What runs and what is mounted is this program's own: of one before, nothing is left but images.
    shutil.rmtree(STORE / "run", ignore_errors=True)
    arguments = sys.orig_argv[1:]
    os.execve(unshare, ["unshare", "--mount", sys.executable, *arguments], os.environ | {_ALONE: "1"})  # noqa: S606 - our own


def find() -> Podman:
    """The machine's Podman, or else one from Debian's packages.

    Raises:
        ImageError: There is none and none can be fetched, or containers cannot run here.
    """
    podman = _installed() or _fetched()
    result = podman.run("info")
    if result.returncode:
        raise ImageError(f"containers cannot run on this machine, podman info says: {result.stderr.strip()[-1000:]}")
    return podman


def _installed() -> Podman | None:
    command = shutil.which("podman")
    return Podman([command], dict(os.environ)) if command else None


def _fetched() -> Podman:
    if os.geteuid() != 0:
        raise ImageError("there is no podman in the PATH; install it, or run this as root on a Debian, to fetch one")
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ImageError("there is no podman in the PATH, and it can only be fetched on a Debian; install it")
    try:
        home = fetch_podman.fetch()
    except subprocess.CalledProcessError as error:
        raise ImageError(
            "Podman's packages cannot be fetched from Debian; run apt-get update, and try again"
        ) from error
    return Podman(*unpacked(home, STORE))


def unpacked(home: Path, store: Path) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a Podman that was not installed: everything it would look for below / is named.

    Args:
        home: Where its packages were unpacked.
        store: Folder for its images, containers and settings.
    """
    [libraries] = home.glob("usr/lib/*-linux-gnu")
    settings = store / "home" / ".config" / "containers"
    settings.mkdir(parents=True, exist_ok=True)
    temporary = store / "tmp"
    temporary.mkdir(exist_ok=True)
    policy = {"default": [{"type": "insecureAcceptAnything"}]}  # what Debian's package installs, too
    (settings / "policy.json").write_text(json.dumps(policy), encoding="utf-8")
    # Podman's own defaults are above what some machines let root have, and its builds may not keep all of that.
    files = _within(resource.RLIMIT_NOFILE, 1_048_576)
    processes = _within(resource.RLIMIT_NPROC, 32_768)
    (settings / "containers.conf").write_text(
        "[containers]\n"
        f'seccomp_profile = "{home}/usr/share/containers/seccomp.json"\n'
        f'default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]\n'
        '[engine]\nevents_logger = "none"\n',
        encoding="utf-8",
    )
    # Podman starts it without the environment.
    runtime = store / "runc"
    runtime.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {home}/usr/sbin/runc "$@"\n', encoding="utf-8")
    runtime.chmod(0o755)
    environment = os.environ | {
        "HOME": str(store / "home"),
        "CONTAINERS_CONF": str(settings / "containers.conf"),
        "LD_LIBRARY_PATH": str(libraries),
        # Caches of a build's own, and layers on their way.
        "TMPDIR": str(temporary),
    }
    command = [
        str(home / "usr" / "bin" / "podman"),
        f"--root={store / 'storage'}",
        f"--runroot={store / 'run'}",
        f"--tmpdir={store / 'run' / 'libpod'}",
        f"--storage-driver={'overlay' if _has_overlay() else 'vfs'}",
        "--cgroup-manager=cgroupfs",
        f"--runtime={runtime}",
        f"--conmon={home / 'usr' / 'bin' / 'conmon'}",
    ]
    return command, environment


def _within(limit: int, wanted: int) -> int:
    allowed = resource.getrlimit(limit)[1]
    return wanted if allowed == resource.RLIM_INFINITY else min(wanted, allowed)


def _has_overlay() -> bool:
    filesystems = Path("/proc/filesystems")
    return filesystems.is_file() and "overlay" in filesystems.read_text(encoding="utf-8").split()


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
