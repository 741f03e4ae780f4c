"""Serial-section electron microscopy of neuropil: membranes, mitochondria, vesicles; made by code, with truth.

The cells are a packing of ellipses of very different size that wander from section to section; every place belongs to the ellipse it is
nearest to, so borders are curved and the tissue has no gaps. A section is thick (50 nm), so the picture is the mean over its depth: where
a border runs obliquely it smears out, as in the microscope.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import Labels
from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import SAMPLES
from napari_segtool.core.stack import Stack
from napari_segtool.io.samples._fields import Array, ring, smooth_noise, stamped
from napari_segtool.io.samples._neuropil import MEMBRANE_PX, Cells, Mitochondria, Tissue, Warp, grown_mitochondria, packed_cells

SPACING_UM = (0.05, 0.004, 0.004)
CLASS_NAMES = ("membrane", "cytoplasm", "mitochondrion")
_DEPTHS = (-0.3, 0.0, 0.3)
_CYTOPLASM, _MEMBRANE, _MATRIX = 153.0, 40.0, 106.0
_PARTICLES = (
    # radius, width, core in px; how many for each pixel; only where crowded; darkness
    (4.4, 1.25, 0.0, 0.0075, True, 52.0),  # synaptic vesicles, 35 nm
    (6.4, 1.6, 0.9, 0.0006, True, 55.0),  # dense-core vesicles
    (2.3, 1.15, 0.0, 0.0025, False, 36.0),  # microtubules
    (0.0, 1.9, 0.0, 0.012, False, 30.0),  # ribosomes and granules
)


class EmParams(Params):
    """Settings of the electron-microscopy sample."""

    seed: int = param(0, "Seed of the random numbers; each gives other tissue.", ge=0, le=2**31 - 1)
    size_px: int = param(256, "Width and height of a section.", unit="px", ge=64, le=1024)
    slices: int = param(16, "Number of sections.", ge=1, le=128)


@SAMPLES.register(
    "em",
    title="Electron microscopy (neuropil)",
    summary="Serial sections of nerve tissue, 4 × 4 × 50 nm: dark membranes, mitochondria, vesicles.",
    params=EmParams,
    family="electron microscopy",
    dimensions=(3,),
)
def em(params: EmParams) -> tuple[Stack, Labels]:
    """Make the stack and its truth.

    Returns
    -------
    tuple of Stack and Labels
        uint8 images with axes ``ZYX`` and spacing 50, 4, 4 nm; truth of the same shape: 0 membrane, 1 cytoplasm, 2 mitochondrion.

    Examples
    --------
    >>> stack, truth = em(EmParams(size_px=96, slices=2))
    >>> stack.shape, np.unique(truth.data).tolist()
    ((2, 96, 96), [0, 1, 2])
    """
    random = np.random.default_rng(params.seed)
    size, slices = params.size_px, params.slices
    cells = packed_cells(random, size, slices)
    mitochondria = grown_mitochondria(random, cells, slices)
    warp = Warp(random, size, slices)
    image = np.empty((slices, size, size), np.uint8)
    truth = np.empty((slices, size, size), np.uint8)
    for section in range(slices):
        image[section], truth[section] = _section(random, section, size, cells, mitochondria, warp)
    return Stack(image, "ZYX", SPACING_UM, "em"), Labels(truth, "ZYX", CLASS_NAMES)


def _section(
    random: np.random.Generator, section: int, size: int, cells: Cells, mitochondria: Mitochondria, warp: Warp
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One section as the microscope shows it, and its truth at mid-depth."""
    grey = np.zeros((size, size), np.float32)
    uptake = 1 + 0.2 * smooth_noise(random, (size, size), 45)
    density = np.clip(smooth_noise(random, (size, size), 22) - 1.3, 0, 1)
    truth = np.zeros((size, size), np.uint8)
    for depth in _DEPTHS:
        tissue = Tissue(section, depth, size, cells, mitochondria, warp)
        grey += _stained(tissue, uptake, density) / len(_DEPTHS)
        if depth == 0:
            truth[:] = np.where(tissue.border_px < MEMBRANE_PX, 0, np.where(tissue.inside_px > 0, 2, 1))
            contents = _contents(random, tissue)
    return _recorded(random, grey + contents), truth


def _stained(tissue: Tissue, uptake: Array, density: Array) -> Array:
    """Grey values of membranes, mitochondria and cytoplasm, smooth as yet."""
    grey = _CYTOPLASM + 9 * np.sin(tissue.cell * 2.4).astype(np.float32)
    deep = tissue.inside_px
    folds = np.clip((deep - 3.5) / 2, 0, 1) * np.clip(tissue.crista + 0.1, -0.7, 1)
    grey = grey + (_MATRIX - 34 * folds - grey) * np.clip(deep / 2, 0, 1)
    grey = grey - 50 * np.exp(-(((deep - 1.0) / 1.3) ** 2)) - 24 * np.exp(-(((deep - 4.4) / 1.0) ** 2))
    dark = np.exp(-((tissue.border_px / 3.1) ** 3)) * uptake
    dark = dark + 0.9 * density * np.exp(-((tissue.border_px / 7) ** 2))  # synapses: dense stuff along the membrane
    return np.asarray(grey + (_MEMBRANE - grey) * np.clip(dark, 0, 1), np.float32)


def _contents(random: np.random.Generator, tissue: Tissue) -> Array:
    """What floats in the cytoplasm, added to its grey values: vesicles, granules, microtubules, reticulum; and texture everywhere."""
    shape = (len(tissue.cell), len(tissue.cell))
    free = (tissue.border_px > 8) & (tissue.inside_px < -4)
    crowd = np.clip(np.sin(tissue.cell * 5.1) + 0.45, 0.06, None) * np.clip(0.6 + 0.6 * smooth_noise(random, shape, 30), 0, None)
    total = 9.5 * smooth_noise(random, shape, 4.2) + 5.0 * smooth_noise(random, shape, 10)
    for radius, width, core, per_pixel, crowded, darkness in _PARTICLES:
        places = np.argwhere((random.random(shape) < per_pixel * (crowd if crowded else 1.0)) & free)
        total -= darkness * stamped(shape, places, random.uniform(0.4, 1.15, len(places)), ring(radius, width, core))
    field = smooth_noise(random, shape, 17)
    away = np.abs(field) / np.clip(np.hypot(*np.gradient(field)), 0.02, None)
    total -= 70 * np.exp(-(((away - 2.6) / 1.2) ** 2)) * np.clip(smooth_noise(random, shape, 26) - 0.8, 0, 1) * free
    return np.asarray(total, np.float32)


def _recorded(random: np.random.Generator, grey: Array) -> NDArray[np.uint8]:
    """What the camera makes of it: blur, noise, uneven light, dust, and contrast that changes from section to section."""
    import cv2

    shape = grey.shape[0], grey.shape[1]
    sharp = cv2.GaussianBlur(grey, (0, 0), 0.7)
    grain = 42 * cv2.GaussianBlur(random.standard_normal(shape).astype(np.float32), (0, 0), 0.72)
    shade = 10 * smooth_noise(random, shape, 110)
    seen = 126 + (sharp + grain + shade - 126) * random.normal(1.03, 0.05) + random.normal(0, 6)
    dust = np.argwhere(random.random(shape) < 1.2 / (shape[0] * shape[1]))
    seen = seen + stamped(shape, dust, random.uniform(40, 100, len(dust)), ring(0.0, random.uniform(1.5, 4.0)))
    return np.asarray(np.clip(np.rint(seen), 0, 255), np.uint8)
