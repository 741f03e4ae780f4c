"""The scene of the ultrasound sample: layers of tissue, a body with a ventricle, and a bone, in millimetres under the probe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_segtool.io.samples._fields import Array, knots_of, resampled

HEIGHT_MM, WIDTH_MM = 64.0, 76.8
GRID_MM = 0.2
PROBE_RADIUS_MM, HALF_ANGLE = 26.0, 0.47
TOP_MM = PROBE_RADIUS_MM * (np.cos(HALF_ANGLE) - 1)
"""Where the picture begins: at the ends of the probe's face, whose middle touches at 0."""
SHAPE = (round(HEIGHT_MM / GRID_MM), round(WIDTH_MM / GRID_MM))


@dataclass(frozen=True)
class Slice:
    """One slice on the grid; distances in mm, positive inside.

    Attributes
    ----------
    body, ventricle
        Depth inside the body and the ventricle, about the distance to their surface.
    surfaces
        For each surface that reflects like a mirror: depth behind it, its strength, and its thickness in mm.
    scatter
        Amplitude of random scatterers.
    loss
        Attenuation there and back, in dB per mm.
    """

    body: Array
    ventricle: Array
    surfaces: tuple[tuple[Array, Array, float], ...]
    scatter: Array
    loss: Array


class Scene:
    """Everything that stays the same while the probe moves from slice to slice."""

    def __init__(self, random: np.random.Generator, slices: int) -> None:
        self._random, self._slices = random, slices
        y, x = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float32) * np.float32(GRID_MM)
        self.y, self.x = y + np.float32(TOP_MM), x - np.float32(WIDTH_MM / 2)
        self.deep = np.hypot(self.x, self.y + np.float32(PROBE_RADIUS_MM)) - np.float32(PROBE_RADIUS_MM)  # the skin bends to the probe
        self._fields: dict[str, tuple[Array, Array]] = {}
        self._tilt = random.normal(0.0, 0.12)
        self._centre = 33.5 + random.normal(0, 0.8), random.normal(0, 2.0)
        self._axes = 15.5 * random.uniform(0.95, 1.05), 22.0 * random.uniform(0.95, 1.05)
        self._side = float(random.choice((-1.0, 1.0)))
        self._bone = 19.8 + random.normal(0, 0.7), self._side * -13.0 + random.normal(0, 1.0)

    def noise(self, name: str, z_mm: float, step_mm: tuple[float, float], period_mm: float = 4.0) -> Array:
        """A random field of unit variance, smooth over ``step_mm`` down and across, that changes over ``period_mm`` from slice to slice."""
        if name not in self._fields:
            stretch = step_mm[1] / step_mm[0]
            shape = SHAPE[0], round(SHAPE[1] / stretch)
            knots = knots_of(shape, step_mm[0] / GRID_MM)
            made = resampled(self._random.standard_normal((2, *knots)).astype(np.float32), shape, step_mm[0] / GRID_MM)
            columns = np.minimum(np.arange(SHAPE[1]) / stretch, shape[1] - 1.001)
            low, part = columns.astype(int), np.float32(columns % 1)
            wide = made[..., low] * (1 - part) + made[..., np.minimum(low + 1, shape[1] - 1)] * part
            self._fields[name] = wide[0], wide[1]
        turn = z_mm / period_mm
        return np.asarray(self._fields[name][0] * np.cos(turn) + self._fields[name][1] * np.sin(turn), np.float32)

    def at(self, z_mm: float) -> Slice:
        """The slice at a distance from the middle one."""
        grain = self.noise("grain", z_mm, (0.9, 1.6), 1.5)
        body, ventricle = self._body(z_mm), self._ventricle(z_mm)
        ventricle = np.minimum(ventricle, body - 2.2)
        bone = 1.1 * (1 - np.hypot((self.y - self._bone[0] + 0.25 * (self.x - self._bone[1])) / 1.3, (self.x - self._bone[1]) / 4.6))
        roof = 13.5 + 1.2 * self.noise("roof", z_mm, (13, 13))[60][None]
        floor = 53.5 + 1.6 * self.noise("floor", z_mm, (13, 13))[250][None] - 0.008 * self.x**2

        fibres = self.noise("fibres", z_mm, (0.7, 9.0), 3.0)
        wall = np.where(self.deep < 1.2, 0.9, np.where(self.deep < 6.2, 0.16, 0.3)) * np.exp(0.55 * fibres + 0.35 * grain)
        outside = np.where(self.deep < roof, wall, np.where(self.y > floor, 0.3 * np.exp(0.4 * self.noise("placenta", z_mm, (4, 6)) + 0.3 * grain), 0.004))
        gyri = np.exp(-((self.noise("gyri", z_mm, (4, 5), 6) / 0.16) ** 2)) * np.exp(-(((body - 4.5) / 3.0) ** 2))
        lobes = (0.15 + 0.28 * gyri) * np.exp(0.45 * self.noise("lobes", z_mm, (5, 6)) + 0.3 * grain)
        rim = np.exp(-(((ventricle + 0.55) / 0.6) ** 2))
        plexus = np.clip(self.noise("plexus", z_mm, (4, 5)) - 0.9, 0, 1) * np.exp(-np.clip(-ventricle - 1, 0, None) / 5)
        skull = np.exp(-(((body - 0.9) / 0.7) ** 2))
        inside = np.where(ventricle > 0, 0.006, lobes + 0.75 * rim + 0.5 * plexus) + 0.85 * skull
        scatter = np.where(body > 0, inside, outside)
        scatter = np.where(bone > 0, 1.3, scatter)

        fluid = ((body <= 0) & (self.deep >= roof) & (self.y <= floor)) | (ventricle > 0)
        loss = np.where(fluid, 0.01, 0.30) + 1.1 * skull * (body > -1) + np.where(bone > 0, 12.0, 0)
        strength = np.ones_like(scatter)
        patchy = np.clip(0.6 + 0.6 * self.noise("patchy", z_mm, (4, 6)), 0.08, None)
        strands = np.clip(self.noise("strands", z_mm, (3.0, 16.0), 5.0), 0, None) * (self.deep < roof)
        surfaces = (
            (self.deep - roof, 9.0 * patchy, 0.10),
            (self.deep - 6.2 - 0.7 * self.noise("fascia", z_mm, (9, 9))[30][None], 13.0 * patchy, 0.10),
            (self.deep - 1.3, 7.0 * patchy, 0.10),
            (np.asarray(1.2 * fibres, np.float32), 3.5 * strands, 0.08),
            (body, 20.0 * patchy, 0.12),
            (ventricle, 16.0 * patchy, 0.10),
            (self.y - floor, 14.0 * patchy, 0.12),
            (bone, 45.0 * strength, 0.12),
        )
        mirrors = tuple((np.asarray(behind, np.float32), np.asarray(bright, np.float32), thick_mm) for behind, bright, thick_mm in surfaces)
        return Slice(body, ventricle, mirrors, np.asarray(scatter, np.float32), np.asarray(loss, np.float32))

    def _body(self, z_mm: float) -> Array:
        taper = np.sqrt(max(0.35, 1 - (z_mm / 22.0) ** 2))
        y, x = self._turned(self._centre[0], self._centre[1] + 0.25 * z_mm)
        high, wide = self._axes[0] * taper, self._axes[1] * taper
        round_ = np.hypot(y / high, (x - 0.010 * y**2) / wide)
        return np.asarray((1 - round_) * high + 0.7 * self.noise("outline", z_mm, (11, 11), 8), np.float32)

    def _ventricle(self, z_mm: float) -> Array:
        """A horn and a body, joined smoothly."""
        y, x = self._turned(self._centre[0], self._centre[1] + 0.25 * z_mm)
        x = x * self._side
        taper = np.sqrt(max(0.3, 1 - (z_mm / 15.0) ** 2))
        first = (1 - np.hypot((y + 2.2 + 0.035 * (x + 4) ** 2 - 0.12 * z_mm) / 3.9, (x + 5.0) / 9.0) / taper) * 3.9
        second = (1 - np.hypot((y - 4.0 + 0.5 * (x - 6)) / 2.8, (x - 6.0 - 0.3 * z_mm) / 5.6) / taper) * 2.8
        joined = 0.9 * np.log(np.exp(first / 0.9) + np.exp(second / 0.9))
        return np.asarray(joined + 0.4 * self.noise("horn", z_mm, (5, 5), 5) - 0.3, np.float32)

    def _turned(self, down: float, right: float) -> tuple[Array, Array]:
        cos, sin = np.float32(np.cos(self._tilt)), np.float32(np.sin(self._tilt))
        y, x = self.y - np.float32(down), self.x - np.float32(right)
        return y * cos - x * sin, y * sin + x * cos
