"""Draw paint as a person would, from a known truth: for demonstrations, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import PaintError


def simulated_strokes(
    truth: NDArray[np.integer],
    slices: Sequence[int],
    *,
    fraction: float = 0.01,
    width_px: int = 3,
    length_px: int = 40,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Paint short strokes that stay inside one class, about as many pixels for each class.

    A stroke starts at a random pixel of its class and wanders on in a nearly straight line for as long as the class
    goes on, which is how a person follows a membrane or crosses a cell.

    Parameters
    ----------
    truth
        Class of every pixel, ``(Z, Y, X)``; values in increasing order become paint 1…K.
    slices
        Slices to paint.
    fraction
        Largest part of the pixels of those slices to paint, over all classes.
    width_px, length_px
        Brush width and longest stroke, in pixels.
    seed
        Seed of the random numbers.

    Returns
    -------
    ndarray
        uint8 paint of the shape of ``truth``; 0 is not labelled.

    Raises
    ------
    PaintError
        If ``slices`` is empty or none of them is in the truth.
    """
    if truth.ndim != 3 or not len(slices) or not all(0 <= index < truth.shape[0] for index in slices):
        raise PaintError(f"Cannot paint slices {list(slices)} of labels of shape {truth.shape}.", hint="Give slices of a (Z, Y, X) stack.")
    rng = np.random.default_rng(seed)
    values = np.unique(truth)
    paint = np.zeros(truth.shape, np.uint8)
    height, width = truth.shape[1:]
    for index in slices:
        plane, painted = truth[index], paint[index]
        budget = int(fraction * plane.size / len(values))
        for number, value in enumerate(values, start=1):
            places = np.argwhere(plane == value)
            count = 0
            for _ in range(20 * max(1, budget // length_px)) if len(places) else ():
                dabs = _stroke(plane == value, places[rng.integers(len(places))], rng, length_px)
                for y, x in dabs:
                    box = (
                        slice(max(0, y - width_px // 2), min(height, y + (width_px + 1) // 2)),
                        slice(max(0, x - width_px // 2), min(width, x + (width_px + 1) // 2)),
                    )
                    fresh = (plane[box] == value) & (painted[box] == 0)
                    left = budget - count
                    if left <= 0:
                        break
                    flat = np.flatnonzero(fresh)[:left]
                    painted[box].flat[flat] = number
                    count += len(flat)
    return paint


def _stroke(inside: NDArray[np.bool_], start: NDArray[np.integer], rng: np.random.Generator, length_px: int) -> list[tuple[int, int]]:
    """Walk from ``start``, turning a little, toward where the class goes on longest."""
    position, dabs = start.astype(float), [(int(start[0]), int(start[1]))]
    angle = max(rng.uniform(0, 2 * np.pi, 8), key=lambda way: _reach(inside, position, way))
    for _ in range(length_px):
        turns = angle + rng.normal(0, 0.15) + np.array([0.0, 0.4, -0.4, 0.8, -0.8])
        for turn in turns:
            ahead = position + np.array([np.sin(turn), np.cos(turn)])
            y, x = round(float(ahead[0])), round(float(ahead[1]))
            if 0 <= y < inside.shape[0] and 0 <= x < inside.shape[1] and inside[y, x]:
                position, angle = ahead, turn
                dabs.append((y, x))
                break
        else:
            return dabs
    return dabs


def _reach(inside: NDArray[np.bool_], position: NDArray[np.floating], angle: float, limit: int = 30) -> int:
    """How many pixels a straight line from ``position`` stays inside."""
    for steps in range(1, limit):
        y, x = round(float(position[0] + steps * np.sin(angle))), round(float(position[1] + steps * np.cos(angle)))
        if not (0 <= y < inside.shape[0] and 0 <= x < inside.shape[1] and inside[y, x]):
            return steps - 1
    return limit
