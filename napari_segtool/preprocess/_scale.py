"""Grey values of any type as float32 from -1 to 1, so that differences of them neither overflow nor drown in rounding."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scale:
    """The grey values of a picture: ``middle`` ± ``half``.

    Parameters
    ----------
    middle
        Half way between the darkest and the brightest pixel; 0 where no pixel has a value.
    half
        Half the difference of the two; 0 for a constant picture, which therefore has no differences at all, not even of rounding.
    """

    middle: float
    half: float

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> Scale:
        """Measure one plane or volume; pixels that are not finite are left out."""
        return cls._between([_ends(pixels)])

    @classmethod
    def steps(cls, planes: NDArray[Any]) -> Generator[float, None, Scale]:
        """Measure a volume plane by plane; yields the finished part."""
        ends = []
        for done, plane in enumerate(planes, start=1):
            ends.append(_ends(plane))
            yield done / len(planes)
        return cls._between(ends)

    @classmethod
    def _between(cls, ends: Iterable[tuple[float, float]]) -> Scale:
        low, high = (float(pick(values)) for pick, values in zip((min, max), zip(*ends, strict=True), strict=True))
        # halves first: the difference of two large floats may overflow
        return cls(low / 2 + high / 2, high / 2 - low / 2) if low <= high else cls(0.0, 0.0)

    def unit(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return pixels as float32 from -1 to 1; 0 where they are not finite.

        Examples
        --------
        >>> Scale(100, 50).unit(np.array([[50, 100, 150]], np.uint8)).tolist()
        [[-1.0, 0.0, 1.0]]
        """
        if not self.half:
            return np.zeros(pixels.shape, np.float32)
        wide: NDArray[np.floating[Any]] = pixels.astype(np.float64 if pixels.dtype.itemsize > 2 and pixels.dtype != np.float32 else np.float32)
        with np.errstate(invalid="ignore"):
            wide -= wide.dtype.type(self.middle)
            wide /= wide.dtype.type(self.half)
        if pixels.dtype.kind == "f":
            wide[~np.isfinite(pixels)] = 0
        return wide.astype(np.float32, copy=False)


def known_pixels(pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where pixels are finite; ``None`` where all are."""
    if pixels.dtype.kind != "f":
        return None
    known: NDArray[np.bool_] = np.isfinite(pixels)
    return None if known.all() else known


def without_unknown(response: NDArray[Any], known: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Return a response as float32, ``nan`` where the picture has no value."""
    with np.errstate(over="ignore"):
        values = response.astype(np.float32, copy=False)
    if known is not None:
        values[~known] = np.nan
    return values


def _ends(pixels: NDArray[Any]) -> tuple[float, float]:
    known = known_pixels(pixels)
    values = pixels if known is None else pixels[known]
    return (float(values.min()), float(values.max())) if values.size else (np.inf, -np.inf)
