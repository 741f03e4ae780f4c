"""Deletion and insertion: cover what a map calls important, or show it first, and watch the score."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.trust import Curve
from napari_segtool.explain._occlude import cover
from napari_segtool.explain._question import Part, Question
from napari_segtool.nets._forward import Forward

_BLOCKS = 576
"""About how many blocks are covered one after the other where their size is not given."""
_BLUR_SIDE_PX = 30.0


def area_under(scores: Sequence[float]) -> float:
    """Return the area under scores at evenly spaced fractions from 0 to 1, by the trapezoidal rule.

    Examples
    --------
    >>> area_under([1.0, 0.5, 0.0])
    0.5
    """
    return float((sum(scores) - (scores[0] + scores[-1]) / 2) / (len(scores) - 1))


def ordered_blocks(drawn: NDArray[np.floating], rows: slice, columns: slice, block_px: int, seed: int = -1) -> tuple[NDArray[np.int64], int]:
    """Rank the blocks of a part of a map from the highest mean to the lowest.

    Parameters
    ----------
    drawn
        The map, ``(Y, X)``.
    rows, columns
        The part that counts; blocks begin in its corner.
    block_px
        Side of a block; 0 chooses it.
    seed
        From 0 up: in a random order instead.

    Returns
    -------
    ranks, count
        Rank of the block of each pixel, ``(Y, X)``, a number beyond all ranks outside the part; and how many blocks there are.
    """
    part = drawn[rows, columns]
    side = block_px or max(1, round(math.sqrt(part.size / _BLOCKS)))
    height, width = -(-part.shape[0] // side), -(-part.shape[1] // side)
    number = (np.arange(part.shape[0]) // side)[:, None] * width + np.arange(part.shape[1]) // side
    count = height * width
    mean = np.bincount(number.ravel(), part.ravel().astype(np.float64), count) / np.bincount(number.ravel(), minlength=count)
    order = np.argsort(-mean, kind="stable") if seed < 0 else np.random.default_rng(seed).permutation(count)
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    ranks = np.full(drawn.shape, np.iinfo(np.int64).max)
    ranks[rows, columns] = rank[number]
    return ranks, count


def curves_steps(
    question: Question, ranks: NDArray[np.int64], count: int, *, steps: int, measure: str, label: str, forward: Forward | None = None
) -> Steps[tuple[Curve, Curve]]:
    """Return the deletion and the insertion curve of one order of blocks.

    Deletion covers them with the slice's mean, insertion shows them on the blurred slice. Of a volume only the plane is changed.

    Parameters
    ----------
    ranks, count
        From `ordered_blocks`.
    measure
        "probability": of the class, averaged over the pixels asked about; "logit": the same of what is asked about.

    forward
        The network in another number format; by default the question's own.

    References
    ----------
    Petsiuk et al. 2018, doi:10.48550/arXiv.1806.07421.
    """
    edges = [round(i * count / steps) for i in range(steps + 1)]
    covered = torch.from_numpy(np.searchsorted(np.asarray(edges), ranks, side="right"))  # covered from this step on, (Y, X)
    totals, pixels, shown = np.zeros((2, steps + 1)), 0.0, forward or question.model.forward
    for part in question.parts():
        mask = part.mask(shown.logits(part.pixels))
        yield Progress(0, 0, label)
        if not mask.any():
            continue
        pixels += float(mask.sum())
        since = covered[part.tile.outer[-2:]].to(part.pixels.device)
        fills = (cover(question, part, "mean", 0), cover(question, part, "blur", _BLUR_SIDE_PX))
        at_once = max(1, shown.largest_px() // math.prod(part.tile.outer_shape))
        for way, fill in enumerate(fills):
            for first in range(0, steps + 1, at_once):
                numbers = range(first, min(first + at_once, steps + 1))
                batch = torch.cat([_changed(question, part, fill, (since <= step) != (way == 1)) for step in numbers])
                totals[way, first : first + len(numbers)] += _sums(question, part, shown.logits(batch), measure)
                yield Progress(way * (steps + 1) + first + len(numbers), 2 * (steps + 1), label)
    fractions = tuple(edge / count for edge in edges)
    deletion, insertion = ([float(total / pixels) for total in row] if pixels else [math.nan] * (steps + 1) for row in totals)
    return Curve(fractions, tuple(deletion), area_under(deletion)), Curve(fractions, tuple(insertion), area_under(insertion))


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean of curves over the same fractions."""
    scores = [float(np.mean(column)) for column in zip(*(curve.scores for curve in curves), strict=True)]
    return Curve(curves[0].fractions, tuple(scores), area_under(scores))


def _changed(question: Question, part: Part, fill: Tensor, away: Tensor) -> Tensor:
    pixels = part.pixels
    if not question._depth:
        return torch.where(away, fill, pixels)
    changed, z = pixels.clone(), question._depth[0] - part.tile.outer[0].start
    if 0 <= z < pixels.shape[2]:
        changed[:, :, z] = torch.where(away, fill[:, :, z], pixels[:, :, z])
    return changed


def _sums(question: Question, part: Part, logits: Tensor, measure: str) -> NDArray[np.float64]:
    values = question.asked.values(logits) if measure == "logit" else question.model.chances(logits)[:, question.class_index]
    sums: NDArray[np.float64] = (values * part.mask(logits)).double().flatten(1).sum(1).cpu().numpy()
    return sums
