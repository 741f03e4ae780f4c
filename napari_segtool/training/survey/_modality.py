"""Which instrument made the images, as far as their grey values tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_segtool.training.survey._evidence import Plane

Modality = Literal["electron microscopy", "ultrasound", "fluorescence", "colour", "phase contrast", "unknown"]

_SKEWED, _DARK_MEDIAN = 0.8, 0.3
_EVEN_SKEW, _EVEN_SPREAD, _EM_NOISE = 0.6, 0.25, 0.1
_PEAKED, _PEAK_SPREAD = 1.0, 0.2
_BLACK_SHARE, _SMOOTH = 0.1, 0.035


@dataclass(frozen=True)
class Looks:
    """Grey values of typical planes; medians over them.

    Parameters
    ----------
    colour
        Whether the channels are red, green and blue.
    skew, peakedness
        Third and fourth moment of the standardised grey values, clipped to the middle 98 %; a normal distribution has 0 and 0.
    median, spread
        Median, and distance of the quartiles, on a scale where the middle 98 % reach from 0 to 1.
    noise
        Deviation of single pixels from their neighbours, as a share of the contrast.
    black
        Share of the pixels that have the lowest value.
    """

    colour: bool
    skew: float
    peakedness: float
    median: float
    spread: float
    noise: float
    black: float

    @property
    def dark(self) -> bool:
        """Whether bright things lie in a dark field."""
        return self.skew > _SKEWED and self.median < _DARK_MEDIAN

    @property
    def scanned(self) -> bool:
        """Whether they look like a scan converted to a picture, as ultrasound is: dark, smooth from pixel to pixel, with black corners or shadows."""
        return self.dark and self.black >= _BLACK_SHARE and self.noise < _SMOOTH


def typical(figures: Sequence[tuple[float, ...]], *, colour: bool = False) -> Looks:
    """Return the medians of what `figures_of` measured on several planes; constant ones are passed over."""
    table = [row for row in figures if row]
    medians = [float(value) for value in np.median(table, axis=0)] if table else [0.0] * 6
    return Looks(colour, *medians)


def guess_modality(looks: Looks, upright: bool) -> Modality:
    """Guess what made the images.

    Colour is colour. Ultrasound darkens with depth and is dark with bright echoes. Fluorescence is a dark field with bright objects. Phase contrast
    has one narrow peak of grey with bright and dark tails. Electron micrographs fill the range of grey values evenly and are noisy from pixel to
    pixel. Everything else is unknown.

    Parameters
    ----------
    looks
        From `typical`.
    upright
        Whether the images have an up and down.

    Examples
    --------
    >>> guess_modality(Looks(False, 0.0, -0.9, 0.5, 0.42, 0.2, 0.0), upright=False)
    'electron microscopy'
    """
    if looks.colour:
        return "colour"
    if looks.dark:
        return "ultrasound" if upright else "fluorescence"
    if looks.peakedness > _PEAKED and looks.spread < _PEAK_SPREAD:
        return "phase contrast"
    if abs(looks.skew) < _EVEN_SKEW and looks.spread > _EVEN_SPREAD and looks.noise > _EM_NOISE:
        return "electron microscopy"
    return "unknown"


def figures_of(plane: Plane) -> tuple[float, ...]:
    """Measure the grey values of a plane ``(C, Y, X)``, channels averaged: the numbers of `Looks` in order; empty where it is constant."""
    grey = np.asarray(plane, dtype=np.float32).mean(axis=0)
    low, first, median, third, high = (float(value) for value in np.percentile(grey, [1, 25, 50, 75, 99]))
    clipped = grey.clip(low, high)
    deviation = float(clipped.std())
    if high <= low or deviation == 0 or min(grey.shape) < 3:
        return ()
    standard = (clipped - clipped.mean()) / deviation
    curve = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    noise = float(np.median(np.abs(curve))) / 0.6745 / np.sqrt(20)  # of white noise: its standard deviation
    scale = high - low
    return (
        float((standard**3).mean()),
        float((standard**4).mean()) - 3,
        (median - low) / scale,
        (third - first) / scale,
        noise / deviation,
        float((grey <= grey.min()).mean()),
    )
