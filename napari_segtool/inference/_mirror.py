"""The eight mirrorings and quarter turns of a picture, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Turn:
    """One of the eight symmetries of a square, in the last two axes of a tensor.

    Parameters
    ----------
    quarters
        Quarter turns.
    flip
        Whether X is mirrored before turning.
    """

    quarters: int = 0
    flip: bool = False

    def apply(self, batch: Tensor) -> Tensor:
        """Mirror and turn."""
        if self == Turn():
            return batch
        return torch.rot90(batch.flip(-1) if self.flip else batch, self.quarters, (-2, -1))

    def undo(self, batch: Tensor) -> Tensor:
        """Turn back and mirror back."""
        if self == Turn():
            return batch
        turned = torch.rot90(batch, -self.quarters, (-2, -1))
        return turned.flip(-1) if self.flip else turned


ASIS = (Turn(),)
EIGHT = tuple(Turn(quarters, flip) for flip in (False, True) for quarters in range(4))
