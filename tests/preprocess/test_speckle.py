"""Lee and SRAD against their formulas, written out plainly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from napari_segtool.api import apply_filter
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._noise import speckle_steps
from napari_segtool.preprocess.lee import lee_steps
from napari_segtool.preprocess.srad import srad_steps


def finished(steps) -> np.ndarray:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def speckled(shape: tuple[int, ...], variation: float = 0.25) -> np.ndarray:
    """Two halves, 0.25 and 0.75, times speckle; float32."""
    clean = np.full(shape, 0.25)
    clean[..., shape[-1] // 2 :] = 0.75
    looks = 1 / variation**2
    return (clean * np.random.default_rng(5).gamma(looks, 1 / looks, shape)).astype(np.float32)


@pytest.mark.parametrize("reach", [(0, 3, 3), (1, 2, 3)])
def test_lee_is_the_formula_of_the_paper(reach):
    values = speckled((7, 30, 32))
    found = finished(lee_steps(values, reach, 0.25))
    size = [2 * r + 1 for r in reach]
    mean = uniform_filter(values.astype(float), size)
    variance = uniform_filter(values.astype(float) ** 2, size) - mean**2
    signal = np.maximum((variance + mean**2) / (0.25**2 + 1) - mean**2, 0)
    wanted = mean + signal / (mean**2 * 0.25**2 + signal) * (values - mean)
    inner = tuple(slice(r, -r or None) for r in reach)
    assert np.allclose(found[inner], wanted[inner], atol=1e-5)


def test_windows_of_lee_end_at_the_border_and_at_missing_pixels():
    values = speckled((1, 12, 14))
    values[0, 5:8, 6] = np.nan
    found = finished(lee_steps(values, (0, 2, 2), 0.3))[0]
    for y, x in ((0, 0), (5, 5), (11, 13), (8, 6)):
        window = values[0, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].astype(float)
        mean, variance = np.nanmean(window), np.nanvar(window)
        signal = max((variance + mean**2) / 1.09 - mean**2, 0)
        assert found[y, x] == pytest.approx(mean + signal / (mean**2 * 0.09 + signal) * (values[0, y, x] - mean), abs=1e-5)


def plain_srad(plane: np.ndarray, noise: float, iterations: int, time_step: float, heights: tuple[float, float]) -> np.ndarray:
    """Equations 31 to 36 and 57 to 61 of Yu & Acton 2002, pixel by pixel, mirrored at the border and at missing pixels."""
    grey = plane.astype(float)
    rows, columns = grey.shape

    def at(y: int, x: int, field: np.ndarray, own: float) -> float:
        return field[y, x] if 0 <= y < rows and 0 <= x < columns and np.isfinite(grey[y, x]) else own

    for step in range(iterations):
        q0 = noise * np.exp(-step * time_step / 6)
        flow = np.zeros(grey.shape)
        for y, x in np.argwhere(np.isfinite(grey)):
            own = grey[y, x]
            ahead = [(at(y + 1, x, grey, own) - own) * heights[0], (at(y, x + 1, grey, own) - own) * heights[1]]
            behind = [(own - at(y - 1, x, grey, own)) * heights[0], (own - at(y, x - 1, grey, own)) * heights[1]]
            squares = sum(value**2 for value in ahead + behind) / own**2
            laplacian = sum(h * (a - b) for h, a, b in zip(heights, ahead, behind, strict=True)) / own
            q2 = (squares / 2 - laplacian**2 / 16) / (1 + laplacian / 4) ** 2
            flow[y, x] = min(1, 1 / (1 + (q2 - q0**2) / (q0**2 * (1 + q0**2))))
        change = np.zeros(grey.shape)
        for y, x in np.argwhere(np.isfinite(grey)):
            own, c = grey[y, x], flow[y, x]
            change[y, x] = heights[0] ** 2 * (at(y + 1, x, flow, 0) * (at(y + 1, x, grey, own) - own) + c * (at(y - 1, x, grey, own) - own))
            change[y, x] += heights[1] ** 2 * (at(y, x + 1, flow, 0) * (at(y, x + 1, grey, own) - own) + c * (at(y, x - 1, grey, own) - own))
        grey = grey + time_step / 4 * change
    return grey


@pytest.mark.parametrize("heights", [(1.0, 1.0), (0.5, 1.0)])
def test_srad_is_the_equation_of_the_paper(heights):
    plane = speckled((14, 16))
    plane[5:7, 3:6] = np.nan
    found = finished(srad_steps(plane[None], 0.3, 12, 0.5, heights))[0]
    known = np.isfinite(plane)
    assert np.allclose(found[known], plain_srad(plane, 0.3, 12, 0.5, heights)[known], atol=1e-5)


def test_srad_moves_grey_and_makes_none():
    plane = speckled((40, 41))
    plane[10:14, 8:20] = np.nan
    found = finished(srad_steps(plane[None], 0.3, 100, 1.0))[0]
    known = np.isfinite(plane)
    assert found[known].mean() == pytest.approx(float(plane[known].mean()), rel=1e-5)
    assert plane[known].min() <= found[known].min()
    assert found[known].max() <= plane[known].max()


def test_srad_counts_a_step_by_its_length_in_um():
    data = speckled((30, 30)) * 200
    rows = apply_filter(Stack(data, "YX", (0.2, 0.1)), "srad", noise=0.3).data
    columns = apply_filter(Stack(np.ascontiguousarray(data.T), "YX", (0.1, 0.2)), "srad", noise=0.3).data
    wanted = finished(srad_steps((data / data.max())[None].astype(np.float32), 0.3, 60, 0.2, (0.5, 1.0)))[0] * data.max()
    assert np.allclose(rows, wanted, rtol=1e-4)
    assert np.abs(columns.T - rows).mean() < np.abs(rows - data).mean() / 4  # alike, though the paper's flow is that of the pixel ahead


@pytest.mark.parametrize("variation", [0.1, 0.25, 0.5])
def test_the_strength_of_speckle_is_measured_in_even_parts(variation):
    data = speckled((3, 140, 140), variation)
    assert drain(speckle_steps(Stack(data, "ZYX"))) == pytest.approx(variation, rel=0.12)
    data[:, 40:60, 30:70], data[:, :, :21] = np.nan, 0
    assert drain(speckle_steps(Stack(data, "ZYX"))) == pytest.approx(variation, rel=0.12)
    assert drain(speckle_steps(Stack(np.full((2, 20, 20), 9, np.uint8), "ZYX"))) == 0
