"""Which pixels a layer reads, along one axis: the arithmetic behind a stated receptive field."""

from __future__ import annotations

import math

Span = tuple[int, int]
"""First and last pixel along one axis, both included."""


def grown(span: Span, by: int) -> Span:
    """What convolutions read that are padded by ``by`` pixels altogether (1 for each that is 3 wide)."""
    return span[0] - by, span[1] + by


def finer(span: Span, factor: int) -> Span:
    """What a pooling by ``factor``, or a convolution as wide as its stride, reads for these pixels of its result.

    Examples
    --------
    >>> finer((1, 2), 4)
    (4, 11)
    """
    return span[0] * factor, span[1] * factor + factor - 1


def coarser(span: Span, factor: int) -> Span:
    """What an up-convolution as wide as its stride reads for these pixels of its result.

    Examples
    --------
    >>> coarser((3, 8), 4)
    (0, 2)
    """
    return span[0] // factor, span[1] // factor


def between(span: Span, factor: int) -> Span:
    """What linear interpolation to ``factor`` times the size reads for these pixels of its result.

    Examples
    --------
    >>> between((5, 5), 2)
    (2, 3)
    """
    if factor == 1:
        return span
    return math.floor((span[0] + 0.5) / factor - 0.5), math.ceil((span[1] + 0.5) / factor - 0.5)


def joined(one: Span, other: Span) -> Span:
    """The span that holds both."""
    return min(one[0], other[0]), max(one[1], other[1])
