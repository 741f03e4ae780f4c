"""Walk a stack tile by tile and watch what a layer of the network gives, in bounded memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_segtool.core.progress import Progress, Steps
from napari_segtool.nets._forward import flushed_denormals
from napari_segtool.nets._loaded import LoadedModel, Scenes
from napari_segtool.nets._tiling import Tile, plan_tiles


@dataclass(frozen=True, slots=True)
class Find:
    """A strong place: its value, and where it lies."""

    value: float
    image: int
    plane: tuple[int, ...]
    centre: tuple[int, int]
    facts: tuple[float, ...] = ()


class Best:
    """The strongest places found so far, none too near to a stronger one in its plane.

    Parameters
    ----------
    count
        How many to keep.
    apart_px
        Least distance along Y or along X.

    Examples
    --------
    >>> best = Best(2, (3, 3))
    >>> for value, x in ((1.0, 5), (3.0, 6), (2.0, 20), (2.5, 30)):
    ...     best.offer(Find(value, 0, (), (0, x)))
    >>> [found.centre[1] for found in best.found]
    [6, 30]
    """

    def __init__(self, count: int, apart_px: tuple[int, int]) -> None:
        self._count, self._apart = count, apart_px
        self.found: list[Find] = []

    @property
    def least(self) -> float:
        """What a place must have to be kept."""
        return self.found[-1].value if len(self.found) >= self._count else float("-inf")

    def offer(self, find: Find) -> None:
        """Keep a place if it is among the strongest."""
        if find.value <= self.least:
            return
        near = [other for other in self.found if self._near(find, other)]
        if any(other.value >= find.value for other in near):
            return
        self.found = sorted([*(other for other in self.found if other not in near), find], key=lambda kept: -kept.value)[: self._count]

    def _near(self, one: Find, other: Find) -> bool:
        same = (one.image, one.plane) == (other.image, other.plane)
        return same and all(abs(a - b) < least for a, b, least in zip(one.centre, other.centre, self._apart, strict=True))


@contextlib.contextmanager
def given_by(module: nn.Module) -> Iterator[Callable[[], Tensor]]:
    """Catch what a module gives, as it gave it, in float32."""
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        caught[:] = [output.detach().float().clone()]

    hook = module.register_forward_hook(catch)
    try:
        yield lambda: caught[0]
    finally:
        hook.remove()


def watch_steps(
    model: LoadedModel,
    scenes: Scenes,
    where: Sequence[tuple[int, ...]],
    module: nn.Module,
    take: Callable[[tuple[int, ...], Tile, Tensor, Tensor], None],
    label: str,
    done: int = 0,
    total: int = 0,
    margin_px: Sequence[int] = (),
) -> Steps[None]:
    """Show the network every tile of some scenes, and hand over scene, tile, logits and what ``module`` gave for it.

    Parameters
    ----------
    where
        Indices of the scenes.
    done, total
        Scenes finished before, and of all stacks.
    margin_px
        How much further than the network's halo a tile shall show along each spatial axis, for who looks at neighbourhoods.
    """
    forward = model.forward
    halo, core = model.tile_size(scenes.shape)
    shown = tuple(a + b for a, b in zip(halo, margin_px, strict=True)) if margin_px else halo
    tiles = plan_tiles(scenes.shape, core, shown, forward.multiple)
    with given_by(module) as given:
        for number, scene in enumerate(where):
            for count, tile in enumerate(tiles):
                pixels = torch.from_numpy(scenes.read(scene, tile.outer)[None]).to(forward.device)
                with torch.no_grad(), flushed_denormals():
                    logits = forward.differentiable(pixels)
                take(scene, tile, logits, given())
                yield Progress(done + number + (count + 1) / len(tiles), total or len(where), label)


def in_core(maps: Tensor, tile: Tile, scale: Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
    """Return the part of ``(…, [z,] y, x)`` maps on a layer's grid that lies in a tile's core, and where that begins on the whole scene's grid."""
    inner: tuple[Any, ...] = tuple(slice(axis.start // step, -(-axis.stop // step)) for axis, step in zip(tile.inner, scale, strict=True))
    return maps[(Ellipsis, *inner)], tuple(axis.start // step for axis, step in zip(tile.core, scale, strict=True))


def peaks(picture: Tensor, radius: tuple[int, int], count: int) -> list[tuple[float, int, int]]:
    """Return value, row and column of the strongest local maxima of a ``(y, x)`` picture, strongest first.

    Examples
    --------
    >>> picture = torch.zeros(9, 9)
    >>> picture[2, 3], picture[2, 4], picture[7, 7] = 5, 4, 1
    >>> peaks(picture, (2, 2), 2)
    [(5.0, 2, 3), (1.0, 7, 7)]
    """
    sides = [2 * r + 1 for r in radius]
    highest = F.max_pool2d(picture[None, None], sides, 1, list(radius))[0, 0]
    values = torch.where(picture == highest, picture, -torch.inf).flatten()
    top = values.topk(min(count, values.numel()))
    width = picture.shape[1]
    return [(value, at // width, at % width) for value, at in zip(top.values.tolist(), top.indices.tolist(), strict=True) if value > float("-inf")]


def centre_px(cell: int, scale: int, n: int) -> int:
    """Return the pixel in the middle of a layer's cell, within a picture of ``n`` pixels."""
    return min(cell * scale + scale // 2, n - 1)
