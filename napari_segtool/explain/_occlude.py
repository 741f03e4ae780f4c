"""Cover windows of a plane and measure what that does to the asked-for logits, with as few pixels through the network as can be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_segtool.core.progress import Progress, Steps
from napari_segtool.explain._question import Part, Question
from napari_segtool.nets._tiling import Box, tile_around

Fill = Literal["mean", "zero", "blur"]
_MIXING = (nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd)
_DIM = 3.0
"""A window's side is so many times the width of the blur that covers it."""


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


def occlude_steps(question: Question, windows: Windows, fill: Fill, *, exact: bool = False) -> Steps[NDArray[np.float32]]:
    """Return the mean fall of the asked-for logits under the windows over each pixel, ``(Y, X)``.

    Parameters
    ----------
    exact
        For questions about many pixels: count effects as far as the network reaches instead of half as far.
    """
    mixing = any(isinstance(module, _MIXING) for module in question.network.modules())
    starts = windows.starts(question.shape)
    while True:
        effects = np.zeros([len(along) for along in starts])
        for part in question.parts(whole=mixing):
            yield Progress(0, 0, "looking")
            logits = question.model.forward.logits(part.pixels).clone()
            if part.mask(logits).any():
                yield from _part_steps(
                    question, part, logits, windows, cover(question, part, fill, max(windows.patch_px)), effects, _reach(question, mixing, exact)
                )
        if not question.ask_everywhere():
            return windows.mean_over(effects, question.shape)


def _part_steps(
    question: Question, part: Part, logits: Tensor, windows: Windows, covered: Tensor, effects: NDArray[np.float64], reach: tuple[int, ...]
) -> Steps[None]:
    """Add to ``effects`` what each window does to the logits asked about in one part."""
    forward, tile = question.model.forward, part.tile
    weights = _weights(part, logits)  # (K, [z,] y, x)
    box = _filled_box(weights)
    shape = tile.outer_shape
    wide = reach[-1] >= max(question.shape)  # all pixels reach all others
    crop: Box = tuple(slice(0, n) for n in shape) if wide else tile_around(box, shape, question.model.halo, forward.multiple).outer
    shown_at = (slice(None), slice(None), *crop)
    pixels, filled, base, counts = part.pixels[shown_at], covered[shown_at], logits[shown_at], weights[shown_at[1:]]
    if crop != tuple(slice(0, n) for n in shape):
        base = forward.logits(pixels)  # cut anew, so that a window without any effect has exactly none
    offset = [outer.start + inner.start for outer, inner in zip(tile.outer, crop, strict=True)]
    depth = windows.depth(question._depth[0]) if question._depth else None
    if depth is not None:
        first, last = max(depth.start - offset[0], 0), min(depth.stop - offset[0], pixels.shape[2])
        if first >= last:
            return
        depth = slice(first, last)
    target = [slice(outer.start + along.start, outer.start + along.stop) for outer, along in zip(tile.outer[-2:], box[-2:], strict=True)]
    groups = list(_groups(windows, question, target, reach[-2:]))
    at_once = max(1, forward.largest_px() // math.prod(pixels.shape[2:]))
    for done in range(0, len(groups), at_once):
        together = groups[done : done + at_once]
        batch = pixels.repeat(len(together), *[1] * (pixels.ndim - 1))
        for picture, group in zip(batch, together, strict=True):
            for _place, (rows, columns), _seen in group:
                there = _inside(rows, columns, offset[-2:], pixels.shape[-2:], depth)
                picture[there] = filled[0][there]
        falls = ((base - forward.logits(batch)) * counts).sum(1)  # (n, [z,] y, x)
        falls = falls.sum(1) if depth is not None else falls
        sums = [falls[i][_inside(*seen, offset[-2:], falls.shape[-2:], None)[1:]].sum() for i, group in enumerate(together) for _place, _window, seen in group]
        places = [place for group in together for place, _window, _seen in group]
        for place, value in zip(places, torch.stack(sums).tolist(), strict=True):
            effects[place] += value
        yield Progress(done + len(together), len(groups), "window")


Covered = tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]
"""Place of a window in the grid, its pixels, and the pixels whose logits can see it."""


def _groups(windows: Windows, question: Question, target: Sequence[slice], reach: Sequence[int]) -> Iterator[list[Covered]]:
    """Yield the windows that the target can see, in groups that no logit sees two of."""
    axes: list[list[list[tuple[int, slice, slice]]]] = []
    for along, patch, stride, asked, far, n, multiple in zip(
        windows.starts(question.shape),
        windows.patch_px,
        windows.stride_px,
        target,
        reach,
        question.shape,
        question.model.forward.multiple[-2:],
        strict=True,
    ):
        seen = []
        for i, start in enumerate(along):
            stop = min(start + patch, n)
            low, high = (start - far) // multiple * multiple, -(-(stop + far) // multiple) * multiple
            if low < asked.stop and high > asked.start:
                seen.append((i, slice(start, stop), slice(max(0, low), min(n, high))))
        apart = max(1, -(-(patch + 2 * far + 2 * multiple) // stride))
        axes.append([seen[first::apart] for first in range(min(apart, len(seen)))])
    for rows, columns in itertools.product(*axes):
        yield [((i, j), (ys, xs), (see_y, see_x)) for (i, ys, see_y), (j, xs, see_x) in itertools.product(rows, columns)]


def _reach(question: Question, mixing: bool, exact: bool) -> tuple[int, ...]:
    if mixing:
        return (max(question.shape),) * len(question.model.halo)
    few = question.asked.box is not None and math.prod(axis.stop - axis.start for axis in question.asked.box) <= 1
    return question.model.halo if exact or few else tuple(-(-n // 2) for n in question.model.halo)


def _weights(part: Part, logits: Tensor) -> Tensor:
    """What each logit of a part counts in the score, ``(K, [z,] y, x)``: whatever is asked, it is a sum of logits."""
    part.mask(logits)
    with torch.enable_grad():
        given = logits.detach().requires_grad_()
        (weights,) = torch.autograd.grad(part.score(given).sum(), given)
    return weights[0]


def _filled_box(weights: Tensor) -> Box:
    asked = weights.abs().sum(0) > 0
    box = []
    for axis in range(asked.ndim):
        along = torch.nonzero(asked.any(dim=tuple(i for i in range(asked.ndim) if i != axis)) if asked.ndim > 1 else asked).flatten()
        box.append(slice(int(along[0]), int(along[-1]) + 1))
    return tuple(box)


def _inside(rows: slice, columns: slice, offset: Sequence[int], shape: Sequence[int], depth: slice | None) -> tuple[slice, ...]:
    """A box of the plane as an index of a crop of it, with the channels (and depths) before it."""
    cut = [slice(min(max(axis.start - start, 0), n), min(max(axis.stop - start, 0), n)) for axis, start, n in zip((rows, columns), offset, shape, strict=True)]
    return (slice(None), *((depth,) if depth is not None else ()), *cut)


def cover(question: Question, part: Part, fill: Fill, side_px: float) -> Tensor:
    """Return a part's pixels as they look all covered: ``(1, C, [Z,] Y, X)``.

    Parameters
    ----------
    side_px
        Side of what is covered; a blur is a third as wide.
    """
    pixels = part.pixels
    if fill != "blur":
        level = torch.from_numpy(_level(question, fill)).to(pixels)
        return level.reshape(1, -1, *[1] * (pixels.ndim - 2)).expand_as(pixels)
    sigma_px = side_px / _DIM
    radius, outer = math.ceil(3 * sigma_px), part.tile.outer
    around = [slice(max(0, axis.start - radius), min(n, axis.stop + radius)) for axis, n in zip(outer[-2:], question.shape, strict=True)]
    cut = [slice(axis.start - wide.start, axis.stop - wide.start) for axis, wide in zip(outer[-2:], around, strict=True)]
    return _blurred(question.pixels((*outer[:-2], *around)), sigma_px, radius)[:, :, ..., cut[0], cut[1]]


def _level(question: Question, fill: Fill) -> NDArray[np.float32]:
    """Grey value of the cover for each channel, as the network sees it."""
    channels = question.model.forward.channels
    if fill != "mean":
        return np.zeros(channels, np.float32)
    if "cover" not in question.memo:
        question.memo["cover"] = question.plane_pixels().reshape(channels, -1).mean(1, dtype=np.float64).astype(np.float32)
    level: NDArray[np.float32] = question.memo["cover"]
    return level


def _blurred(pixels: Tensor, sigma_px: float, radius: int) -> Tensor:
    """Blur along Y and X; the border counts as if it went on."""
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=pixels.device) / sigma_px) ** 2)
    line = (line / line.sum()).to(pixels)
    planes = pixels.reshape(-1, 1, *pixels.shape[-2:])
    planes = F.conv2d(F.pad(planes, (0, 0, radius, radius), mode="replicate"), line.reshape(1, 1, -1, 1))
    planes = F.conv2d(F.pad(planes, (radius, radius, 0, 0), mode="replicate"), line.reshape(1, 1, 1, -1))
    return planes.reshape(pixels.shape)
