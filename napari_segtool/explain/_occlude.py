"""Cover windows of a plane and measure what that does to the asked-for logits, with as few pixels through the network as can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_segtool.core.progress import Progress, Steps
from napari_segtool.explain._question import Part, Question
from napari_segtool.explain._windows import Covered, Windows, in_crop, window_groups
from napari_segtool.nets._forward import Forward
from napari_segtool.nets._tiling import Box, tile_around

Fill = Literal["mean", "zero", "blur"]
_MIXING = (nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd)
_DIM = 3.0
"""A window's side is so many times the width of the blur that covers it."""
_FEW = 4
"""Up to so many passes of half a second it is not worth the while to look for a shorter way."""
_NEAR, _SAMPLE, _MOST = 9, 40, 24
"""How many of the nearest groups of windows are tried by all ways; of the others one of so many, at most so many."""
_CLOSE = 0.03
"""Root mean square difference, relative to the effects themselves, up to which a shorter way is taken: a correlation of 0.9995."""
_PARTS = (0.5, 0.75, 1.0)
"""Parts of the network's reach that are tried: its attention falls off from the centre. A quarter less takes more off than bfloat16 does."""


@dataclass(frozen=True)
class _Way:
    """How to measure: by which network, and how far a window's effect is followed."""

    forward: Forward
    reach: tuple[int, ...]


def occlude_steps(question: Question, windows: Windows, fill: Fill, *, exact: bool = False) -> Steps[NDArray[np.float32]]:
    """Return the mean fall of the asked-for logits under the windows over each pixel, ``(Y, X)``.

    Parameters
    ----------
    exact
        Measure in float32 and as far as the network reaches. Else in the number format that pays here, and less far, where that
        gives the same on a sample of the windows.
    """
    mixing = any(isinstance(module, _MIXING) for module in question.network.modules())
    halo, full = question.model.halo, question.model.forward.in_float32()
    ways = [_Way(full, (max(question.shape),) * len(halo) if mixing else halo)]
    if not exact and not mixing:
        quick = question.model.forward
        formats = [quick, full] if quick is not full else [full]
        ways = [_Way(forward, tuple(math.ceil(part * n) for n in halo)) for part in _PARTS for forward in formats]
    starts = windows.starts(question.shape)
    while True:
        effects = np.zeros([len(along) for along in starts])
        for part in question.parts(whole=mixing):
            yield Progress(0, 0, "looking")
            logits = question.model.forward.logits(part.pixels).clone()
            if part.mask(logits).any():
                work = _PartWork(question, part, logits, windows, cover(question, part, fill, max(windows.patch_px)))
                yield from work.effects_steps(ways, effects)
        if not question.ask_everywhere():
            return windows.mean_over(effects, question.shape)


class _PartWork:
    """The windows that the logits asked about in one part can see."""

    def __init__(self, question: Question, part: Part, logits: Tensor, windows: Windows, covered: Tensor) -> None:
        self._question, self._windows = question, windows
        self._pixels, self._covered, self._outer = part.pixels, covered, part.tile.outer
        self._weights = _weights(part, logits)  # (K, [z,] y, x)
        self._box = _filled_box(self._weights)
        self._depth = windows.depth(question._depth[0]) if question._depth else None

    def effects_steps(self, ways: Sequence[_Way], effects: NDArray[np.float64]) -> Steps[None]:
        """Add to ``effects`` what each window does, by the shortest way that is good enough."""
        memo = self._question.memo
        if "way" not in memo:
            memo["way"] = yield from self._choose_steps(ways, effects.shape)
        way = ways[memo["way"]]
        yield from self._run_steps(way, self._groups(way), effects, "window")

    def _choose_steps(self, ways: Sequence[_Way], shape: tuple[int, ...]) -> Steps[int]:
        last = ways[-1]
        groups = self._groups(last)
        if len(ways) == 1 or len(groups) * self._crop_px(last) <= _FEW * last.forward.largest_px():
            return len(ways) - 1
        middle = [(axis.start + axis.stop) / 2 + outer.start for axis, outer in zip(self._box[-2:], self._outer[-2:], strict=True)]
        groups.sort(key=lambda group: min(_distance(window, middle) for window in group))
        near, far = groups[:_NEAR], groups[_NEAR :: max(_SAMPLE, -(-len(groups) // _MOST))]
        counts = np.zeros(shape)  # the nearest have the largest effects and stand for themselves, the others for all others too
        for group in near + far:
            for window in group:
                counts[window.place] = 1 if group in near else (len(groups) - _NEAR) / len(far)
        truth = np.zeros(shape)
        yield from self._run_steps(last, near + far, truth, "trying")
        for number, way in enumerate(ways[:-1]):
            tried = np.zeros(shape)
            same = [[window for window in group if counts[window.place]] for group in self._groups(way)]
            yield from self._run_steps(way, [group for group in same if group], tried, "trying")
            if (counts * (tried - truth) ** 2).sum() <= _CLOSE**2 * (counts * truth**2).sum():
                return number
        return len(ways) - 1

    def _groups(self, way: _Way) -> list[list[Covered]]:
        target = [slice(outer.start + axis.start, outer.start + axis.stop) for outer, axis in zip(self._outer[-2:], self._box[-2:], strict=True)]
        return window_groups(self._windows, self._question.shape, target, way.reach[-2:], way.forward.multiple[-2:])

    def _crop(self, way: _Way) -> Box:
        return tile_around(self._box, self._pixels.shape[2:], way.reach, way.forward.multiple).outer

    def _crop_px(self, way: _Way) -> int:
        return math.prod(axis.stop - axis.start for axis in self._crop(way))

    def _run_steps(self, way: _Way, groups: Sequence[list[Covered]], effects: NDArray[np.float64], label: str) -> Steps[None]:
        crop = self._crop(way)
        shown = (slice(None), slice(None), *crop)
        pixels, filled, weights = self._pixels[shown], self._covered[shown], self._weights[shown[1:]]
        offset = [outer.start + inner.start for outer, inner in zip(self._outer, crop, strict=True)]
        depth = self._depth
        if depth is not None:
            depth = slice(max(depth.start - offset[0], 0), min(depth.stop - offset[0], pixels.shape[2]))
            if depth.start >= depth.stop:
                return
        base = way.forward.logits(pixels)
        at_once = max(1, way.forward.largest_px() // (2 * math.prod(pixels.shape[2:])))  # a quarter of a second: windows can be left between two
        for done in range(0, len(groups), at_once):
            together = groups[done : done + at_once]
            batch = pixels.repeat(len(together), *[1] * (pixels.ndim - 1))
            for picture, group in zip(batch, together, strict=True):
                for window in group:
                    there = in_crop(*window.pixels, offset[-2:], pixels.shape[-2:], depth)
                    picture[there] = filled[0][there]
            falls = ((base - way.forward.logits(batch)) * weights).sum(1)  # (n, [z,] y, x)
            falls = falls.sum(1) if depth is not None else falls
            windows = [(window, fall) for fall, group in zip(falls, together, strict=True) for window in group]
            sums = torch.stack([fall[in_crop(*window.seen, offset[-2:], fall.shape, None)[1:]].sum() for window, fall in windows])
            for (window, _), value in zip(windows, sums.tolist(), strict=True):
                effects[window.place] += value
            yield Progress(done + len(together), len(groups), label)


def _distance(window: Covered, middle: Sequence[float]) -> float:
    return math.dist([(axis.start + axis.stop) / 2 for axis in window.pixels], middle)


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
