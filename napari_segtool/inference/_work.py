"""The tiles of a prediction that are still to do."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from napari_segtool.core.errors import DeviceError
from napari_segtool.nets._forward import Forward
from napari_segtool.nets._tiling import Tile, halved

_SLOW_S = 1.0
"""A pass that took longer than this makes the tiles after it smaller, so that a cancel is answered in time."""

Job = tuple[tuple[int, ...], Tile]


class Work:
    """The tiles still to do. They become smaller when memory or patience ends.

    Parameters
    ----------
    forward
        The network.
    shape, halo
        Of the scenes, and of the tiles.
    placed
        Whether only tiles with the core at the same place are asked about together, not all of one shape.
    """

    def __init__(self, forward: Forward, shape: Sequence[int], halo: Sequence[int], *, placed: bool = False) -> None:
        self.forward, self._shape, self._halo, self._placed = forward, shape, halo, placed
        self._jobs: deque[Job] = deque()
        self._most = 1 << 30 if forward.device.type != "cpu" else 1  # a CPU gains nothing from batches
        self._limit_px = 1 << 62
        self.done_px = self.total_px = 0

    def add(self, scene: tuple[int, ...], tiles: Iterable[Tile]) -> None:
        """Put tiles at the end."""
        for tile in tiles:
            self._jobs.append((scene, tile))
            self.total_px += math.prod(tile.core_shape)

    def batches(self) -> Iterator[list[Job]]:
        """Take tiles of one shape, as many as fit, until all are done."""
        while self._jobs:
            self._split_first()
            first = self._jobs[0][1]
            room = min(self._most, max(1, self.forward.largest_px() // math.prod(first.outer_shape))) if self._most > 1 else 1
            batch = [self._jobs.popleft()]
            while self._jobs and len(batch) < room and self._alike(self._jobs[0][1], first):
                batch.append(self._jobs.popleft())
            yield batch

    def done(self, batch: list[Job], spent_s: float) -> None:
        """Count finished tiles; after a slow one the others become smaller, down to twice the halo."""
        self.done_px += sum(math.prod(tile.core_shape) for _, tile in batch)
        px = len(batch) * math.prod(batch[0][1].outer_shape)
        if spent_s > _SLOW_S:
            least = math.prod([max(4 * h, 2 * m) for h, m in zip(self._halo, self.forward.multiple, strict=True)])
            self._limit_px = max(least, min(self._limit_px, int(px * 0.5 / spent_s)))

    def again(self, batch: list[Job]) -> None:
        """Put back what did not fit: fewer tiles at once, then smaller ones; raises `DeviceError` at one stride."""
        if len(batch) > 1:
            self._most = len(batch) // 2
            self._jobs.extendleft(reversed(batch))
            return
        scene, tile = batch[0]
        parts = halved(tile, self._shape, self._halo, self.forward.multiple)
        if len(parts) == 1:
            raise DeviceError(
                f"The memory of {self.forward.device} is too small even for a tile of {' × '.join(map(str, tile.outer_shape))} pixels.",
                hint="Close other programs that use it, choose --device cpu, or use a smaller network.",
            )
        self._limit_px = min(self._limit_px, math.prod(tile.outer_shape) // 2)
        self._jobs.extendleft((scene, part) for part in reversed(parts))

    def _split_first(self) -> None:
        scene, tile = self._jobs[0]
        while math.prod(tile.outer_shape) > self._limit_px:
            parts = halved(tile, self._shape, self._halo, self.forward.multiple)
            if len(parts) == 1 or math.prod(parts[0].outer_shape) >= math.prod(tile.outer_shape):
                return
            self._jobs.popleft()
            self._jobs.extendleft((scene, part) for part in reversed(parts))
            tile = self._jobs[0][1]

    def _alike(self, tile: Tile, other: Tile) -> bool:
        alike = tile.outer_shape == other.outer_shape and tile.core_shape == other.core_shape
        return alike and (not self._placed or tile.inner == other.inner)
