"""What a run trains, as one process holds it: whole, or sharded over all of them (FSDP)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor


class Trained:
    """The parameters that a prepared module trains, in the module's order.

    Values are handed out as this process has them: whole, or its shard of each. What is done value by value (a moving
    average) is done on those; what leaves the process is gathered.
    """

    def __init__(self, module: nn.Module, precise: Callable[[nn.Parameter], torch.Tensor] | None = None) -> None:
        """Take a module as `Accelerator.prepare` returned it: FSDP puts other parameters in the place of what it had.

        Args:
            module: Prepared, and not called yet.
            precise: The whole of what the optimiser updates for a parameter, where that is something else (DeepSpeed).
        """
        bare = getattr(module, "module", module)
        found = {name: value for name, value in bare.named_parameters() if value.requires_grad}
        self.module = module
        self._precise = precise
        self.names = tuple(found)
        self.parameters = tuple(found.values())

    def here(self) -> list[torch.Tensor]:
        """What the module has of each, in this process, without a gradient; shares its memory."""
        self.reshard()
        return [local(value.detach()) for value in self.parameters]

    def precise(self) -> list[torch.Tensor]:
        """What the optimiser updates, in this process; like `here`, but in fp32 also where the module is not.

        All processes have to take part.
        """
        if self._precise is None:
            return self.here()
        return [self._precise(value).detach() for value in self.parameters]

    def whole(self, values: Sequence[torch.Tensor], *, keep: bool) -> dict[str, torch.Tensor]:
        """Gather values of this process, one for each parameter.

        All processes have to take part.

        Args:
            values: As `here` and `precise` have them.
            keep: Whether this process wants them.

        Returns:
            Whole tensors on the CPU by name; nothing where they are not wanted.
        """
        gathered: dict[str, torch.Tensor] = {}
        for name, parameter, value in zip(self.names, self.parameters, values, strict=True):
            full = gather(_as(value, parameter))
            if keep:
                gathered[name] = full.cpu().contiguous()
        return gathered

    def part(self, place: int, full: torch.Tensor) -> torch.Tensor:
        """What this process keeps of a whole value, sharded as the parameter at a place is.

        Args:
            place: Of the parameter.
            full: Of its shape, the same in all processes: nothing is sent. Anything else is kept whole.
        """
        like = self.parameters[place]
        if not isinstance(like, DTensor) or full.shape != like.shape:
            return full
        return distribute_tensor(full, like.device_mesh, like.placements, src_data_rank=None)

    @torch.no_grad()
    def take(self, place: int, full: torch.Tensor) -> None:
        """Set the parameter at a place to a whole value."""
        local(self.parameters[place].detach()).copy_(local(self.part(place, full)))

    def reshard(self) -> None:
        """Let go of whole copies that FSDP made for a pass: they would not follow what happens to the shards."""
        for module in self.module.modules():
            if isinstance(module, FSDPModule):
                module.reshard()


def gather(value: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor that may be sharded. All processes have to take part."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def local(value: torch.Tensor) -> torch.Tensor:
    """What this process has of a tensor that may be sharded; shares its memory."""
    return value.to_local() if isinstance(value, DTensor) else value


def _as(value: torch.Tensor, like: Any) -> torch.Tensor:
    """A value of this process as a shard of what its parameter is one of."""
    if not isinstance(like, DTensor) or isinstance(value, DTensor):
        return value
    return DTensor.from_local(
        value, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )
