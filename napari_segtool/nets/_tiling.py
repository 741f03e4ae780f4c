"""Cut a picture or volume into tiles that overlap by what the network sees, and by no more."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

Box = tuple[slice, ...]
"""One slice with start and stop for each spatial axis."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One piece of the work.

    Parameters
    ----------
    core
        The pixels that this tile decides; the cores of a plan cover each pixel once.
    outer
        What the network is shown: the core and its surroundings, cut at the borders of the image.
    """

    core: Box
    outer: Box

    @property
    def inner(self) -> Box:
        """The core, counted from the corner of ``outer``."""
        return tuple(slice(c.start - o.start, c.stop - o.start) for c, o in zip(self.core, self.outer, strict=True))

    @property
    def core_shape(self) -> tuple[int, ...]:
        """Pixels of the core along each axis."""
        return tuple(axis.stop - axis.start for axis in self.core)

    @property
    def outer_shape(self) -> tuple[int, ...]:
        """Pixels shown to the network along each axis."""
        return tuple(axis.stop - axis.start for axis in self.outer)


def plan_tiles(shape: Sequence[int], core_px: Sequence[int], halo_px: Sequence[int], multiple: Sequence[int], region: Box = ()) -> tuple[Tile, ...]:
    """Cut ``shape`` into tiles of about equal size.

    Every tile begins at a multiple of the network's total stride, so that its pooling windows are those of the whole image.

    Parameters
    ----------
    shape
        Pixels along each spatial axis.
    core_px
        Largest core along each axis.
    halo_px
        Surroundings to show on each side; rounded up to the stride. An axis that one core spans needs none.
    multiple
        Total stride of the network along each axis.
    region
        Part to cover; empty covers everything. Its start is moved down to a multiple of the stride.

    Examples
    --------
    >>> [(tile.core[0].start, tile.core[0].stop, tile.outer[0].stop) for tile in plan_tiles((100,), (64,), (5,), (8,))]
    [(0, 56, 64), (56, 100, 100)]
    """
    axes = []
    for axis, (n, core, step) in enumerate(zip(shape, core_px, multiple, strict=True)):
        low, high = (region[axis].start // step * step, region[axis].stop) if region else (0, n)
        pieces = max(1, math.ceil((high - low) / max(step, core)))
        size = max(step, math.ceil(math.ceil((high - low) / pieces) / step) * step)
        axes.append([slice(start, min(start + size, high)) for start in range(low, high, size)])
    return tuple(_tile(core, shape, halo_px, multiple) for core in itertools.product(*axes))


def fitting_core(shape: Sequence[int], halo_px: Sequence[int], multiple: Sequence[int], largest_px: int) -> tuple[int, ...]:
    """Return the largest core, as near to a square as the image allows, whose tile has at most ``largest_px`` pixels.

    An image that fits whole is one tile and needs no halo. Never below one stride.

    Examples
    --------
    >>> fitting_core((512, 512), (96, 96), (16, 16), 512 * 512)
    (512, 512)
    >>> fitting_core((512, 512), (32, 32), (16, 16), 400 * 400)
    (256, 256)
    """
    pieces = [1] * len(shape)
    while True:
        core = [math.ceil(math.ceil(n / count) / step) * step for n, count, step in zip(shape, pieces, multiple, strict=True)]
        shown = [min(n, c + 2 * _rounded(h, m)) if c < n else n for n, c, h, m in zip(shape, core, halo_px, multiple, strict=True)]
        longest = max(range(len(shape)), key=lambda axis: core[axis] / multiple[axis])
        if math.prod(shown) <= largest_px or core[longest] <= multiple[longest]:
            return tuple(min(c, n) if c >= n else c for c, n in zip(core, shape, strict=True))
        pieces[longest] += 1


def halved(tile: Tile, shape: Sequence[int], halo_px: Sequence[int], multiple: Sequence[int]) -> tuple[Tile, ...]:
    """Cut a tile in two along its longest axis; the tile itself where it is no longer than one stride."""
    axis = max(range(len(shape)), key=lambda i: tile.core_shape[i] / multiple[i])
    n, step, core = tile.core_shape[axis], multiple[axis], tile.core[axis]
    if n <= step:
        return (tile,)
    middle = core.start + max(step, n // 2 // step * step)
    parts = (slice(core.start, middle), slice(middle, core.stop))
    return tuple(_tile((*tile.core[:axis], part, *tile.core[axis + 1 :]), shape, halo_px, multiple) for part in parts)


def tile_around(core: Box, shape: Sequence[int], halo_px: Sequence[int], multiple: Sequence[int]) -> Tile:
    """Return the tile that shows all a network needs to decide the pixels of ``core``, wherever that begins."""
    aligned = tuple(slice(axis.start // m * m, min(n, -(-axis.stop // m) * m)) for axis, n, m in zip(core, shape, multiple, strict=True))
    return Tile(core, _tile(aligned, shape, halo_px, multiple).outer)


def _tile(core: Box, shape: Sequence[int], halo_px: Sequence[int], multiple: Sequence[int]) -> Tile:
    margins = [_rounded(halo, step) for halo, step in zip(halo_px, multiple, strict=True)]
    ends = [
        math.ceil(axis.stop / step) * step for axis, step in zip(core, multiple, strict=True)
    ]  # a part that ends within a pooling window depends on all of it
    spans = zip(core, ends, shape, margins, strict=True)
    return Tile(core, tuple(slice(max(0, axis.start - margin), min(n, end + margin)) for axis, end, n, margin in spans))


def _rounded(halo: int, step: int) -> int:
    return math.ceil(halo / step) * step
