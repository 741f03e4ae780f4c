"""Weights that users give to pixels, by where a label comes from or how sure they are of it: checked, and stored beside the labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError, ShapeError
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.result import data_sha
from napari_segtool.core.stack import Stack
from napari_segtool.training.runs._pairs import Pair, Stored, lay_over, write_header


def weigh_pairs(pairs: Sequence[tuple[Any, ...]], checked: Sequence[Pair]) -> list[Pair]:
    """Add to each checked pair the weights that came as the third of ``(stack, labels, weights)``; None, or no third, gives every pixel the weight 1.

    Parameters
    ----------
    pairs
        As they were given.
    checked
        The same, from `check_pair`.

    Raises
    ------
    ShapeError
        If weights do not have the shape of their labels.
    DataError
        If a weight is negative, infinite or no number.
    """
    weighed = []
    for given, pair in zip(pairs, checked, strict=True):
        if len(given) > 3:
            raise DataError(f"{pair.name} came with {len(given)} parts.", hint="Give (image, labels) or (image, labels, weights).")
        if len(given) < 3 or given[2] is None:
            weighed.append(pair)
            continue
        weights = _laid_over(given[2], given[1], pair)
        for plane in _planes(weights, pair):
            _check(plane, pair.name)
        weighed.append(replace(pair, weights=weights))
    return weighed


def store_weights(pair: Pair, record: Stored, folder: Path, number: int) -> Stored:
    """Write the weights of a pair to ``N-weights.npy``, ``(P, Y, X)`` float32, and return its record with their name; unchanged where there are none.

    Raises
    ------
    OSError
        If the disk is full or not writable.
    """
    if pair.weights is None:
        return record
    name = f"{number}-weights.npy"
    height, width = (int(n) for n in pair.weights.shape[-2:])
    count = int(np.prod(pair.counts, dtype=np.int64)) if pair.counts else 1
    with (folder / name).open("wb") as file:
        write_header(file, (count, height, width), np.dtype(np.float32))
        for plane in _planes(pair.weights, pair):
            file.write(np.ascontiguousarray(plane, np.float32).data)
        file.flush()
        os.fsync(file.fileno())
    return replace(record, weights=name, weights_sha=data_sha(pair.weights))


def _laid_over(weights: Any, labels: Any, pair: Pair) -> Any:
    """Return the weights as an array whose axes are those of the pair's labels."""
    stack = pair.stack
    data = weights.data if isinstance(weights, Stack | Labels | Paint) else weights
    data = data if hasattr(data, "transpose") else np.asarray(data)
    if np.dtype(data.dtype).kind not in "buif":
        raise DataError(f"The weights of {pair.name} are of type {data.dtype}, but weights are real numbers.", hint=_HINT)
    shape = tuple(int(n) for n in data.shape)
    named = weights.axes.upper() if isinstance(weights, Stack | Labels | Paint) else labels.axes.upper() if isinstance(labels, Labels | Paint) else ""
    for axes in (named, stack.label_axes):
        laid = lay_over(data, axes, stack)
        if laid is not None:
            return laid.transpose([stack.label_axes.index(letter) for letter in pair.order + "YX"])
    raise ShapeError(
        f"The weights of {pair.name} have the shape {shape}, but the image has {stack.label_shape} ({stack.label_axes}).",
        hint="Weights need one value for each pixel of the labels, without channels.",
    )


_HINT = "Give a number for each pixel: 1 is usual, 2 counts twice, 0 leaves the pixel out."


def _planes(weights: Any, pair: Pair) -> Iterator[NDArray[np.float32]]:
    with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite, and is refused as that
        for index in np.ndindex(*pair.counts):
            yield np.asarray(weights[index]).astype(np.float32)


def _check(plane: NDArray[np.float32], name: str) -> None:
    low = float(plane.min())
    if np.isnan(low):
        raise DataError(f"The weights of {name} hold NaN.", hint=_HINT)
    if low < 0:
        raise DataError(f"The weights of {name} hold {low:g}, but weights cannot be negative.", hint=_HINT)
    if np.isinf(plane.max()):
        raise DataError(f"The weights of {name} hold a value that is not finite.", hint=_HINT)
