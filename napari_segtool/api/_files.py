"""Reading, writing and samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_segtool.core.labels import Labels
from napari_segtool.core.registry import SAMPLES
from napari_segtool.core.result import Prediction, Probabilities, Segmentation
from napari_segtool.core.stack import Stack


def read(path: str | Path, *, axes: str = "", spacing_um: Sequence[float] = ()) -> Stack:
    """Read an image file, or a folder of numbered images, as a stack.

    Parameters
    ----------
    path
        TIFF of any flavour, PNG, JPEG or BMP, or a folder of numbered images.
    axes
        One letter for each dimension, in place of what the file says ("ZYX"); empty keeps it.
    spacing_um
        Size of one sample along each spatial axis in µm, in place of what the file says; empty keeps it.

    Returns
    -------
    Stack
        Values exactly as stored. ``spacing_um`` is ``()`` where neither file nor caller says it.

    Raises
    ------
    FormatError
        If the file is missing, damaged, or of a format that cannot be read.
    AxesError, SpacingError
        If ``axes`` or ``spacing_um`` do not fit the pixels.
    """
    from napari_segtool.io._read import read_stack

    return read_stack(path, axes=axes, spacing_um=tuple(spacing_um))


def write(result: Segmentation | Prediction | Probabilities | Stack, path: str | Path) -> None:
    """Write a result as TIFF that Fiji, napari and tifffile open with its axes and spacing, recipe inside.

    Labels become uint8, uint16 or uint32, the smallest that fits. The file appears whole or not at all.

    Raises
    ------
    StorageError
        If the file cannot be written; an older file of that name is left as it was.
    """
    from napari_segtool.io._write import write_result

    write_result(result, path)


def sample(name: str, **params: Any) -> tuple[Stack, Labels]:
    """Make a bundled sample: a stack and its truth.

    Parameters
    ----------
    name
        "em" or "ultrasound"; see ``segtool list samples``.
    """
    entry = SAMPLES.get(name)
    made: tuple[Stack, Labels] = entry.function(entry.params.build(**params))
    return made
