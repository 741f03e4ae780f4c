"""Ultrasound of a body with a dark, bright-walled ventricle, in fluid: a phantom made by code, with truth.

The picture is made as a curved probe makes it. Random scatterers and mirror-like surfaces are blurred by a point-spread function that
oscillates along the beam and is widest away from the focus; the envelope of that echo is compressed logarithmically and converted from
beams to pixels. Speckle, surfaces that are bright only where they face the probe, shadow behind bone, brightening behind fluid and noise
that grows with depth are not drawn: they follow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import Labels
from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import SAMPLES
from napari_segtool.core.stack import Stack
from napari_segtool.io.samples._fields import Array
from napari_segtool.io.samples._scene import GRID_MM, HALF_ANGLE, HEIGHT_MM, PROBE_RADIUS_MM, TOP_MM, WIDTH_MM, Scene, Slice

STEP_UM = 500.0
CLASS_NAMES = ("background", "body", "ventricle")
_BEAMS, _PER_MM = 192, 14.0
_PULSES = ((2.9, 0.20), (3.9, 0.17))
"""Waves per mm of echo, and length of the pulse in mm: two frequencies, averaged, as machines do to calm the speckle."""
_FOCUS_MM, _FOCUS_DEPTH_MM = 36.0, 16.0
_NARROW, _WIDE = 1.0, 2.0
"""Width of a beam at the focus and far from it, in beams."""
_DYNAMIC_RANGE_DB, _WHITE, _CONTRAST = 62.0, 11.0, 1.25
_GAIN_DB_PER_MM, _NOISE = 0.22, 1.4e-3


class UltrasoundParams(Params):
    """Settings of the ultrasound sample."""

    seed: int = param(0, "Seed of the random numbers; each gives another body.", ge=0, le=2**31 - 1)
    size_px: int = param(320, "Height of a picture; the field of view stays 64 × 77 mm.", unit="px", ge=64, le=640)
    slices: int = param(8, "Number of slices, 0.5 mm apart.", ge=1, le=40)


@SAMPLES.register(
    "ultrasound",
    title="Ultrasound (body with ventricle)",
    summary="A sweep of a curved probe, 0.2 × 0.2 × 0.5 mm: speckle, shadow, a body with a dark, bright-walled ventricle.",
    params=UltrasoundParams,
    family="ultrasound",
    dimensions=(3,),
)
def ultrasound(params: UltrasoundParams) -> tuple[Stack, Labels]:
    """Make the stack and its truth.

    Returns
    -------
    tuple of Stack and Labels
        uint8 images with axes ``ZYX`` and spacing 500, 200, 200 µm at the usual size; truth of the same shape: 0 background, 1 body,
        2 ventricle.

    Examples
    --------
    >>> stack, truth = ultrasound(UltrasoundParams(size_px=64, slices=2))
    >>> stack.shape, stack.spacing_um, np.unique(truth.data).tolist()
    ((2, 64, 77), (500.0, 1000.0, 1000.0), [0, 1, 2])
    """
    random = np.random.default_rng(params.seed)
    pixel_mm = HEIGHT_MM / params.size_px
    shape = params.size_px, round(WIDTH_MM / pixel_mm)
    scene = Scene(random, params.slices)
    probe = _Probe(scene, random, params.slices)
    image = np.empty((params.slices, *shape), np.uint8)
    truth = np.empty((params.slices, *shape), np.uint8)
    for index in range(params.slices):
        seen = scene.at((index - (params.slices - 1) / 2) * STEP_UM / 1000)
        image[index] = probe.picture(seen, index, shape)
        body, ventricle = (_resized(field, shape) for field in (seen.body, seen.ventricle))
        truth[index] = np.where(ventricle > 0, 2, body > 0)
    return Stack(image, "ZYX", (STEP_UM, pixel_mm * 1000, pixel_mm * 1000), "ultrasound"), Labels(truth, "ZYX", CLASS_NAMES)


def _resized(field: Array, shape: tuple[int, int]) -> Array:
    import cv2

    return np.asarray(cv2.resize(field, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


class _Probe:
    """A curved probe over the scene: its beams, the scatterers they meet, and the noise of its amplifier."""

    def __init__(self, scene: Scene, random: np.random.Generator, slices: int) -> None:
        from scipy import ndimage

        self._random = random
        self._depth = (np.arange(round((HEIGHT_MM + 1) * _PER_MM)) / _PER_MM).astype(np.float32)
        self._angle = np.linspace(-HALF_ANGLE, HALF_ANGLE, _BEAMS, dtype=np.float32)
        away = PROBE_RADIUS_MM + self._depth[:, None]
        self._map = (
            ((away * np.sin(self._angle) + WIDTH_MM / 2) / GRID_MM).astype(np.float32),
            ((away * np.cos(self._angle) - PROBE_RADIUS_MM - TOP_MM) / GRID_MM).astype(np.float32),
        )
        # the beam is thick in elevation: neighbouring slices share scatterers
        white = random.standard_normal((slices + 4, len(self._depth), _BEAMS)).astype(np.float32)
        thick = ndimage.gaussian_filter1d(white, 0.9, axis=0)[2:-2]
        self._scatterers = thick / thick.std()
        reach = np.arange(-12, 13) / _PER_MM
        self._pulses = [np.exp(-0.5 * (reach / length) ** 2) * np.cos(2 * np.pi * waves * reach) / length for waves, length in _PULSES]
        self._blur = np.clip(np.abs(self._depth - _FOCUS_MM) / _FOCUS_DEPTH_MM - 0.4, 0, 1)[:, None]

    def picture(self, seen: Slice, index: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """One frame as the screen shows it."""
        import cv2

        decibel = self._compressed(self._envelope(seen, index))
        y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32) * np.float32(HEIGHT_MM / shape[0])
        y, x = y + np.float32(PROBE_RADIUS_MM + TOP_MM), x - np.float32(WIDTH_MM / 2)
        beam = (np.arctan2(x, y) / HALF_ANGLE + 1) / 2 * (_BEAMS - 1)
        sample = (np.hypot(x, y) - np.float32(PROBE_RADIUS_MM)) * np.float32(_PER_MM)
        frame = cv2.remap(
            decibel, np.asarray(beam, np.float32), np.asarray(sample, np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
        )
        return np.asarray(np.clip(np.rint(frame), 0, 255), np.uint8)

    def _along_beams(self, field: Array) -> Array:
        import cv2

        return np.asarray(cv2.remap(field, *self._map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)

    def _envelope(self, seen: Slice, index: int) -> Array:
        from scipy import ndimage

        source = self._scatterers[index] * self._along_beams(seen.scatter)
        for behind, strength, thickness_mm in seen.surfaces:
            height = self._along_beams(behind)
            steep, across = np.gradient(height)
            steep = steep * _PER_MM
            across = across * (_BEAMS - 1) / (2 * HALF_ANGLE * (PROBE_RADIUS_MM + self._depth[:, None]))
            slope = np.hypot(steep, across) + 1e-3
            facing = (np.abs(steep) / slope) ** 10
            mirror = np.exp(-((height / slope / thickness_mm) ** 2)) * facing
            source = source + self._along_beams(strength) * mirror * (0.75 + 0.35 * self._scatterers[index])
        loss = np.cumsum(self._along_beams(seen.loss), axis=0) / _PER_MM
        loss = ndimage.gaussian_filter1d(loss, 2.0, axis=1)
        source = source * 10 ** (-loss / 20)
        sharp = ndimage.gaussian_filter1d(source, _NARROW, axis=1) * np.sqrt(_NARROW)
        broad = ndimage.gaussian_filter1d(source, _WIDE, axis=1) * np.sqrt(_WIDE)
        source = sharp * (1 - self._blur) + broad * self._blur
        late = round(7.5 * _PER_MM)
        source[late:] += 0.012 * source[:-late]  # what bounces once more between skin and probe
        return np.asarray(sum(self._received(source, pulse) for pulse in self._pulses) / len(self._pulses), np.float32)

    def _received(self, source: Array, pulse: NDArray[np.float64]) -> Array:
        """Envelope of the echo of one pulse, amplified more the later it comes, noise included."""
        from scipy import ndimage, signal

        echo = ndimage.convolve1d(source, pulse, axis=0) / 5
        gain = 10 ** (_GAIN_DB_PER_MM * self._depth[:, None] / 20)
        noise = _NOISE * self._random.standard_normal(echo.shape)
        return np.asarray(np.abs(signal.hilbert((echo + noise) * gain, axis=0)), np.float32)

    def _compressed(self, envelope: Array) -> Array:
        level = 20 * np.log10(envelope / _WHITE + 1e-6)
        grey = 255 * np.clip(1 + level / _DYNAMIC_RANGE_DB, 0, 1) ** _CONTRAST
        return np.asarray(grey, np.float32)
