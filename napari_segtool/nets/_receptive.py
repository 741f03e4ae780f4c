"""How many pixels of the input one logit looks at: by arithmetic, and measured. Imports torch."""

from __future__ import annotations

import math

from torch import nn

from napari_segtool.nets._drawing import ReceptiveField
from napari_segtool.nets._reach import network_multiple, plain_copy, spatial_dimensions, touched

_MOST_PX = 1 << 20
"""Largest picture that a measurement may take, in pixels: above, it would take seconds."""


def receptive_field(network: nn.Module) -> ReceptiveField:
    """State the receptive field of a network and measure it.

    The statement comes from the network's method ``reads(axis, span)``; where it has none the field is measured only, at
    both ends and in the middle of a stride. Normalisation over the picture does not count.

    Parameters
    ----------
    network
        Maps ``(N, C, [Z,] Y, X)`` to logits of the same size. Its width does not matter: a thin one answers sooner.

    Examples
    --------
    >>> receptive_field(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 5, padding=2))).measured_px
    (7, 7)
    """
    plain, multiple = plain_copy(network), network_multiple(network)
    reads = getattr(network, "reads", None)
    stated, measured = [], []
    for axis in range(spatial_dimensions(network)):
        step = multiple[axis]
        if reads is None:
            asked = sorted({0, step // 2, step - 1})
        else:
            sizes = [_size(reads(axis, (place, place))) for place in range(step)]
            stated.append(max(sizes))
            asked = [sizes.index(max(sizes))]
        affordable = 16 * step * math.prod(2 * n for i, n in enumerate(multiple) if i != axis) <= _MOST_PX
        measured.append(max(_size(touched(plain, axis, multiple, (place, place))) for place in asked) if affordable else 0)
    return ReceptiveField(tuple(stated), tuple(measured))


def _size(span: tuple[int, int]) -> int:
    return span[1] - span[0] + 1
