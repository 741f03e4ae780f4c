"""Held-out blocks of dense labels: whole images, contiguous time, contiguous slices with a gap beside them, or a strip of a single picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.spread import spread_evenly
from napari_segtool.nets._normalise import fill_gaps
from napari_segtool.training.runs._pairs import IGNORED
from napari_segtool.training.survey._likeness import ALIKE, likeness

if TYPE_CHECKING:
    from napari_segtool.training.data._holdout import Field, Picture

DENSE_SHARE = 1 / 8
FEWEST = 4
"""Images, times or slices from which on whole ones are held out."""
_LEARNED_SHARE = 0.7
_MOST_IMAGES_SHARE = 0.3
_PLANES_PER_GAP = 16
_STRIP_PER_GAP = 8
_ZSTRIP_PLANES = 24
_PROBES = 8


@dataclass(frozen=True)
class _Unit:
    """What is held out or learned from as one: an image, a time or a slice.

    ``place`` counts along the axis whose neighbours may be alike, ``fields`` are numbers of fields.
    """

    picture: int
    place: int
    fields: tuple[int, ...]


def split_dense(fields: Sequence[Field], pictures: Sequence[Picture], classes: int) -> tuple[Field, ...]:
    """Hold out about one eighth of densely labelled fields.

    With four images or more these are whole images; else contiguous times of a series, or contiguous slices; with fewer than four of each, a strip of the
    largest picture. Where neighbours are alike, those beside the block are neither learned from nor checked: they would give the answer away. That
    gap is narrower, or left out, where less than seven tenths would remain to learn from. No class is ever held out altogether.

    Parameters
    ----------
    fields
        Those with labels, in order.
    pictures
        The images they come from.
    classes
        Number of classes.

    Returns
    -------
    tuple of Field
        Without the fields of the gap.
    """
    histogram = np.array([_histogram(field.learn, classes) for field in fields])
    owners = sorted({field.picture for field in fields})
    if len(owners) >= FEWEST:
        images = [_Unit(owner, 0, tuple(n for n, field in enumerate(fields) if field.picture == owner)) for owner in owners]
        split = _split_units(fields, images, {}, histogram, most=_MOST_IMAGES_SHARE)
        if split is not None:
            return split
    units = _units(fields, pictures)
    if len(units) >= FEWEST:
        gaps = {owner: _gap(fields, [unit for unit in units if unit.picture == owner], pictures[owner]) for owner in owners}
        return _split_units(fields, units, gaps, histogram) or tuple(fields)
    return tuple(_split_strip(fields, histogram, classes, pictures))


def divided(field: Field, held: NDArray[np.bool_], gap: NDArray[np.bool_] | None = None) -> Field:
    """Return the field with the pixels ``held`` ``(Z, Y, X)`` to check, those of ``gap`` in neither, and the others to learn from."""
    if not (held & (field.learn != IGNORED)).any():
        return field
    away = held if gap is None else held | gap
    return replace(field, learn=np.where(away, np.uint8(IGNORED), field.learn), check=np.where(held, field.learn, np.uint8(IGNORED)))


def _units(fields: Sequence[Field], pictures: Sequence[Picture]) -> list[_Unit]:
    """Times of a series that is long enough, else slices; slices of the same depth at all times of a short series go together."""
    grouped: dict[tuple[int, int], list[int]] = {}
    for number, field in enumerate(fields):
        picture = pictures[field.picture]
        counts = picture.counts or (len(picture.marks),)
        place = np.unravel_index(field.first, counts)
        grouped.setdefault((field.picture, int(place[_axis(picture)])), []).append(number)
    return [_Unit(picture, place, tuple(numbers)) for (picture, place), numbers in sorted(grouped.items())]


def _axis(picture: Picture) -> int:
    """Which of the picture's counted axes units lie along: the first where it is long enough, or where volumes are learned, else the slices."""
    counts = picture.counts or (len(picture.marks),)
    return 0 if len(counts) == 1 or counts[0] >= FEWEST or picture.depth > 1 else -1


def _gap(fields: Sequence[Field], units: Sequence[_Unit], picture: Picture) -> int:
    """How many units beside the block look so much like it that they tell its answer; 0 where pages are separate images."""
    if len(units) < 2 or (picture.order and picture.order[_axis(picture)] in "IQ"):
        return 0
    shown = {unit.place: fields[unit.fields[0]].image for unit in units}
    most, gap = max(1, len(units) // _PLANES_PER_GAP), 0
    for lag in range(1, most + 1):
        pairs = [(place, place + lag) for place in shown if place + lag in shown]
        alike = [likeness(_middle(shown[first]), _middle(shown[second])) for first, second in spread_evenly(pairs, _PROBES)]
        if not alike or float(np.median(alike)) < ALIKE:
            break
        gap = lag
    return gap


def _middle(image: NDArray[np.generic]) -> NDArray[np.generic]:
    return fill_gaps(np.asarray(image[len(image) // 2]))


def _split_units(
    fields: Sequence[Field], units: Sequence[_Unit], gaps: dict[int, int], histogram: NDArray[np.int64], most: float = 1.0
) -> tuple[Field, ...] | None:
    """Hold out the block of neighbouring units that is most typical; None where each would take a class away, or more than ``most`` of the pixels."""
    count = max(1, round(DENSE_SHARE * len(units)))
    tallies = np.array([histogram[list(unit.fields)].sum(axis=0) for unit in units])
    whole = tallies.sum(axis=0)
    for part in (1.0, 0.5, 0.0):
        now = {picture: int(np.ceil(part * gap)) for picture, gap in gaps.items()}
        blocks, sums, rests = [], [], []
        for start in range(len(units) - count + 1):
            block = range(start, start + count)
            beside = _beside(units, block, now)
            held = tallies[start : start + count].sum(axis=0)
            rest = whole - held - tallies[beside].sum(axis=0)
            if held.sum() > most * whole.sum() or (part and rest.sum() < _LEARNED_SHARE * whole.sum()):
                continue
            blocks.append((block, beside))
            sums.append(held)
            rests.append(rest)
        best = _most_typical(sums, rests, whole)
        if best >= 0:
            block, beside = blocks[best]
            check = {number for unit in block for number in units[unit].fields}
            left_out = {number for unit in beside for number in units[unit].fields}
            return tuple(_whole(field) if number in check else field for number, field in enumerate(fields) if number not in left_out)
    return None


def _beside(units: Sequence[_Unit], block: range, gaps: dict[int, int]) -> list[int]:
    """Numbers of the units that lie beside a block, as far as the gap of their picture reaches."""
    places: dict[int, list[int]] = {}
    for number in block:
        places.setdefault(units[number].picture, []).append(units[number].place)
    return [
        number
        for number, unit in enumerate(units)
        if number not in block and unit.picture in places and min(abs(unit.place - place) for place in places[unit.picture]) <= gaps.get(unit.picture, 0)
    ]


def _whole(field: Field) -> Field:
    return replace(field, learn=np.full_like(field.learn[:0], IGNORED), check=field.learn)


def _histogram(marks: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    return np.bincount(marks.ravel(), minlength=256)[:classes].astype(np.int64)


def _most_typical(parts: Sequence[NDArray[np.int64]], rests: Sequence[NDArray[np.int64]], whole: NDArray[np.int64]) -> int:
    """Index of the part whose class shares are nearest to the whole's and that leaves some of each class in the rest; -1 if there is none."""
    best, least = -1, np.inf
    for number, (part, rest) in enumerate(zip(parts, rests, strict=True)):
        if ((whole > 0) & (rest <= 0)).any() or part.sum() == 0:
            continue
        distance = float(np.abs(part / part.sum() - whole / whole.sum()).sum() + ((whole > 0) & (part == 0)).sum())
        if distance < least:
            best, least = number, distance
    return best


def _split_strip(fields: Sequence[Field], histogram: NDArray[np.int64], classes: int, pictures: Sequence[Picture]) -> Iterator[Field]:
    """Hold out a strip across the largest field, with a gap of an eighth of its width on each side; of a deep volume it may be a slab of sections."""
    biggest = int(histogram.sum(axis=1).argmax())
    field = fields[biggest]
    share = min(0.4, DENSE_SHARE * len(fields) * 4 / 3)
    strips: list[tuple[tuple[slice, ...], tuple[slice, ...]]] = []
    for axis in range(0 if len(field.learn) >= _ZSTRIP_PLANES else 1, 3):
        length = field.learn.shape[axis]
        width = max(1, round(share * length))
        gap = max(1, width // _STRIP_PER_GAP)
        for start in np.linspace(0, length - width, 5).astype(int):
            inner, outer = [slice(None)] * 3, [slice(None)] * 3
            inner[axis] = slice(int(start), int(start) + width)
            outer[axis] = slice(max(0, int(start) - gap), int(start) + width + gap)
            strips.append((tuple(inner), tuple(outer)))
    whole = histogram.sum(axis=0)
    parts = [_histogram(field.learn[inner], classes) for inner, _ in strips]
    best = _most_typical(parts, [whole - _histogram(field.learn[outer], classes) for _, outer in strips], whole)
    for number, other in enumerate(fields):
        if number != biggest or best < 0:
            yield other
            continue
        held, gap_too = np.zeros(field.learn.shape, bool), np.zeros(field.learn.shape, bool)
        held[strips[best][0]] = True
        gap_too[strips[best][1]] = True
        yield divided(field, held, gap_too)
