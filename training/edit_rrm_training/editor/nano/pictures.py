"""Pictures of the shapes world as nano-editor's VAE takes them: padded to a multiple of its patches, from -1 to 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from edit_rrm_training.editor.nano.architecture import SIDE
from edit_rrm_training.shapes.render import Pixels
from edit_rrm_training.shapes.vocabulary import CANVAS

MARGIN = (SIDE - CANVAS) // 2


def padded(pictures: Sequence[Pixels] | torch.Tensor) -> torch.Tensor:
    """Pictures (84, 84, 3) of bytes as a batch (N, 3, 88, 88) from -1 to 1, their edges repeated outwards."""
    stacked = pictures if isinstance(pictures, torch.Tensor) else torch.from_numpy(np.stack(pictures))
    batch = stacked.permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return torch.nn.functional.pad(batch, (MARGIN,) * 4, mode="replicate")


def cropped(batch: torch.Tensor) -> list[Pixels]:
    """The other way round: a batch (N, 3, 88, 88) as pictures of bytes."""
    inner = batch[..., MARGIN : MARGIN + CANVAS, MARGIN : MARGIN + CANVAS].float().clamp(-1.0, 1.0)
    pixels = ((inner + 1.0) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return list(pixels)
