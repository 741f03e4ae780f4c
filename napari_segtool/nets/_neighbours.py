"""2.5-D: a 2-D network that is shown the slices above and below as further channels. Used alike in training, prediction and explanation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segtool.core.errors import ModelError
from napari_segtool.core.stack import Stack


def neighbour_slices(index: int, neighbours: int, count: int) -> tuple[int, ...]:
    """Return the slices that are shown for slice ``index``, from ``neighbours`` before it to as many after it, mirrored at the ends of the stack.

    The network's channels are these slices of the image's first channel, then those of its second, and so on:
    channel ``c`` of slice ``k`` is input ``c * (2 * neighbours + 1) + k``.

    Parameters
    ----------
    index
        The slice whose classes are asked for.
    neighbours
        Slices on each side.
    count
        Slices of the stack.

    Examples
    --------
    >>> neighbour_slices(1, 2, 10)
    (1, 0, 1, 2, 3)
    >>> neighbour_slices(0, 1, 1)
    (0, 0, 0)
    """
    return tuple(mirrored(index + step, count) for step in range(-neighbours, neighbours + 1))


def mirrored(index: int, count: int) -> int:
    """Return the index that one outside ``0 … count - 1`` is mirrored to; the end itself is not repeated.

    Examples
    --------
    >>> [mirrored(i, 3) for i in range(-3, 6)]
    [1, 2, 1, 0, 1, 2, 1, 0, 1]
    """
    period = max(1, 2 * (count - 1))
    place = index % period
    return min(place, period - place) if count > 1 else 0


def neighbour_axis(stack: Stack) -> str:
    """Return the axis that neighbouring slices lie along: Z, else pages, else time; empty for a single picture."""
    letter = stack.axes[stack.slice_axis]
    return "" if letter == "Y" else letter


def neighbours_of(card: Mapping[str, Any]) -> int:
    """Return how many slices on each side a model is shown, or raise `ModelError` if its card does not say it in a usable way."""
    neighbours = card.get("neighbours", 0)
    if not isinstance(neighbours, int) or neighbours < 0 or (neighbours and card.get("spatial") == 3):
        raise ModelError(
            f"The model card says neighbours = {neighbours!r}, which cannot be.",
            hint="It is a number of slices from 0, and 0 for a model of volumes. Train it again, or copy the folder again.",
        )
    return neighbours


def network_channels(channels: int, neighbours: int) -> int:
    """Return how many channels a network takes whose images have ``channels`` and that is shown so many neighbours on each side."""
    return channels * (2 * neighbours + 1)
