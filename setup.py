"""Puts `_edit_rrm_torchvision.pth` into site-packages; everything else is in pyproject.toml.

A `.pth` file is the one thing that runs in every process of an environment, vLLM's spawned engines included. Setuptools
has no setting for one, so it is copied beside the packages for a wheel, and added to the wheel of an editable install.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel
from wheel.wheelfile import WheelFile

PTH = Path("rrm/_edit_rrm_torchvision.pth")


class BuildWithPth(build_py):  # type: ignore[misc]  # setuptools is not type-checked
    """Copies the `.pth` file to the root of the wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_file(str(PTH), str(Path(self.build_lib) / PTH.name))


class EditableWithPth(editable_wheel):  # type: ignore[misc]  # as above
    """Adds the `.pth` file to the wheel of an editable install."""

    def run(self) -> None:
        super().run()
        (wheel,) = Path(self.dist_dir).glob("edit_rrm-*editable*.whl")
        with WheelFile(str(wheel), "a") as archive:
            archive.write(str(PTH), PTH.name)


setup(cmdclass={"build_py": BuildWithPth, "editable_wheel": EditableWithPth})
