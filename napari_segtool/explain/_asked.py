"""Which logits a question is about: of which classes, at which pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_segtool.nets._tiling import Box, Tile

if TYPE_CHECKING:
    from napari_segtool.nets._loaded import LoadedModel

NOWHERE = "The class is predicted nowhere here; this shows what speaks for it anywhere."


class Asked:
    """Classes and pixels that are asked about, in a scene that is worked on tile by tile.

    Parameters
    ----------
    model
        Whose classes they are.
    class_value, against
        Label values of the class, and of the one it is compared with, -1 for none.
    box, inside
        The box that the asked-for pixels fill in the scene, and which of its pixels they are; None where every pixel that is given the class is meant.
    depth
        The plane's place in a volume, ``(z,)``; empty in a picture. Only there pixels are asked about as they are predicted.

    Attributes
    ----------
    index, against : int
        Which logits; ``against`` is -1 for none.
    box : tuple of slice or None

    Raises
    ------
    ModelError
        If the model has no such class.
    """

    def __init__(
        self, model: LoadedModel, class_value: int, against: int, box: Box | None = None, inside: NDArray[np.bool_] | None = None, depth: tuple[int, ...] = ()
    ) -> None:
        self._model, self.index = model, model.index_of(class_value)
        self.against = model.index_of(against) if against != -1 else -1
        self.box, self._depth = box, depth
        self._inside = None if inside is None else torch.from_numpy(inside)
        self._masks: dict[tuple[tuple[int, int], ...], Tensor] = {}
        self._everywhere = False

    def values(self, logits: Tensor) -> Tensor:
        """Return what is asked about at each pixel: the class's logit, or what it has more than the other's; ``(N, [Z,] Y, X)``."""
        return logits[:, self.index] if self.against < 0 else logits[:, self.index] - logits[:, self.against]

    def known(self, tile: Tile) -> bool:
        """Whether it is decided which pixels of a tile are asked about."""
        return _key(tile) in self._masks

    def mask(self, tile: Tile, logits: Tensor) -> Tensor:
        """Return 1 where a tile's logits are asked about, else 0; for a whole class the first call decides, for good."""
        key = _key(tile)
        if key not in self._masks:
            self._masks[key] = self._in_region(tile, logits) if self.box is not None else self._of_class(tile, logits)
        return self._masks[key]

    def everywhere(self) -> bool:
        """After a walk over the tiles: if no pixel was given the class, ask about all pixels; True if the walk must be repeated."""
        if self._everywhere or self.box is not None or any(bool(mask.any()) for mask in self._masks.values()):
            return False
        self._everywhere = True
        self._masks.clear()
        return True

    def forget(self) -> None:
        """Forget what was decided: the tiles change."""
        self._masks.clear()
        self._everywhere = False

    def _in_region(self, tile: Tile, logits: Tensor) -> Tensor:
        assert self.box is not None
        assert self._inside is not None
        mask = torch.zeros(logits.shape[2:], device=logits.device)
        shared = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(self.box, tile.core, strict=True)]
        if all(start < stop for start, stop in shared):
            there = tuple(slice(start - axis.start, stop - axis.start) for (start, stop), axis in zip(shared, tile.outer, strict=True))
            here = tuple(slice(start - axis.start, stop - axis.start) for (start, stop), axis in zip(shared, self.box, strict=True))
            mask[there] = self._inside[here].to(mask)
        return mask

    def _of_class(self, tile: Tile, logits: Tensor) -> Tensor:
        core = list(tile.inner)
        if self._depth:
            inside = self._depth[0] - tile.outer[0].start
            core[0] = slice(inside, inside + 1)
        mask = torch.zeros(logits.shape[2:], device=logits.device)
        chosen = (self._model.ranks(logits[:1].detach())[0].argmax(0) == self.index) | self._everywhere
        mask[tuple(core)] = chosen[tuple(core)].float()
        return mask


def _key(tile: Tile) -> tuple[tuple[int, int], ...]:
    return tuple((axis.start, axis.stop) for axis in (*tile.core, *tile.outer))
