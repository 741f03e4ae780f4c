"""The tissue of the EM sample: cells that fill space, wander with depth, and hold mitochondria."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_segtool.io.samples._fields import Array, knots_of, resampled

MEMBRANE_PX = 3.2
"""Half the thickness of two membranes lying together."""
_COARSE = 2
"""Cells are laid out on every second pixel; borders are smooth enough to be filled in."""
_LONGEST_SHIFT_PX = 22.0
_WARP = ((9.0, 90.0), (4.8, 30.0), (1.5, 12.0))
"""Amplitude and step of the displacement, coarse to fine, in px."""


@dataclass(frozen=True)
class Cells:
    """Ellipses at section 0: centre and radius in px, stretch and direction, and how they move with depth."""

    centre: Array
    radius: Array
    stretch: Array
    angle: Array
    drift: Array
    wobble: Array
    phase: Array

    def at(self, depth: float) -> tuple[Array, Array]:
        """Centres ``(N, 2)`` and radii at a depth counted in sections."""
        turn = 0.35 * depth + self.phase
        swing = np.stack([np.sin(turn), np.cos(1.3 * turn)], axis=1) * self.wobble[:, None]
        breath = 1 + 0.12 * np.sin(0.27 * depth + 2 * self.phase)
        return (self.centre + self.drift * depth + swing).astype(np.float32), (self.radius * breath).astype(np.float32)


@dataclass(frozen=True)
class Mitochondria:
    """The cell each lies in, its offset from that cell's centre, half axes, direction, middle section, and sections to either end."""

    cell: NDArray[np.intp]
    offset: Array
    axes: Array
    angle: Array
    middle: Array
    reach: Array


def packed_cells(random: np.random.Generator, size: int, slices: int) -> Cells:
    """Pack ellipses of very different size, large ones first, over the picture and a margin that feeds cells in as they wander."""
    margin = 45.0 + 1.5 * slices
    wanted = np.sort(np.clip(random.lognormal(2.5, 0.72, int((size + 2 * margin) ** 2 / 330)), 6.5, 66))[::-1]
    kept = np.empty((len(wanted), 3), np.float32)
    count = 0
    for radius in wanted:
        for y, x in random.uniform(-margin, size + margin, (14, 2)):
            others = kept[:count]
            if ((others[:, 0] - y) ** 2 + (others[:, 1] - x) ** 2 > (0.92 * (others[:, 2] + radius)) ** 2).all():
                kept[count] = y, x, radius
                count += 1
                break
    return Cells(
        centre=kept[:count, :2],
        radius=kept[:count, 2],
        stretch=np.exp(random.normal(0, 0.3, count)).astype(np.float32),
        angle=random.uniform(0, np.pi, count).astype(np.float32),
        drift=random.normal(0, 0.9, (count, 2)).astype(np.float32),
        wobble=random.uniform(0.5, 4.0, count).astype(np.float32),
        phase=random.uniform(0, 2 * np.pi, count).astype(np.float32),
    )


def grown_mitochondria(random: np.random.Generator, cells: Cells, slices: int) -> Mitochondria:
    """Give large cells one mitochondrion, the largest two, on opposite sides."""
    cell, side = [], []
    for index, radius in enumerate(cells.radius):
        if radius > 20 and random.random() < 0.85:
            cell += [index] * (2 if radius > 40 else 1)
            side += [1.0, -1.0][: 2 if radius > 40 else 1]
    count, room = len(cell), cells.radius[cell]
    short = np.clip(room * random.uniform(0.36, 0.52, count), 10, 20)
    way = random.uniform(0, 2 * np.pi, len(cells.radius))[cell]
    off = room * random.uniform(0.35, 0.55, count) * np.array(side)
    return Mitochondria(
        cell=np.array(cell, np.intp),
        offset=np.stack([off * np.sin(way), off * np.cos(way)], axis=1).astype(np.float32),
        axes=np.stack([short * random.uniform(1.1, 2.0, count), short], axis=1).astype(np.float32),
        angle=random.uniform(0, np.pi, count).astype(np.float32),
        middle=random.uniform(-1, slices + 1, count).astype(np.float32),
        reach=random.uniform(5, 14, count).astype(np.float32),
    )


class Warp:
    """Smooth displacement of the whole tissue that changes with depth, and the jitter of sections that were cut and laid down by hand."""

    def __init__(self, random: np.random.Generator, size: int, slices: int) -> None:
        coarse = (-(-size // _COARSE), -(-size // _COARSE))
        self._fields = []
        for amplitude, step_px in _WARP:
            every = 4 if step_px > 50 else 2
            keys = random.standard_normal((2, slices // every + 3, *knots_of(coarse, step_px / _COARSE))).astype(np.float32)
            self._fields.append((amplitude, every, resampled(keys, coarse, step_px / _COARSE)))
        self._jitter = random.normal(0, 1.0, (slices, 2)).astype(np.float32)

    def at(self, section: int, depth: float) -> Array:
        """Displacement ``(2, Y, X)`` in px on the coarse grid, at a depth inside a section."""
        total = np.broadcast_to(self._jitter[section][:, None, None], self._fields[0][2].shape[:1] + self._fields[0][2].shape[2:])
        for amplitude, every, field in self._fields:
            low, part = divmod(max(0.0, section + depth + 0.5) / every, 1)
            total = total + amplitude * (field[:, int(low)] * (1 - part) + field[:, int(low) + 1] * part)
        return np.asarray(np.clip(total, -_LONGEST_SHIFT_PX, _LONGEST_SHIFT_PX), np.float32)


class Tissue:
    """One depth: whose cell each pixel is, how far its border lies, and how deep inside a mitochondrion it is.

    Attributes
    ----------
    cell
        Index of the cell, shape ``(Y, X)``.
    border_px
        Distance to the nearest border of a cell.
    inside_px
        Depth inside a mitochondrion; negative outside, very negative far off.
    crista
        Wave of the folds inside mitochondria, -1 to 1.
    """

    def __init__(self, section: int, depth: float, size: int, cells: Cells, mitochondria: Mitochondria, warp: Warp) -> None:
        import cv2

        shift = warp.at(section, depth)
        start = (_COARSE - 1) / 2
        y, x = np.mgrid[start : size + start : _COARSE, start : size + start : _COARSE].astype(np.float32) + shift
        centres, radii = cells.at(section + depth)
        gap, coarse_cell = _territories(y, x, centres, radii, cells)
        slope = np.hypot(*np.gradient(gap)) / _COARSE
        border = gap / np.clip(slope, 0.8, 2.0)
        whole = len(gap) * _COARSE

        def fine(field: Array) -> Array:
            return np.asarray(cv2.resize(field, (whole, whole), interpolation=cv2.INTER_LINEAR)[:size, :size], np.float32)

        self.border_px = fine(border)
        self.cell = np.repeat(np.repeat(coarse_cell, _COARSE, 0), _COARSE, 1)[:size, :size]
        self.inside_px = np.full((size, size), -99, np.float32)
        self.crista = np.zeros((size, size), np.float32)
        place = fine(y), fine(x)
        for index, home in enumerate(mitochondria.cell):
            taper = 1 - ((section + depth - mitochondria.middle[index]) / mitochondria.reach[index]) ** 2
            if taper > 0.1:
                self._put(mitochondria, index, centres[home] + mitochondria.offset[index], float(np.sqrt(taper)), *place)

    def _put(self, mitochondria: Mitochondria, index: int, centre: Array, scale: float, y: Array, x: Array) -> None:
        along, across = mitochondria.axes[index] * scale
        window = _window(centre, 1.3 * along + 12, len(y), 1)
        if not self.cell[window].size:
            return
        cos, sin = np.cos(mitochondria.angle[index]), np.sin(mitochondria.angle[index])
        u = (y[window] - centre[0]) * sin + (x[window] - centre[1]) * cos
        v = (y[window] - centre[0]) * cos - (x[window] - centre[1]) * sin
        v = v + 0.007 * u**2 * np.sign(mitochondria.offset[index, 0])
        inside = (1 - np.hypot(u / along, v / across)) * across
        inside = np.minimum(inside, self.border_px[window] - 2.3 * MEMBRANE_PX)
        inside = np.where(self.cell[window] == mitochondria.cell[index], inside, -99)
        take = inside > self.inside_px[window]
        folds = np.sin(2 * np.pi * (v + 0.3 * u + 1.6 * np.sin(u / 6 + index)) / 7.2)
        self.crista[window] = np.where(take, folds, self.crista[window])
        self.inside_px[window] = np.where(take, inside, self.inside_px[window])


def _territories(y: Array, x: Array, centres: Array, radii: Array, cells: Cells) -> tuple[Array, NDArray[np.int32]]:
    """Give each pixel to the ellipse it is nearest to; also how much farther the next one is, 0 at the border."""
    first = np.full(y.shape, 50, np.float32)
    second = np.full(y.shape, 60, np.float32)
    owner = np.zeros(y.shape, np.int32)
    for index, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
        stretch = cells.stretch[index]
        window = _window(centre, radius * max(stretch, 1 / stretch) + 34, len(y), _COARSE)
        down, right = y[window] - centre[0], x[window] - centre[1]
        if not down.size:
            continue
        cos, sin = np.cos(cells.angle[index]), np.sin(cells.angle[index])
        away = np.hypot((down * sin + right * cos) / stretch, (down * cos - right * sin) * stretch) - radius
        before, after = first[window], second[window]
        nearer = away < before
        second[window] = np.where(nearer, before, np.minimum(after, away))
        owner[window] = np.where(nearer, index, owner[window])
        first[window] = np.minimum(before, away)
    return second - first, owner


def _window(centre: Array, reach_px: float, size: int, every: int) -> tuple[slice, slice]:
    reach = reach_px + _LONGEST_SHIFT_PX
    low, high = np.clip((centre - reach) // every, 0, size), np.clip((centre + reach) // every + 1, 0, size)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
