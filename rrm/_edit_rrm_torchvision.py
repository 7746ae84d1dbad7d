"""Lets a CUDA build of torchvision be imported beside a CPU build of torch.

torchvision's Python code registers fake kernels for its C++ operators `nms` and `qnms` at import; where its library
cannot be loaded (a CUDA build without CUDA), the operators do not exist, the import fails, and Transformers, PEFT and
vLLM's Qwen models fail with it. Defining the two operators first is enough for all that is needed here: torchvision's
transforms are plain torch code.

A `.pth` file calls `install` in every process of the environment. It costs one small import: torch is looked at only
when torchvision is about to be imported. Where torch has CUDA, or torchvision's library loads, nothing is changed.
"""

import sys
from importlib.machinery import PathFinder

_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[object] = []


class TorchvisionGuard:
    """A finder that finds nothing: being asked for torchvision is its cue to act."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Define the operators that torchvision is going to miss."""
        if fullname == "torchvision" and not _libraries:
            _define_missing_operators()


def install() -> None:
    """Put the guard in front of the import system, once."""
    if not any(type(finder) is TorchvisionGuard for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchvisionGuard())


def _define_missing_operators() -> None:
    try:
        import torch
    except ImportError:
        return
    if torch.version.cuda is not None or _loads_by_itself():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _OPERATORS:
        library.define(name + _SCHEMA)
    # A library's definitions last as long as the object does.
    _libraries.append(library)


def _loads_by_itself() -> bool:
    """Whether torchvision's C++ library can be loaded (loading it early does no harm: torchvision is about to)."""
    import torch

    spec = PathFinder.find_spec("torchvision")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        from pathlib import Path

        for library in Path(folder).glob("_C*.so"):
            try:
                torch.ops.load_library(library)
            except OSError:
                continue
            return True
    return False
