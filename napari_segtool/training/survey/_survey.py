"""What the data say about how to train: measured once over at most forty planes, spread over all images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.spread import spread_evenly
from napari_segtool.training.runs._pairs import IGNORED
from napari_segtool.training.survey._evidence import Evidence, Marks, Plane, Subject
from napari_segtool.training.survey._likeness import ALIKE, likeness
from napari_segtool.training.survey._modality import Looks, Modality, figures_of, guess_modality, typical
from napari_segtool.training.survey._touching import Gaps, gaps_between

_MOST_PLANES = 40
_MOST_NEIGHBOURS = 12
_ROWS = 32
_MOST_PX = 1536
_LEAST_AREA_PX = 9
_EMPTY = 0.2


@dataclass(frozen=True)
class Survey:
    """What was found.

    Parameters
    ----------
    painted
        Whether the labels are paint.
    pixels
        Labelled pixels of each class.
    channels, images, planes
        Channels of each image, number of images, planes in all of them.
    sections
        Planes along Z of the thinnest volume; 1 where an image has no Z.
    largest_px, smallest_px
        Longest side of any plane, shortest side of any.
    z_ratio
        How many times farther apart sections lie than pixels; 0 where it is not known.
    alike
        Correlation of neighbouring sections (or frames), see `likeness`; 0 where there are none.
    radius_px
        See `object_radius_px`.
    upright
        See `has_up_and_down`.
    modality, looks
        What the images look like, and the figures it was told by.
    gaps
        What lies between objects; None where the labels are paint.
    empty_share
        Share of planes with less than a fifth of the usual contrast.
    one_type
        Whether all images have the same number type.
    """

    painted: bool
    pixels: tuple[int, ...]
    channels: int
    images: int
    planes: int
    sections: int
    largest_px: int
    smallest_px: int
    z_ratio: float
    alike: float
    radius_px: float
    upright: bool
    modality: Modality
    looks: Looks
    gaps: Gaps | None
    empty_share: float
    one_type: bool

    @property
    def rarest_share(self) -> float:
        """Share of the labelled pixels that the rarest class has."""
        return min(self.pixels) / max(sum(self.pixels), 1)


def survey(evidence: Evidence) -> Survey:
    """Look at images and labels.

    Parameters
    ----------
    evidence
        From `evidence_of_run` or `evidence_of_pairs`; planes are read one at a time, and of large ones the middle is looked at.
    """
    seen = [_look(*plane) for plane in evidence.planes(_MOST_PLANES)]
    labels = [plane.labels for plane in seen]
    alike = _alike(evidence.subjects)
    looks = typical([plane.figures for plane in seen], colour=all("S" in subject.axes for subject in evidence.subjects))
    # The sections of one volume are one picture many times over, unless they are plainly scans, which have their probe at the top.
    apart = alike < ALIKE or looks.scanned
    middles = [] if apart else [subject.filled(subject.planes // 2)[0] for subject in evidence.subjects]
    upright = has_up_and_down([plane.rows for plane in seen] if apart else [row_profile(plane) for plane in middles])
    contrasts = np.array([plane.contrast for plane in seen])
    sides = [side for subject in evidence.subjects for side in subject.plane_px]
    return Survey(
        painted=evidence.painted,
        pixels=evidence.pixels,
        channels=evidence.channels,
        images=len(evidence.subjects),
        planes=sum(subject.planes for subject in evidence.subjects),
        sections=min(subject.sections for subject in evidence.subjects),
        largest_px=max(sides),
        smallest_px=min(sides),
        z_ratio=_z_ratio(evidence.subjects),
        alike=alike,
        radius_px=0.0 if evidence.painted else object_radius_px(labels, evidence.pixels),
        upright=upright,
        modality=guess_modality(looks, upright),
        looks=looks,
        gaps=None if evidence.painted else gaps_between(labels),
        empty_share=float((contrasts < _EMPTY * np.median(contrasts)).mean()),
        one_type=len({subject.dtype for subject in evidence.subjects}) == 1,
    )


def object_radius_px(planes: Sequence[Marks], pixels: Sequence[int]) -> float:
    """Return how thick the thinnest class is, in pixels: the radius of a disc whose pixels lie, on average, as deep inside as those of its objects.

    That is three times the mean depth; for a wall it is three quarters of its width. The class with most ``pixels`` is left out as
    background; for each other class it is the lower quartile over its objects. 0 where no object is large enough to measure. Paint, whose
    strokes say nothing about the objects, must not be asked.
    """
    background = int(np.argmax(pixels))
    radii: dict[int, list[float]] = {}
    for marks in planes:
        for index in set(np.unique(marks).tolist()) - {background, IGNORED}:
            radii.setdefault(index, []).extend(_radii((marks == index).astype(np.uint8)))
    return min((float(np.percentile(found, 25)) for found in radii.values() if found), default=0.0)


def has_up_and_down(profiles: Sequence[NDArray[np.float64]]) -> bool:
    """Tell whether images look different at their top from at their bottom, and alike in that from image to image.

    True for ultrasound, which darkens with depth (0.2 to 0.5 here); not for sections that lie as they were cut (up to 0.13). ``profiles``, from
    `row_profile`, are averaged; their part that changes sign when turned upside down must be large, and larger than its spread over planes.
    At least three planes are needed.
    """
    table = np.array([(rows - rows[::-1]) / 2 for rows in profiles if len(rows)])
    if len(table) < 3:
        return False
    typical = table.mean(axis=0)
    spread = (table - typical).std()
    strength = float(np.sqrt((typical**2).mean()))
    return strength > 0.17 and strength > float(spread)


def row_profile(image: Plane) -> NDArray[np.float64]:
    """Return the brightness of 32 bands of rows, in standard deviations of the plane ``(C, Y, X)``; empty where it is constant or too low."""
    plane = np.asarray(image, dtype=np.float32).mean(axis=0)
    mean, deviation = float(plane.mean()), float(plane.std())
    if plane.shape[0] < 2 * _ROWS or deviation == 0:
        return np.empty(0)
    return np.array([(float(part.mean()) - mean) / deviation for part in np.array_split(plane, _ROWS)])


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is kept of a plane: large ones are not held in memory."""

    rows: NDArray[np.float64]
    figures: tuple[float, ...]
    contrast: float
    labels: Marks


def _look(image: Plane, marks: Marks) -> _Seen:
    """Of large planes the middle is looked at closely."""
    height, width = marks.shape
    middle = tuple(slice((n - min(n, _MOST_PX)) // 2, (n + min(n, _MOST_PX)) // 2) for n in (height, width))
    part = np.asarray(image[(slice(None), *middle)], dtype=np.float32)
    return _Seen(row_profile(image), figures_of(part), float(part.std()), np.ascontiguousarray(marks[middle]))


def _radii(mask: NDArray[np.uint8]) -> list[float]:
    import cv2

    count, names = cv2.connectedComponents(mask, connectivity=8)
    depth = cv2.distanceTransform(np.pad(mask, 1, mode="edge"), cv2.DIST_L2, 5)[1:-1, 1:-1]
    areas = np.bincount(names.ravel(), minlength=count)
    depths = np.bincount(names.ravel(), weights=depth.ravel(), minlength=count)
    # OpenCV measures to the middle of the nearest pixel outside: half a pixel too far.
    return [3 * (float(total) / int(area) - 0.5) for total, area in zip(depths[1:], areas[1:], strict=True) if area >= _LEAST_AREA_PX]


def _z_ratio(subjects: Sequence[Subject]) -> float:
    """Of the image with the thickest sections, so that no pooling along Z mixes what lies far apart."""
    ratios = [subject.spacing_um[0] / min(subject.spacing_um[1:]) for subject in subjects if len(subject.spacing_um) == 3 and subject.sections > 1]
    return max(ratios, default=0.0)


def _alike(subjects: Sequence[Subject]) -> float:
    """Median over pairs of neighbouring planes along the slice axis; pages of no known order have no neighbours."""
    pairs = [
        (subject, first)
        for subject in subjects
        if subject.order and subject.order[-1] in "ZT"
        for first in range(subject.planes - 1)
        if (first + 1) % subject.counts[-1]
    ]
    if not pairs:
        return 0.0
    chosen = spread_evenly(pairs, _MOST_NEIGHBOURS)
    return float(np.median([likeness(subject.filled(first)[0], subject.filled(first + 1)[0]) for subject, first in chosen]))
