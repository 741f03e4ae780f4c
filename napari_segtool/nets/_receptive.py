"""How many pixels of the input one logit looks at: by arithmetic, and measured. Imports torch."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from napari_segtool.nets._drawing import ReceptiveField
from napari_segtool.nets._reach import ACROSS, FEWEST_BLOCKS, input_channels, network_multiple, plain_copy, spatial_dimensions, touched
from napari_segtool.nets._work import counted

_MOST_PRODUCTS = 1 << 28
"""Multiplications that a measurement may take: above, it would take seconds."""


def receptive_field(network: nn.Module) -> ReceptiveField:
    """State the receptive field of a network and measure it.

    The statement comes from the network's method ``reads(axis, span)``; where it has none the field is measured only, at
    both ends and in the middle of a stride. Where that would take long the measured field is 0. Normalisation over the picture does not count.

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
        affordable = _products(plain, axis, multiple) <= _MOST_PRODUCTS
        measured.append(max(_size(touched(plain, multiple, axis, (place, place))) for place in asked) if affordable else 0)
    return ReceptiveField(tuple(stated), tuple(measured))


def _products(plain: nn.Module, axis: int, multiple: Sequence[int]) -> int:
    """Of one pass over the shortest strip that `touched` looks at."""
    sides = [(FEWEST_BLOCKS if each == axis else ACROSS) * n for each, n in enumerate(multiple)]
    weightless = copy.deepcopy(plain).to("meta")
    with counted(weightless) as work, torch.no_grad():
        weightless(torch.zeros(1, input_channels(plain), *sides, dtype=torch.float64, device="meta"))
    return work.products


def _size(span: tuple[int, int]) -> int:
    return span[1] - span[0] + 1
