"""Cut patches out of images by a map: image, labels and weights are read once, only where they are needed, and resampled once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.nets._neighbours import mirrored
from napari_segtool.nets._pixel_size import SAME, Zoom
from napari_segtool.nets._soften import radius_px, softened
from napari_segtool.training.augment._patch import UNLABELLED, Patch
from napari_segtool.training.data._warp import Map

Scale = Callable[[Sequence[int]], "Levels"]
"""Gives the levels of planes of the image, by their numbers."""

_MARGIN = 3
_LONGEST = 30_000
"""OpenCV's maps count to 32,767."""


@dataclass(frozen=True, eq=False)
class Levels:
    """What whole planes say of their grey values; each ``(n, C)``.

    Parameters
    ----------
    mean, deviation
        By which planes are normalised.
    fill
        What NaN and infinite pixels become; NaN where there are none.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    fill: NDArray[np.float32]


def cut(
    image: Any,
    marks: Any,
    centre: tuple[float, float, float],
    depth: int,
    field: Map,
    *,
    weights: Any = None,
    scale: Scale | None = None,
    offset: int = 0,
    zoom: Zoom = SAME,
) -> Patch:
    """Cut a patch by a map: the image by cubic interpolation within planes, weights by linear, labels by their nearest pixel.

    Between planes, where the map goes there, the image is interpolated linearly.

    Parameters
    ----------
    image
        ``(Z, C, Y, X)``, any real dtype: numpy, a memory map or zarr. Only the box that is needed is read, at once.
    marks
        ``(Z, Y, X)`` uint8 class indices.
    centre
        Plane, row and column of the patch's centre in ``marks``; may lie outside.
    depth
        Planes of the patch.
    field
        Map from `draw_map`.
    weights
        ``(Z, Y, X)`` float32; None where all pixels count alike.
    scale
        Normalisation of the image's planes; None leaves grey values as they are.
    offset
        Number of the first plane of ``marks`` in ``image``, where that has more planes.
    zoom
        Pixels of the image that make one of the patch, which the map holds too: where they are the smaller, planes are blurred first (`nets._soften`).

    Returns
    -------
    Patch
        The image mirrored beyond its edge; labels 255 and weights 0 there.
    """
    if len(field) == 3:
        return _through(image, marks, weights, centre, field, scale, zoom)
    first = round(centre[0] - (depth - 1) / 2)
    return _by_planes(image, marks, weights, (first, centre[1], centre[2]), depth, field, scale, offset, zoom)


def _by_planes(
    image: Any, marks: Any, weights: Any, centre: tuple[int, float, float], depth: int, field: Map, scale: Scale | None, offset: int, zoom: Zoom
) -> Patch:
    import cv2

    first, row, column = centre
    rows, columns = field[0] + np.float32(row), field[1] + np.float32(column)
    (top, bottom), (left, right) = _reach(rows, marks.shape[1], zoom[0]), _reach(columns, marks.shape[2], zoom[1])
    rows -= np.float32(top)
    columns -= np.float32(left)
    planes = [mirrored(offset + first + place, image.shape[0]) for place in range(depth)]
    low = min(planes)
    box = _read(image, slice(low, max(planes) + 1), slice(top, bottom), slice(left, right), scale, zoom)
    labelled = [place for place in range(depth) if 0 <= first + place < marks.shape[0]]
    held = slice(first + labelled[0], first + labelled[-1] + 1) if labelled else slice(0, 0)
    mark_box = np.asarray(marks[held, top:bottom, left:right])
    weight_box = None if weights is None else np.asarray(weights[held, top:bottom, left:right], dtype=np.float32)
    shape = rows.shape[-2:]
    patch = Patch(np.empty((image.shape[1], depth, *shape), np.float32), np.full((depth, *shape), UNLABELLED, np.uint8))
    if weight_box is not None:
        patch.weights = np.zeros((depth, *shape), np.float32)
    alike = rows.ndim == 2
    fixed = cv2.convertMaps(columns, rows, cv2.CV_16SC2) if alike else None
    for place, plane in enumerate(planes):
        xy, fraction = fixed if fixed is not None else cv2.convertMaps(columns[place], rows[place], cv2.CV_16SC2)
        for channel, source in enumerate(box[plane - low]):
            patch.image[channel, place] = cv2.remap(_two_wide(source), xy, fraction, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        if place in labelled:
            across, down = (columns, rows) if alike else (columns[place], rows[place])
            source = np.ascontiguousarray(mark_box[place - labelled[0]])
            patch.classes[place] = cv2.remap(source, across, down, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=UNLABELLED)
            if weight_box is not None and patch.weights is not None:
                source = _two_wide(np.ascontiguousarray(weight_box[place - labelled[0]]))
                patch.weights[place] = cv2.remap(source, xy, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
                patch.weights[place][patch.classes[place] == UNLABELLED] = 0
    return patch


def _through(image: Any, marks: Any, weights: Any, centre: tuple[float, float, float], field: Map, scale: Scale | None, zoom: Zoom) -> Patch:
    """Resample by a map that leaves the planes: those of the box are laid side by side, so that each voxel needs two looks into one picture."""
    import cv2

    places = field + np.asarray(centre, np.float32).reshape(3, 1, 1, 1)
    outside = np.zeros(places.shape[1:], bool)
    for axis, length in enumerate(marks.shape):
        outside |= (places[axis] < -0.5) | (places[axis] >= length - 0.5)
        places[axis] = _reflected(places[axis], length)
    z, rows, columns = places
    below = np.clip(np.floor(z), 0, max(0, marks.shape[0] - 2)).astype(np.int32)
    part = (z - below)[None]
    low, high = int(below.min()), min(int(below.max()) + 2, marks.shape[0])
    above = np.minimum(below + 1, high - 1) - low
    nearest = np.clip(np.rint(z), low, high - 1).astype(np.int32) - low
    below -= low
    (top, bottom), (left, right) = _reach(rows, marks.shape[1], zoom[0]), _reach(columns, marks.shape[2], zoom[1])
    planes, frame = slice(low, high), (slice(top, bottom), slice(left, right))
    tiles = _Tiles(high - low, bottom - top, right - left)
    rows -= np.float32(top)
    columns -= np.float32(left)
    box = _read(image, planes, *frame, scale, zoom)
    ahead = [[tiles.maps(plane[k], rows[k], columns[k]) for k in range(len(z))] for plane in (below, above)]
    patch = Patch(np.empty((image.shape[1], *z.shape), np.float32), np.empty(z.shape, np.uint8))
    for channel in range(image.shape[1]):
        picture = tiles.laid(box[:, channel])
        for k in range(len(z)):
            first, second = (cv2.remap(picture, *maps[k], cv2.INTER_CUBIC) for maps in ahead)
            patch.image[channel, k] = first + part[0, k] * (second - first)
    picture = tiles.laid(np.asarray(marks[(planes, *frame)]))
    for k in range(len(z)):
        patch.classes[k] = cv2.remap(picture, *tiles.places(nearest[k], rows[k], columns[k]), cv2.INTER_NEAREST)
    patch.classes[outside] = UNLABELLED
    if weights is not None:
        picture = tiles.laid(np.asarray(weights[(planes, *frame)], dtype=np.float32))
        patch.weights = np.empty(z.shape, np.float32)
        for k in range(len(z)):
            first, second = (cv2.remap(picture, *maps[k], cv2.INTER_LINEAR) for maps in ahead)
            patch.weights[k] = first + part[0, k] * (second - first)
        patch.weights[outside] = 0
    return patch


class _Tiles:
    """Planes laid beside and below each other in one picture, each within a mirrored border that cubic interpolation may reach into."""

    def __init__(self, planes: int, height: int, width: int) -> None:
        self._height, self._width = height + 2 * _MARGIN, width + 2 * _MARGIN
        self._down = max(1, min(planes, _LONGEST // self._height))
        self._across = -(-planes // self._down)

    def laid(self, planes: NDArray[Any]) -> NDArray[Any]:
        """Return the picture of planes ``(n, Y, X)``."""
        import cv2

        picture = np.empty((self._down * self._height, self._across * self._width), planes.dtype)
        for number, plane in enumerate(planes):
            y, x = number % self._down * self._height, number // self._down * self._width
            edge = cv2.BORDER_REFLECT_101 if min(plane.shape) > _MARGIN else cv2.BORDER_REPLICATE
            wide = cv2.copyMakeBorder(np.ascontiguousarray(plane), _MARGIN, _MARGIN, _MARGIN, _MARGIN, edge)
            picture[y : y + self._height, x : x + self._width] = wide
        return picture

    def places(self, plane: NDArray[np.int32], rows: NDArray[np.float32], columns: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return where pixels ``(plane, row, column)`` lie in the picture: columns, then rows, as OpenCV wants them."""
        down = (plane % self._down * self._height + _MARGIN).astype(np.float32)
        across = (plane // self._down * self._width + _MARGIN).astype(np.float32)
        return columns + across, rows + down

    def maps(self, plane: NDArray[np.int32], rows: NDArray[np.float32], columns: NDArray[np.float32]) -> tuple[Any, Any]:
        """`places` in the form that OpenCV interpolates by."""
        import cv2

        first, second = cv2.convertMaps(*self.places(plane, rows, columns), cv2.CV_16SC2)
        return first, second


def _read(image: Any, planes: slice, rows: slice, columns: slice, scale: Scale | None, zoom: Zoom) -> NDArray[np.float32]:
    """A box ``(n, C, y, x)`` of the image as float32, normalised and filled by its whole planes, blurred where the patch has larger pixels."""
    box = np.ascontiguousarray(np.asarray(image[planes, :, rows, columns]), dtype=np.float32)
    if scale is not None:
        levels = scale(range(planes.start, planes.stop))
        if not np.isnan(levels.fill).all():
            box = np.where(np.isfinite(box), box, levels.fill[:, :, None, None])
        box = box - levels.mean[:, :, None, None]
        box *= (1 / levels.deviation)[:, :, None, None]
    return softened(box.reshape(-1, *box.shape[2:]), zoom).reshape(box.shape)


def _two_wide(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """The plane, its only row or column doubled: OpenCV never finds its way out of mirroring a single one."""
    height, width = plane.shape
    return plane if min(height, width) > 1 else np.pad(plane, ((0, max(0, 2 - height)), (0, max(0, 2 - width))), mode="edge")


def _reach(places: NDArray[np.float32], length: int, factor: float) -> tuple[int, int]:
    """The part of an axis that places on it need, with what cubic interpolation and the blur before it reach."""
    margin = _MARGIN + radius_px(factor)
    first = min(max(0, int(places.min()) - margin), length - 1)
    return first, max(min(length, int(places.max()) + margin + 1), first + 1)


def _reflected(places: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Places mirrored into ``0 … length - 1``; the ends are not repeated."""
    if length == 1:
        return np.zeros_like(places)
    period = np.float32(2 * (length - 1))
    folded = np.abs(places) % period
    mirrored: NDArray[np.float32] = np.minimum(folded, period - folded)
    return mirrored
