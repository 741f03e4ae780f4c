"""What the data say about how to train: how large objects are, and whether images have an up and down."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_segtool.training._pairs import IGNORED
from napari_segtool.training._run import Run

_MOST_PLANES = 40
_ROWS = 32
_LEAST_AREA_PX = 9


def object_radius_px(run: Run) -> float:
    """Return how thick the thinnest class is, in pixels: the radius of a disc whose pixels lie, on average, as deep inside as those of its objects.

    That is three times the mean depth; for a wall it is three quarters of its width. The class with most pixels is left out as
    background; for each other class it is the lower quartile over its objects. 0 where the labels are paint, whose strokes say nothing
    about the objects, or where no object is large enough to measure.
    """
    if run.config["labels_are"] == "paint":
        return 0.0
    pixels = [int(entry["pixels"]) for entry in run.classes]
    background = int(np.argmax(pixels))
    radii: dict[int, list[float]] = {}
    for _, marks in _planes(run):
        for index in set(np.unique(marks).tolist()) - {background, IGNORED}:
            radii.setdefault(index, []).extend(_radii((marks == index).astype(np.uint8)))
    return min((float(np.percentile(found, 25)) for found in radii.values() if found), default=0.0)


def has_up_and_down(run: Run) -> bool:
    """Tell whether images look different at their top from at their bottom, and alike in that from image to image.

    True for ultrasound, which darkens with depth (0.2 to 0.5 here); not for sections that lie as they were cut (up to 0.13). The brightness
    of each row, in standard deviations of its plane, is averaged over planes; its part that changes sign when turned upside down must be
    large, and larger than its spread over planes.
    """
    profiles = []
    for image, _ in _planes(run):
        plane = image.astype(np.float32).mean(axis=0)
        if plane.shape[0] < 2 * _ROWS or plane.std() == 0:
            continue
        rows = np.array([part.mean() for part in np.array_split((plane - plane.mean()) / plane.std(), _ROWS)])
        profiles.append((rows - rows[::-1]) / 2)
    if len(profiles) < 3:
        return False
    table = np.array(profiles)
    typical = table.mean(axis=0)
    spread = (table - typical).std()
    strength = float(np.sqrt((typical**2).mean()))
    return strength > 0.17 and strength > float(spread)


def _radii(mask: NDArray[np.uint8]) -> list[float]:
    import cv2

    count, names = cv2.connectedComponents(mask, connectivity=8)
    depth = cv2.distanceTransform(np.pad(mask, 1, mode="edge"), cv2.DIST_L2, 5)[1:-1, 1:-1]
    areas = np.bincount(names.ravel(), minlength=count)
    depths = np.bincount(names.ravel(), weights=depth.ravel(), minlength=count)
    # OpenCV measures to the middle of the nearest pixel outside: half a pixel too far.
    return [3 * (float(total) / int(area) - 0.5) for total, area in zip(depths[1:], areas[1:], strict=True) if area >= _LEAST_AREA_PX]


def _planes(run: Run) -> Iterator[tuple[NDArray[np.generic], NDArray[np.uint8]]]:
    """At most forty labelled planes ``(C, Y, X)`` with their class indices, spread over all images."""
    places = [(number, plane) for number, record in enumerate(run.stored) for plane in range(int(np.prod(record.counts, dtype=np.int64)))]
    if len(places) > _MOST_PLANES:
        places = [places[int(i)] for i in np.linspace(0, len(places) - 1, _MOST_PLANES)]
    opened: dict[int, tuple[NDArray[np.generic], NDArray[np.uint8]]] = {}
    for number, plane in places:
        if number not in opened:
            record = run.stored[number]
            folder = run.folder / "data"
            opened[number] = np.load(folder / record.image, mmap_mode="r"), np.load(folder / record.labels, mmap_mode="r")
        image, marks = opened[number]
        yield np.asarray(image[plane]), np.asarray(marks[plane])
