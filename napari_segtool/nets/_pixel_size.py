"""The pixel size a model learned at, that of an image, and when planes are resampled from one to the other. Light: loads no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from napari_segtool.core.stack import Stack

TOLERANCE = 1.15
"""Pixels that differ by a smaller factor are the same: networks learn from things of varied size, and resampling costs sharpness."""
MOST = 10.0
"""Beyond this factor a spacing is taken to be wrong (the resolution that a scanner or a program wrote, say)."""

PixelSize = tuple[float, float] | tuple[()]
"""Height and width of a pixel in µm; empty where it is not known."""

Zoom = tuple[float, float]
"""Pixels of an image, along y and x, that make one of the model's."""

SAME: Zoom = (1.0, 1.0)


def learned_pixel_um(card: Mapping[str, Any]) -> PixelSize:
    """Return the pixel size that a model learned at; empty where its card does not say it.

    It is ``pixel_um``; cards of models that were made before there was one have the spacing of the first image alone.

    Examples
    --------
    >>> learned_pixel_um({"pixel_um": [0.004, 0.004]}), learned_pixel_um({"spacing_um": [0.05, 0.004, 0.004], "axes": "ZYX"})
    ((0.004, 0.004), (0.004, 0.004))
    """
    if "pixel_um" in card:
        return _checked(card["pixel_um"])
    known = dict(zip((letter for letter in str(card.get("axes", "")) if letter in "ZYX"), card.get("spacing_um") or (), strict=False))
    return _checked([known.get("Y"), known.get("X")])


def image_pixel_um(stack: Stack) -> PixelSize:
    """Return the pixel size of a stack; empty where it is not known."""
    return (stack.spacing_of("Y"), stack.spacing_of("X")) if stack.spacing_um else ()


def zoom_between(own: PixelSize, wanted: PixelSize) -> Zoom:
    """Return how many pixels of an image make one of the model's; `SAME` where either size is not known, they are alike, or too far apart to be true.

    Parameters
    ----------
    own, wanted
        Size of the image's pixels, and of the model's.

    Examples
    --------
    >>> zoom_between((0.008, 0.008), (0.004, 0.004)), zoom_between((1.0, 1.1), (1.0, 1.0)), zoom_between((), (1.0, 1.0))
    ((0.5, 0.5), (1.0, 1.0), (1.0, 1.0))
    """
    if not own or not wanted:
        return SAME
    y, x = (theirs / ours for ours, theirs in zip(own, wanted, strict=True))
    farthest = max(abs(math.log(y)), abs(math.log(x)))
    return (y, x) if math.log(TOLERANCE) < farthest <= math.log(MOST) else SAME


def resampling_text(own: PixelSize, wanted: PixelSize) -> str:
    """Say what happens to planes of these pixels; empty where nothing does.

    Examples
    --------
    >>> resampling_text((0.008, 0.008), (0.004, 0.004))
    'Image has 8 nm pixels, the model learned at 4 nm: planes are resampled by 2.'
    >>> resampling_text((300.0, 300.0), (0.004, 0.004))
    'Image has 0.3 mm pixels, the model learned at 4 nm: one of the two is taken to be wrong, and planes are not resampled.'
    """
    if not own or not wanted:
        return ""
    told = f"Image has {pixel_text(own)} pixels, the model learned at {pixel_text(wanted)}"
    zoom = zoom_between(own, wanted)
    if zoom != SAME:
        return f"{told}: planes are resampled by {factor_text((1 / zoom[0], 1 / zoom[1]))}."
    far = max(max(ours / theirs, theirs / ours) for ours, theirs in zip(own, wanted, strict=True)) > MOST
    return f"{told}: one of the two is taken to be wrong, and planes are not resampled." if far else ""


def told_of(facts: Mapping[str, Any]) -> str:
    """Return `resampling_text` of a prediction, from the parameters in its recipe; empty where pixels were alike or not known."""
    return resampling_text(_checked(facts.get("image_pixel_um")), _checked(facts.get("model_pixel_um")))


def pixel_text(pixel_um: tuple[float, ...]) -> str:
    """Write a pixel size in the unit that suits it, X first where the two differ, as microscopists write it.

    Examples
    --------
    >>> pixel_text((0.004, 0.004)), pixel_text((0.5, 0.25))
    ('4 nm', '0.25×0.5 µm')
    """
    smallest = min(pixel_um, default=1.0)
    unit, size = ("nm", 1e-3) if smallest < 0.1 else ("µm", 1.0) if smallest < 100 else ("mm", 1e3)
    return f"{factor_text(tuple(value / size for value in pixel_um))} {unit}"


def factor_text(values: tuple[float, ...]) -> str:
    """Write one number for both axes, or both, X first, where they differ."""
    words = [f"{value:.3g}" for value in reversed(values)]
    return words[0] if len(set(words)) == 1 else "×".join(words)


def _checked(values: Any) -> PixelSize:
    try:
        y, x = (float(value) for value in values)
    except (TypeError, ValueError):
        return ()
    return (y, x) if min(y, x) > 0 and math.isfinite(y + x) else ()
