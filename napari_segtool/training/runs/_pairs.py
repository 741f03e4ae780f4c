"""Pairs of image and labels on their way into a run folder: checked, brought into one form, copied plane by plane."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError, PaintError, ShapeError
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.planes import PlaneIndex, plane_axes, read_plane
from napari_segtool.core.result import data_sha
from napari_segtool.core.stack import Stack

IGNORED = 255
"""Class index of unlabelled pixels in the run folder."""
MOST_CLASSES = 64

LabelsAre = Literal["mask", "paint"]


@dataclass(frozen=True, eq=False)
class Pair:
    """One image and its labels, the planes in storage order with the slice axis innermost.

    Parameters
    ----------
    stack
        The image.
    labels
        Array whose axes are those of ``order`` and then Y, X; values as the user gave them.
    order
        Letters of the axes planes are counted along, the slice axis last ("TZ").
    name
        For messages.
    weights
        Array of the same axes as ``labels``: how much each pixel counts; None where all count alike (see `training.runs._pixel_weights`).
    """

    stack: Stack
    labels: Any
    order: str
    name: str
    weights: Any = None

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of planes along each letter of ``order``."""
        return tuple(self.stack.shape[self.stack.axes.index(letter)] for letter in self.order)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number type of the image in the run folder: its own, but float32 for floats of any width."""
        source = np.dtype(self.stack.data.dtype)
        return np.dtype(np.uint8) if source.kind == "b" else np.dtype(np.float32) if source.kind == "f" else source.newbyteorder("=")

    def planes(self) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]]:
        """Yield every plane ``(C, Y, X)``, of type `dtype`, with its labels ``(Y, X)`` and which of them can be learned.

        Those cannot whose pixel is NaN or infinite, or has the weight 0.
        """
        for index in np.ndindex(*self.counts):
            plane, known = self.learnable_plane(index)
            yield plane, np.asarray(self.labels[index]), known

    def learnable_plane(self, index: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return one plane of the image and which of its pixels can be learned; ``index`` counts along ``order``."""
        place: PlaneIndex = tuple(index[self.order.index(letter)] for letter in plane_axes(self.stack))
        plane = read_plane(self.stack, place)
        with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite, and cannot be learned
            plane = (plane if plane.ndim == 3 else plane[None]).astype(self.dtype)
        known = np.isfinite(plane).all(axis=0)
        if self.weights is not None:
            known &= np.asarray(self.weights[index]).astype(np.float32) > 0
        return plane, known

    def label_planes(self) -> Iterator[NDArray[Any]]:
        """Yield the labels ``(Y, X)`` of every plane, as views where the data allow it."""
        for index in np.ndindex(*self.counts):
            yield np.asarray(self.labels[index])


def check_pair(stack: Stack, labels: Labels | Paint | NDArray[Any] | Any, name: str) -> Pair:
    """Match one image and its labels.

    Raises
    ------
    ShapeError
        If the labels do not have the image's shape without channels.
    DataError
        If the image is empty or not made of real numbers, or the labels are not whole numbers.
    """
    if 0 in stack.shape:
        raise DataError(f"{name} has no pixels: its shape is {stack.shape}.")
    if np.dtype(stack.data.dtype).kind not in "buif":
        raise DataError(f"{name} is of type {stack.data.dtype}, but training needs real numbers.")
    axes = labels.axes.upper() if isinstance(labels, Labels | Paint) else stack.label_axes
    data = labels.data if isinstance(labels, Labels | Paint) else labels
    data = data if hasattr(data, "transpose") else np.asarray(data)
    if data.dtype.kind not in "bui":
        raise DataError(f"The labels of {name} are of type {data.dtype}, but labels are whole numbers.", hint="Save them as an 8- or 16-bit label image.")
    laid = lay_over(data, axes, stack)
    if laid is None:
        raise ShapeError(
            f"The labels of {name} have the shape {tuple(int(n) for n in data.shape)}, but the image has {stack.label_shape} ({stack.label_axes}).",
            hint="Labels need one value for each pixel of the image, without channels. Are these the labels of another image?",
        )
    slice_letter = stack.axes[stack.slice_axis]
    order = "".join(letter for letter in plane_axes(stack) if letter != slice_letter) + (slice_letter if slice_letter != "Y" else "")
    return Pair(stack, laid.transpose([stack.label_axes.index(letter) for letter in order + "YX"]), order, name)


def lay_over(data: Any, axes: str, stack: Stack) -> Any:
    """Return labels or weights with the label axes of an image, in their order; None where they do not fit.

    Parameters
    ----------
    data
        Array with ``transpose`` and ``reshape``; axes of length 1 may be missing, or too many.
    axes
        Its own letters. Where they are not the image's, its axes are taken to be in the image's order.
    stack
        The image.

    Examples
    --------
    >>> stack = Stack(np.zeros((1, 4, 6)), "ZYX")
    >>> lay_over(np.zeros((4, 6)), "YX", stack).shape, lay_over(np.zeros((6, 4)), "XY", stack).shape, lay_over(np.zeros((6, 4)), "YX", stack)
    ((1, 4, 6), (1, 4, 6), None)
    """
    wanted, shape = stack.label_axes, stack.label_shape
    long = [letter for letter, length in zip(wanted, shape, strict=True) if length > 1]
    if sorted(long) == sorted(letter for letter, length in zip(axes, data.shape, strict=False) if length > 1) and len(axes) == data.ndim:
        data = data.transpose(sorted(range(data.ndim), key=lambda place: wanted.find(axes[place])))
    if tuple(data.shape) == shape:
        return data
    fits = [length for length in data.shape if length > 1] == [length for length in shape if length > 1]
    return data.reshape(shape) if fits else None


@dataclass(frozen=True)
class Census:
    """Which label values occur, and how often, over all pairs.

    Parameters
    ----------
    values, counts
        Distinct values in increasing order and the pixels of each.
    """

    values: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Number of pixels."""
        return sum(self.counts)


def count_values(pairs: Sequence[Pair]) -> Census:
    """Count the label values of all pairs, plane by plane, and refuse negative ones and more than there can be classes."""
    found: dict[int, int] = {}
    for pair in pairs:
        for plane in pair.label_planes():
            for value, count in zip(*np.unique(plane, return_counts=True), strict=True):
                found[int(value)] = found.get(int(value), 0) + int(count)
            if min(found) < 0:
                raise DataError(f"The labels of {pair.name} hold {min(found)}, but labels cannot be negative.")
            if len(found) > MOST_CLASSES + 1:
                raise PaintError(
                    f"The labels of {pair.name} hold more than {MOST_CLASSES} different values: these look like objects, not classes.",
                    hint="Give one value to all pixels of a class, for example 1 to every nucleus.",
                )
    values = sorted(found)
    return Census(tuple(values), tuple(found[value] for value in values))


def find_classes(census: Census, labels_are: LabelsAre) -> tuple[int, ...]:
    """Return the label values that are classes, in increasing order.

    Raises
    ------
    PaintError
        If there is nothing painted, or fewer than two classes, or more than `MOST_CLASSES`.
    """
    values = tuple(value for value in census.values if labels_are == "mask" or value != 0)
    if not values:
        raise PaintError("Nothing is painted: every label is 0, which means not labelled.", hint="Paint a few strokes of each class first.")
    if len(values) > MOST_CLASSES:
        raise PaintError(f"There are {len(values)} different labels: these look like objects, not classes.", hint="Give one value to all pixels of a class.")
    if len(values) == 1:
        if labels_are == "mask":
            raise PaintError(
                f"Read as a mask, every pixel is {values[0]}: one class cannot be learned.",
                hint="Give labels with at least two values. If they are strokes and 0 means not labelled, say --labels-are paint.",
            )
        zero = dict(zip(census.values, census.counts, strict=True)).get(0, 0) / max(census.total, 1)
        looks = f" {100 * (1 - zero):.0f} % of the pixels are {values[0]}, so this looks like a mask." if zero < 0.9 else ""
        raise PaintError(
            f"Read as paint (0 = not labelled), there is only class {values[0]}: one class cannot be learned.{looks}",
            hint="Paint a second class too. If every pixel is labelled and 0 is a class of its own, say --labels-are mask.",
        )
    return values


def count_learnable(pairs: Sequence[Pair], census: Census, values: Sequence[int]) -> tuple[int, ...]:
    """Return how many pixels of each class can be learned: those that are NaN or infinite, or weigh nothing, cannot.

    Parameters
    ----------
    pairs
        With their weights.
    census
        Of the pairs, from `count_values`.
    values
        Label values that are classes, in increasing order.

    Raises
    ------
    PaintError
        If nothing is left of a class.
    DataError
        If nothing is left of an image because all of it is NaN or infinite.
    """
    if all(pair.weights is None and pair.dtype.kind != "f" for pair in pairs):
        counts = dict(zip(census.values, census.counts, strict=True))
        return tuple(counts[value] for value in values)
    table, total = np.asarray(values), np.zeros(len(values), np.int64)
    for pair in pairs:
        some = False
        for _, marks, known in pair.planes():
            some |= bool(known.any())
            index = np.searchsorted(table, marks).clip(max=len(table) - 1)
            total += np.bincount(index[known & (table[index] == marks)], minlength=len(table))
        if not some and pair.weights is None:
            raise _nothing_finite(pair.name)
    for value, count in zip(values, total, strict=True):
        if not count:
            weighed = any(pair.weights is not None for pair in pairs)
            raise PaintError(
                f"All pixels of class {value} {'have the weight 0, or ' if weighed else ''}are NaN or infinite in the image: it cannot be learned.",
                hint=f"Label some of its pixels where the image has values{', and give them a weight above 0' if weighed else ''}.",
            )
    return tuple(int(count) for count in total)


def class_indices(marks: NDArray[Any], known: NDArray[np.bool_], values: Sequence[int], labels_are: LabelsAre) -> NDArray[np.uint8]:
    """Return labels ``(Y, X)`` as indices of the classes, 255 where they are not ``known`` or not painted."""
    index = np.searchsorted(np.asarray(values), marks).clip(max=len(values) - 1).astype(np.uint8)
    index[~known if labels_are == "mask" else ~known | (marks == 0)] = IGNORED
    return index


def paint_in_disguise(census: Census, labels_are: LabelsAre) -> str:
    """Return a warning where labels read as a mask look like strokes, else an empty string."""
    if labels_are == "paint" or census.values[0] != 0:
        return ""
    marked = 1 - census.counts[0] / census.total
    if marked > 0.005:
        return ""
    return f"Only {100 * marked:.2g} % of the pixels are not 0. If 0 means not labelled, start again with --labels-are paint."


@dataclass(frozen=True)
class Stored:
    """One pair as it lies in the run folder.

    Parameters
    ----------
    image, labels
        File names in ``data/``: ``(P, C, Y, X)`` of the image's dtype and ``(P, Y, X)`` uint8 class indices with 255 for unlabelled.
    name, axes, spacing_um, shape
        Of the stack the pair came from.
    order, counts
        As `Pair`.
    sha, labels_sha
        `data_sha` of image and labels as they were given.
    weights, weights_sha
        The same for the pixels' weights, ``(P, Y, X)`` float32; empty where all pixels count alike.
    """

    image: str
    labels: str
    name: str
    axes: str
    spacing_um: tuple[float, ...]
    shape: tuple[int, ...]
    order: str
    counts: tuple[int, ...]
    sha: str
    labels_sha: str
    weights: str = ""
    weights_sha: str = ""


def store_pair(pair: Pair, values: Sequence[int], labels_are: LabelsAre, folder: Path, number: int) -> tuple[Stored, str]:
    """Copy a pair into ``folder`` as two ``.npy`` files and return its record and a remark (empty if there is none).

    Pixels that are NaN or infinite, or have the weight 0, become unlabelled. Images keep their NaN: whoever reads them fills it, as prediction does.

    Raises
    ------
    DataError
        If the image is constant or has no finite pixel.
    OSError
        If the disk is full or not writable.
    """
    stack = pair.stack
    channels = stack.shape[stack.channel_axis] if stack.channel_axis >= 0 else 1
    height, width = (stack.shape[stack.axes.index(letter)] for letter in "YX")
    planes = int(np.prod(pair.counts, dtype=np.int64)) if pair.counts else 1
    record = Stored(
        f"{number}-image.npy",
        f"{number}-labels.npy",
        pair.name,
        stack.axes,
        stack.spacing_um,
        stack.shape,
        pair.order,
        pair.counts,
        data_sha(stack.data),
        data_sha(pair.labels),
    )
    low, high, holes = np.inf, -np.inf, 0
    with (folder / record.image).open("wb") as image_file, (folder / record.labels).open("wb") as label_file:
        write_header(image_file, (planes, channels, height, width), pair.dtype)
        write_header(label_file, (planes, height, width), np.dtype(np.uint8))
        for plane, marks, known in pair.planes():
            finite = np.isfinite(plane).all(axis=0)
            holes += finite.size - int(finite.sum())
            shown = plane if finite.all() else plane[:, finite]
            if shown.size:
                low, high = min(low, float(shown.min())), max(high, float(shown.max()))
            image_file.write(np.ascontiguousarray(plane).data)
            label_file.write(np.ascontiguousarray(class_indices(marks, known, values, labels_are)).data)
        for file in (image_file, label_file):
            file.flush()
            os.fsync(file.fileno())
    if not np.isfinite(low):
        raise _nothing_finite(pair.name)
    if low == high:
        raise DataError(f"{pair.name} is constant: every pixel is {low:g}, so there is nothing to learn from.", hint="Load the original image.")
    remark = f"{holes} pixels of {pair.name} are NaN or infinite: they are filled with the median and count as not labelled." if holes else ""
    return record, remark


def _nothing_finite(name: str) -> DataError:
    return DataError(f"{name} has no finite pixel: all are NaN or infinite.", hint="Was it saved by a step that failed? Load the original image.")


def write_header(file: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Write the head of an ``.npy`` file whose data follow as a stream: a memory map on a full disk would kill the process instead of raising."""
    np.lib.format.write_array_header_1_0(file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})


def same_channels(pairs: Sequence[Pair]) -> int:
    """Return the number of channels that all pairs have, or raise `ShapeError`."""
    counts = [pair.stack.shape[pair.stack.channel_axis] if pair.stack.channel_axis >= 0 else 1 for pair in pairs]
    for pair, count in zip(pairs, counts, strict=True):
        if count != counts[0]:
            raise ShapeError(
                f"{pair.name} has {count} channel(s), but {pairs[0].name} has {counts[0]}.",
                hint="Images that are learned together need the same channels.",
            )
    return counts[0]


def named(pairs: Sequence[tuple[Any, ...]], names: Sequence[str]) -> list[tuple[Stack, Any, str]]:
    """Give every pair a name: the caller's, else the stack's, else its number. What stands after image and labels is left out."""
    given = list(names) + [""] * len(pairs)
    return [(replace(pair[0], memo={}), pair[1], given[i] or pair[0].name or f"image {i + 1}") for i, pair in enumerate(pairs)]
