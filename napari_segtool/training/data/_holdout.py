"""What is learned from and what is held out to see how the learning goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_segtool.nets._pixel_size import SAME, Zoom
from napari_segtool.training.data._held_blocks import divided, split_dense
from napari_segtool.training.data._spacing import common_spacing, zoom_of
from napari_segtool.training.runs._pairs import IGNORED
from napari_segtool.training.runs._run import Run

PAINT_SHARE = 1 / 6
_FEW_STROKES = 4
_FEWEST_PIXELS = 12


@dataclass(frozen=True, eq=False)
class Picture:
    """One pair of the run, memory-mapped.

    Parameters
    ----------
    image
        ``(P, C, Y, X)``, of the image's own dtype.
    marks
        ``(P, Y, X)`` uint8 class indices, 255 for unlabelled.
    depth
        Planes in each field: 1 in 2-D, the number of sections in 3-D.
    weights
        ``(P, Y, X)`` float32, how much each pixel counts; None where all count alike.
    sections
        Planes along the slice axis, whatever the depth of a field; 1 for a single picture.
    spacing_um
        Along Z, Y and X; empty where it is not known.
    zoom
        Pixels of the image, along y and x, that make one of those the network learns from.
    order, counts
        Letters of the axes that planes are counted along, the slice axis last, and the number of planes along each; empty for a plain pile.
    """

    image: NDArray[np.generic]
    marks: NDArray[np.uint8]
    depth: int
    weights: NDArray[np.float32] | None = None
    sections: int = 1
    spacing_um: tuple[float, ...] = ()
    order: str = ""
    counts: tuple[int, ...] = ()
    zoom: Zoom = SAME


@dataclass(frozen=True, eq=False)
class Field:
    """A picture or volume that patches are cut from.

    Parameters
    ----------
    picture, first
        Number of the pair, and of the field's first plane in it.
    image
        ``(Z, C, Y, X)``; Z is 1 in 2-D.
    learn
        ``(Z, Y, X)`` uint8 class indices to learn from, 255 elsewhere.
    check
        The same for those held out; None where nothing of the field is.
    weights
        ``(Z, Y, X)`` float32, how much each pixel counts in the loss; None where all count alike.
    around, section
        ``(S, C, Y, X)``: all sections of the volume the field lies in, and the number of its first plane among them; None where it lies in none.
    spacing_um
        Along Z, Y and X; empty where it is not known.
    zoom
        As in `Picture`.
    """

    picture: int
    first: int
    image: NDArray[np.generic]
    learn: NDArray[np.uint8]
    check: NDArray[np.uint8] | None = None
    weights: NDArray[np.float32] | None = None
    around: NDArray[np.generic] | None = None
    section: int = 0
    spacing_um: tuple[float, ...] = ()
    zoom: Zoom = SAME


def open_pictures(run: Run, spatial: int) -> tuple[Picture, ...]:
    """Memory-map the data of a run, and find out which images are to be resampled: those whose pixels are of another size than most have."""
    pictures = []
    for record in run.stored:
        image = np.load(run.folder / "data" / record.image, mmap_mode="r")
        marks = np.load(run.folder / "data" / record.labels, mmap_mode="r")
        name = str(getattr(record, "weights", ""))
        weights = np.load(run.folder / "data" / name, mmap_mode="r") if name else None
        depth = record.counts[-1] if spatial == 3 and record.counts else 1
        sections = record.counts[-1] if record.counts else 1
        pictures.append(Picture(image, marks, depth, weights, sections, spacing_zyx(record.axes, record.spacing_um), record.order, record.counts))
    wanted = common_spacing([picture.spacing_um for picture in pictures])
    return tuple(replace(picture, zoom=zoom_of(picture.spacing_um, wanted)) for picture in pictures)


def split_fields(pictures: Sequence[Picture], classes: int, *, sparse: bool, seed: int) -> tuple[Field, ...]:
    """Divide the labelled pixels into those learned from and those held out.

    Dense labels: whole images, contiguous times or slices with a gap beside them, one eighth of all; see `split_dense`. Paint: whole strokes, one sixth
    of the pixels of each class; with few strokes the end of the longest. No class is ever held out altogether.

    Parameters
    ----------
    pictures
        All pairs.
    classes
        Number of classes.
    sparse
        Whether the labels are paint.
    seed
        Of the choice of strokes.

    Returns
    -------
    tuple of Field
        Only fields with a pixel to learn from or to check.
    """
    fields = list(_labelled(pictures))
    if sparse:
        return tuple(_split_strokes(fields, classes, np.random.default_rng((seed, 7))))
    return split_dense(fields, pictures, classes)


def _labelled(pictures: Sequence[Picture]) -> Iterator[Field]:
    for number, picture in enumerate(pictures):
        for first in range(0, len(picture.marks), picture.depth):
            part = slice(first, first + picture.depth)
            marks = picture.marks[part]
            if (marks != IGNORED).any():
                weights = None if picture.weights is None else picture.weights[part]
                section = first % picture.sections
                around = picture.image[first - section : first - section + picture.sections] if picture.sections > 1 else None
                yield Field(number, first, picture.image[part], marks, None, weights, around, section, picture.spacing_um, picture.zoom)


def spacing_zyx(axes: str, spacing_um: Sequence[float]) -> tuple[float, ...]:
    """The spacing in the order Z, Y, X; the height of a plane without Z is taken to be its width."""
    known = dict(zip((letter for letter in axes if letter in "ZYX"), spacing_um, strict=False))
    return (known.get("Z", known["X"]), known["Y"], known["X"]) if "X" in known and "Y" in known else ()


def _split_strokes(fields: list[Field], classes: int, rng: np.random.Generator) -> Iterator[Field]:
    import cv2

    held = [np.zeros(field.learn.shape, bool) for field in fields]
    for index in range(classes):
        strokes: list[tuple[int, int, NDArray[np.intp]]] = []
        for number, field in enumerate(fields):
            for z, plane in enumerate(field.learn):
                mask = (plane == index).astype(np.uint8)
                if not mask.any():
                    continue
                count, names = cv2.connectedComponents(mask, connectivity=8)
                places = np.flatnonzero(names)
                order = np.argsort(names.ravel()[places], kind="stable")
                sizes = np.bincount(names.ravel()[places], minlength=count)[1:]
                strokes += [(number, z, part) for part in np.split(places[order], np.cumsum(sizes)[:-1])]
        total = sum(len(part) for _, _, part in strokes)
        if total < _FEWEST_PIXELS:
            continue
        wanted = PAINT_SHARE * total
        if len(strokes) >= _FEW_STROKES:
            taken = 0
            for choice in rng.permutation(len(strokes)):
                number, z, part = strokes[choice]
                if taken < wanted and taken + len(part) <= 2 * wanted:
                    held[number][z].ravel()[part] = True
                    taken += len(part)
            if taken:
                continue
        number, z, part = max(strokes, key=lambda stroke: len(stroke[2]))
        width = fields[number].learn.shape[2]
        rows, columns = np.divmod(part, width)
        along = rows if np.ptp(rows) >= np.ptp(columns) else columns
        end = part[np.argsort(along, kind="stable")[: min(round(wanted), len(part) // 2)]]
        held[number][z].ravel()[end] = True
    for field, mask in zip(fields, held, strict=True):
        yield divided(field, mask)
