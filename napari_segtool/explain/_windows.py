"""Windows that are moved over a plane: where they lie, which of them can be covered at once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Windows:
    """Windows laid over a plane in rows and columns, as captum lays them: from the corner, the last ones cut at the border.

    Parameters
    ----------
    patch_px, stride_px
        Size of a window and distance between two, along Y and X.
    depth_px
        Slices that a window spans, in steps of as many; 0 in a picture.
    """

    patch_px: tuple[int, int]
    stride_px: tuple[int, int]
    depth_px: int = 0

    def starts(self, shape: Sequence[int]) -> tuple[range, ...]:
        """Where windows begin along each axis of ``(Y, X)``.

        Examples
        --------
        >>> Windows((4, 4), (3, 3)).starts((10, 4))
        (range(0, 9, 3), range(0, 3, 3))
        """
        counts = [-(-max(0, n - patch) // stride) + 1 for n, patch, stride in zip(shape, self.patch_px, self.stride_px, strict=True)]
        return tuple(range(0, count * stride, stride) for count, stride in zip(counts, self.stride_px, strict=True))

    def depth(self, z: int) -> slice:
        """The slices of the window that holds slice ``z``."""
        first = z // max(1, self.depth_px) * self.depth_px
        return slice(first, first + max(1, self.depth_px))

    def mean_over(self, effects: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float32]:
        """Return, for each pixel, the mean effect of the windows that cover it: ``(Y, X)``."""
        total, count = np.zeros(tuple(shape)), np.zeros(tuple(shape))
        for place, (y, x) in zip(np.ndindex(effects.shape), itertools.product(*self.starts(shape)), strict=True):
            box = np.s_[y : y + self.patch_px[0], x : x + self.patch_px[1]]
            total[box] += effects[place]
            count[box] += 1
        return (total / np.maximum(count, 1)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Covered:
    """One window.

    Parameters
    ----------
    place
        Its row and column among the windows.
    pixels
        Its pixels, along Y and X of the plane.
    seen
        The pixels whose logits can see it.
    """

    place: tuple[int, int]
    pixels: tuple[slice, slice]
    seen: tuple[slice, slice]


def window_groups(windows: Windows, shape: Sequence[int], target: Sequence[slice], reach: Sequence[int], multiple: Sequence[int]) -> list[list[Covered]]:
    """Return the windows that the logits of a box can see, in groups of which no logit sees two.

    Parameters
    ----------
    shape
        Of the plane, ``(Y, X)``.
    target
        The box, along Y and X.
    reach
        How far a logit sees beyond the aligned block it lies in, along Y and X.
    multiple
        Side of those blocks.

    Examples
    --------
    >>> groups = window_groups(Windows((4, 4), (4, 4)), (4, 40), (slice(0, 4), slice(0, 40)), (2, 2), (1, 1))
    >>> [[window.place[1] for window in group] for group in groups]
    [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]
    """
    axes: list[list[list[tuple[int, slice, slice]]]] = []
    for along, patch, stride, asked, far, n, block in zip(
        windows.starts(shape), windows.patch_px, windows.stride_px, target, reach, shape, multiple, strict=True
    ):
        seen = []
        for i, start in enumerate(along):
            stop = min(start + patch, n)
            low, high = (start - far) // block * block, -(-(stop + far) // block) * block
            if low < asked.stop and high > asked.start:
                seen.append((i, slice(start, stop), slice(max(0, low), min(n, high))))
        apart = -(-(patch + 2 * far + 2 * (block - 1)) // stride)
        axes.append([seen[first::apart] for first in range(min(apart, len(seen)))])
    return [
        [Covered((i, j), (ys, xs), (see_y, see_x)) for (i, ys, see_y), (j, xs, see_x) in itertools.product(rows, columns)]
        for rows, columns in itertools.product(*axes)
    ]


def in_crop(rows: slice, columns: slice, offset: Sequence[int], shape: Sequence[int], depth: slice | None) -> tuple[slice, ...]:
    """A box of the plane as an index of a crop of it, with the channels (and depths) before it."""
    cut = [slice(min(max(axis.start - start, 0), n), min(max(axis.stop - start, 0), n)) for axis, start, n in zip((rows, columns), offset, shape, strict=True)]
    return (slice(None), *((depth,) if depth is not None else ()), *cut)
