"""The weight map of touching objects, made once for each field when a training begins."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import StorageError
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.data._weights import border_steps
from napari_segtool.training.runs._pairs import IGNORED

IN_MEMORY_PX = 1 << 26
"""Up to so many pixels (256 MB) the maps stay in memory; those of larger data lie in the run folder."""


def weigh_fields(
    fields: Sequence[Field], folder: Path, *, w0: float, sigma_px: float, class_weights: Sequence[float], flat: bool, in_memory_px: int = IN_MEMORY_PX
) -> Generator[float, None, tuple[Field, ...]]:
    """Give every field that is learned from its weight map; yields the finished part, 0 to 1, and returns the fields.

    Weights that a field has already, by provenance or confidence, are multiplied in.

    Parameters
    ----------
    fields
        From `split_fields`.
    folder
        Where maps that do not fit into memory are written, as ``border.f32``.
    w0, sigma_px, class_weights
        See `training.data._weights.border_weights`.
    flat
        Whether fields are planes; else distances count the spacing.
    in_memory_px
        Most pixels to keep in memory.

    Raises
    ------
    StorageError
        If the disk is full.
    """
    learned = [number for number, field in enumerate(fields) if field.learn.size and (field.learn != IGNORED).any()]
    total = sum(fields[number].learn.size for number in learned)
    store = _Store(folder / "border.f32") if total > in_memory_px else None
    weighed, done = list(fields), 0
    try:
        for number in learned:
            field = fields[number]
            sampling = tuple(step / min(field.spacing_um) for step in field.spacing_um) if field.spacing_um and not flat else None
            learn = np.asarray(field.learn)
            work = border_steps(learn[0] if flat else learn, w0=w0, sigma_px=sigma_px, class_weights=class_weights, sampling=sampling)
            try:
                while True:
                    yield (done + next(work) * learn.size) / total
            except StopIteration as stop:
                made = np.asarray(stop.value, np.float32).reshape(learn.shape)
            if field.weights is not None:
                made *= field.weights
            weighed[number] = replace(field, weights=made if store is None else store.keep(made))
            done += learn.size
    finally:
        if store is not None:
            store.close()
    return tuple(weighed)


class _Store:
    """Arrays behind each other in one file, given back as memory maps."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.parent.mkdir(exist_ok=True)
        self._file = path.open("wb")

    def keep(self, array: NDArray[np.float32]) -> NDArray[Any]:
        """Write an array; a full disk is told here, and not later by a crash of whoever reads the map."""
        place = self._file.tell()
        try:
            self._file.write(np.ascontiguousarray(array).data)
            self._file.flush()
        except OSError as error:
            raise StorageError(
                f"The weight map cannot be written to {self._path.parent}: {error.strerror or error}.",
                hint="Free some space there, or train without it: --set border_weight=0.",
            ) from None
        return np.memmap(self._path, np.float32, "r", place, array.shape)

    def close(self) -> None:
        """Close the file; the maps stay."""
        self._file.close()
