"""Pictures with a known flaw, and how much of it each filter made for that flaw has to remove; an entry names one as its ``phantom``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_segtool.core.stack import Stack
from tests.contract.pictures import impulse_phantom

Filtered = Callable[..., np.ndarray]
"""Filters a stack with the entry under test; settings that the entry lacks are left out."""


def check_impulse(filtered: Filtered) -> None:
    """A smooth hill with noise and single bad pixels comes at least twice as near to the clean one."""
    phantom = impulse_phantom()

    def error(data: np.ndarray) -> float:
        return float(np.sqrt(np.mean((data[:, 6:-6, 6:-6].astype(float) - phantom.clean[:, 6:-6, 6:-6]) ** 2)))

    assert error(filtered(phantom.stack)) < error(phantom.stack.data) / 2


def check_noise(filtered: Filtered) -> None:
    """White noise on two flat halves falls at least to half; the edge between them stays where it is and as high."""
    clean = np.full((2, 64, 64), 60.0)
    clean[:, :, 32:] = 160
    noisy = np.clip(clean + np.random.default_rng(8).normal(0, 12, clean.shape), 0, 255).astype(np.uint8)
    found = filtered(Stack(noisy, "ZYX")).astype(float)
    for part in (np.s_[:, 4:-4, 4:26], np.s_[:, 4:-4, 38:-4]):
        assert found[part].std() < noisy[part].std() / 2
        assert abs(found[part].mean() - clean[part].mean()) < 3
    assert (edge_positions(found, 110) == 32).mean() > 0.9
    assert found[:, 4:-4, 35:40].mean() - found[:, 4:-4, 24:29].mean() > 90


def check_speckle(filtered: Filtered) -> None:
    """Multiplicative noise on two flat halves: its variance falls to a third at least, mean and edge stay."""
    clean = np.full((2, 80, 80), 50.0)
    clean[:, :, 40:] = 150
    noisy = clean * np.random.default_rng(4).gamma(16, 1 / 16, clean.shape)  # 16 looks: a coefficient of variation of 0.25
    stack = Stack(noisy.clip(0, 255).astype(np.uint8), "ZYX")
    found = filtered(stack).astype(float)
    for part in (np.s_[:, 6:-6, 6:32], np.s_[:, 6:-6, 48:-6]):
        assert found[part].var() < stack.data[part].var() / 3
        assert abs(found[part].mean() / stack.data[part].mean() - 1) < 0.05
    assert np.abs(edge_positions(found, 100) - 40).mean() < 1


def check_shading(filtered: Filtered) -> None:
    """Known shading under small bright discs: the standard deviation of the background falls to a fifth at least, the discs stay."""
    y, x = np.mgrid[:192, :192] / 191
    shading = 40 + 50 * x + 30 * y - 30 * x * y
    discs = np.zeros((192, 192), bool)
    grid_y, grid_x = np.mgrid[:192, :192]
    for cy in range(16, 192, 40):
        for cx in range(16, 192, 40):
            discs |= (grid_y - cy) ** 2 + (grid_x - cx) ** 2 <= 9
    picture = shading + 60 * discs + np.random.default_rng(5).normal(0, 1, (2, 192, 192))
    stack = Stack(picture.round().astype(np.uint8), "ZYX")
    found = filtered(stack, sigma_px=12, radius_px=20, degree=2).astype(float)
    ground = np.broadcast_to(~discs, found.shape)
    assert found[ground].std() < stack.data[ground].std() / 5
    assert found[~ground].mean() - found[ground].mean() > 40


def check_ramp(filtered: Filtered) -> None:
    """Every grey from dark to bright, faintly: no two change places, and they do not all become one."""
    ramp = np.tile(np.linspace(60, 130, 64).round().astype(np.uint8), (2, 8, 1))
    found = filtered(Stack(ramp, "ZYX")).astype(float)
    assert (np.diff(found, axis=-1) >= 0).all()
    assert np.ptp(found) > 0
    assert len(np.unique(found)) > 32


def check_faint(filtered: Filtered) -> None:
    """A faint square in a dark corner and one in a bright corner stand out at least twice as much."""
    picture = np.random.default_rng(6).normal(0, 2, (2, 128, 128)) + 40
    picture[:, :, 64:] += 120
    picture[:, 50:70, 20:40] += 8
    picture[:, 50:70, 90:110] += 8
    stack = Stack(picture.round().astype(np.uint8), "ZYX")

    def contrast(data: np.ndarray, start: int) -> float:
        return float(data[:, 52:68, start + 2 : start + 18].mean() - data[:, 75:95, start : start + 20].mean())

    found = filtered(stack).astype(float)
    for start in (20, 90):
        assert contrast(found, start) > 2 * contrast(stack.data.astype(float), start)


def edge_positions(data: np.ndarray, level: float) -> np.ndarray:
    """Return the column at which each row passes ``level`` most clearly: that which parts dark from bright with the fewest mistakes."""
    bright = data > level
    columns = np.arange(data.shape[-1] + 1)
    before = np.concatenate([np.zeros((*data.shape[:-1], 1)), np.cumsum(bright, axis=-1)], axis=-1)
    after = (columns[-1] - columns) - (before[..., -1:] - before)
    return (before + after).argmin(axis=-1)


CHECKS: dict[str, Callable[[Filtered], None]] = {
    "impulse": check_impulse,
    "noise": check_noise,
    "speckle": check_speckle,
    "shading": check_shading,
    "ramp": check_ramp,
    "faint": check_faint,
}
