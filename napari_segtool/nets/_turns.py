"""The eight mirrorings and quarter turns of a picture, and back: what predictions are averaged over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
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
        return (batch.flip(-1) if self.flip else batch).rot90(self.quarters, (-2, -1))

    def undo(self, batch: Tensor) -> Tensor:
        """Turn back and mirror back."""
        if self == Turn():
            return batch
        turned = batch.rot90(-self.quarters, (-2, -1))
        return turned.flip(-1) if self.flip else turned


Mirror = bool | Literal["sides"]
"""Which copies of a picture a prediction is averaged over: all eight, it and its mirror image (pictures with an up and down), or it alone."""

ASIS = (Turn(),)
SIDES = (Turn(), Turn(flip=True))
EIGHT = tuple(Turn(quarters, flip) for flip in (False, True) for quarters in range(4))


def turns_of(mirror: Mirror) -> tuple[Turn, ...]:
    """Return the copies, the picture itself first.

    Examples
    --------
    >>> len(turns_of(True)), len(turns_of("sides")), len(turns_of(False))
    (8, 2, 1)
    """
    return SIDES if mirror == "sides" else EIGHT if mirror else ASIS
