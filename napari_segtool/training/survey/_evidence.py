"""Images and labels as far as looking at them needs: read plane by plane, from a run's folder or before there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.spread import spread_evenly
from napari_segtool.core.stack import Stack
from napari_segtool.nets._normalise import fill_gaps
from napari_segtool.training.runs._pairs import LabelsAre, Pair, check_pair, class_indices, count_learnable, count_values, find_classes, named, same_channels
from napari_segtool.training.runs._run import Run

Plane = NDArray[np.generic]
Marks = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Subject:
    """One image with its labels.

    Parameters
    ----------
    axes, shape, spacing_um
        Of the stack.
    order, counts
        Letters of the axes that planes are counted along, the slice axis last, and the number of planes along each.
    read
        Gives plane ``n`` in the order of ``order``, ``(C, Y, X)``, and its class indices ``(Y, X)`` uint8, 255 for unlabelled. Where the image has NaN,
        so has the plane; `filled` has none.
    """

    axes: str
    shape: tuple[int, ...]
    spacing_um: tuple[float, ...]
    order: str
    counts: tuple[int, ...]
    dtype: str
    read: Callable[[int], tuple[Plane, Marks]]

    @property
    def planes(self) -> int:
        """Number of planes."""
        return int(np.prod(self.counts, dtype=np.int64)) if self.counts else 1

    @property
    def sections(self) -> int:
        """Planes of each volume along Z; 1 where there is no Z."""
        return self.counts[-1] if self.order.endswith("Z") else 1

    @property
    def plane_px(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[self.axes.index("Y")], self.shape[self.axes.index("X")]

    def filled(self, plane: int) -> tuple[Plane, Marks]:
        """Return what ``read`` gives with NaN and infinite pixels filled, as a network is shown them."""
        image, marks = self.read(plane)
        return fill_gaps(image), marks


@dataclass(frozen=True, eq=False)
class Evidence:
    """All images with their labels.

    Parameters
    ----------
    subjects
        One for each pair.
    painted
        Whether the labels are paint.
    pixels
        Labelled pixels of each class.
    channels
        Of every image.
    values
        Label value of each class, as it was given.
    """

    subjects: tuple[Subject, ...]
    painted: bool
    pixels: tuple[int, ...]
    channels: int
    values: tuple[int, ...]

    def planes(self, most: int) -> Iterator[tuple[Plane, Marks]]:
        """Yield at most so many planes, spread evenly over all images."""
        places = [(subject, plane) for subject in self.subjects for plane in range(subject.planes)]
        for subject, plane in spread_evenly(places, most):
            yield subject.filled(plane)


def evidence_of_run(run: Run) -> Evidence:
    """Look at a run's data, memory-mapped."""
    subjects = []
    for record in run.stored:
        image = np.load(run.folder / "data" / record.image, mmap_mode="r")
        marks = np.load(run.folder / "data" / record.labels, mmap_mode="r")
        subjects.append(Subject(record.axes, record.shape, record.spacing_um, record.order, record.counts, image.dtype.str, _reader(image, marks)))
    pixels = tuple(int(entry["pixels"]) for entry in run.classes)
    return Evidence(tuple(subjects), run.config["labels_are"] == "paint", pixels, run.channels, tuple(run.config["label_values"]))


def evidence_of_pairs(pairs: Sequence[tuple[Stack, Any]], labels_are: LabelsAre) -> Evidence:
    """Look at images and labels that are not in a run yet.

    Raises
    ------
    PaintError, ShapeError, DataError
        As `create_run`, if there is nothing that can be learned.
    """
    if labels_are not in ("mask", "paint"):
        raise ParameterError(f"labels_are = {labels_are!r} is not known.", hint='Say "mask" (every pixel is labelled) or "paint" (0 is not labelled).')
    checked = [check_pair(stack, labels, name) for stack, labels, name in named(pairs, ())]
    channels = same_channels(checked)
    census = count_values(checked)
    values = find_classes(census, labels_are)
    pixels = count_learnable(checked, census, values)
    subjects = tuple(
        Subject(
            pair.stack.axes,
            pair.stack.shape,
            pair.stack.spacing_um,
            pair.order,
            pair.counts,
            pair.dtype.str,
            _pair_reader(pair, values, labels_are),
        )
        for pair in checked
    )
    return Evidence(subjects, labels_are == "paint", pixels, channels, values)


def _reader(image: Plane, marks: Marks) -> Callable[[int], tuple[Plane, Marks]]:
    def read(plane: int) -> tuple[Plane, Marks]:
        return np.asarray(image[plane]), np.asarray(marks[plane])

    return read


def _pair_reader(pair: Pair, values: Sequence[int], labels_are: LabelsAre) -> Callable[[int], tuple[Plane, Marks]]:
    def read(plane: int) -> tuple[Plane, Marks]:
        index = tuple(int(n) for n in np.unravel_index(plane, pair.counts)) if pair.counts else ()
        image, known = pair.learnable_plane(index)
        return image, class_indices(np.asarray(pair.labels[index]), known, values, labels_are)

    return read
