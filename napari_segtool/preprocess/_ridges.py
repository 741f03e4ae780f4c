"""Ridges of several widths: what Frangi, Sato and the eigenvalues of the Hessian share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule, SteppedRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._derivatives import filled_plane, filled_volume, ready_volume
from napari_segtool.preprocess._hessian import Parts, eigenvalues, plane_hessian, size_of, slice_hessian
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._scale import Scale, known_pixels, without_unknown
from napari_segtool.preprocess._volumes import each_volume_steps, widths_px

Sigmas = tuple[float, float, float]
"""Widths of a Gaussian in pixels along depth, Y and X."""


class RidgeParams(Params):
    """Settings of a search for ridges."""

    ridges: Literal["bright", "dark"] = param("bright", "Whether the ridges are brighter or darker than what lies beside them.")
    sigma_from_px: float = param(
        1.0, "Narrowest width (about half that of the ridge) in pixels along X; as wide in µm along the other axes.", unit="px", ge=0.5, le=50
    )
    sigma_to_px: float = param(3.0, "Widest width.", unit="px", ge=0.5, le=50)
    widths: int = param(3, "Number of widths that are tried, from the narrowest to the widest; the strongest answer counts.", ge=1, le=12)
    volume: bool = param(False, "Look at slices together, with their true distance, not at each alone.")
    sigma_from_um: float = param(
        0.0, "Narrowest width in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True
    )
    sigma_to_um: float = param(0.0, "Widest width in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True)


@dataclass(frozen=True, slots=True)
class Seen:
    """What an answer may refer to.

    Parameters
    ----------
    largest
        Largest Hessian (root of the sum of its squared eigenvalues) of this width in the picture; 0 where nobody asked.
    half
        Grey values for each unit of the eigenvalues.
    """

    largest: float
    half: float


Answer = Callable[[Parts, Seen], NDArray[np.float32]]
"""Makes a response of eigenvalues, the largest first, which are positive across the ridges that are looked for."""

Join = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""Joins the answers of two widths."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search for ridges in one picture after another.

    Parameters
    ----------
    sigmas
        Widths to try.
    bright
        Whether ridges are brighter than what lies beside them.
    answer, join
        What is made of eigenvalues, and of the answers of two widths.
    refers
        Whether ``answer`` refers to the largest Hessian of the picture.
    """

    sigmas: tuple[Sigmas, ...]
    bright: bool
    answer: Answer
    join: Join
    refers: bool

    def plane_steps(self, plane: NDArray[Any]) -> Fractions:
        """Search a plane; yields after each width."""
        scale, known = Scale.of(plane), known_pixels(plane)
        values, best = scale.unit(plane), None
        for done, (_, sigma_y, sigma_x) in enumerate(self.sigmas):
            ready = values if known is None else filled_plane(values, known, sigma_y, sigma_x)
            hessian = plane_hessian(ready, (sigma_y, sigma_x))
            yield (done + 0.5) / len(self.sigmas)
            found = self._answered(hessian, Seen(self._largest(hessian, known), scale.half))
            best = found if best is None else self.join(best, found)
            yield (done + 1) / len(self.sigmas)
        return without_unknown(np.zeros(plane.shape, np.float32) if best is None else best, known)

    def volume_steps(self, volume: NDArray[Any]) -> Fractions:
        """Search a ``(depth, Y, X)`` volume; yields within each slice."""
        scale, values, known = yield from portion(ready_volume(volume), 0.0, 0.1)
        best: NDArray[np.float32] | None = None
        for done, sigmas in enumerate(self.sigmas):
            start, step = 0.1 + 0.9 * done / len(self.sigmas), 0.9 / len(self.sigmas)
            ready = values
            if known is not None:
                ready = yield from portion(filled_volume(values, known, sigmas), start, start + step / 4)
            largest = 0.0
            if self.refers:
                largest = yield from portion(self._largest_steps(ready, known, sigmas), start + step / 4, start + step / 2)
            best = yield from portion(self._width_steps(ready, sigmas, Seen(largest, scale.half), best), start + step / 2, start + step)
        return without_unknown(np.zeros(volume.shape, np.float32) if best is None else best, known)

    def _width_steps(self, values: NDArray[np.float32], sigmas: Sigmas, seen: Seen, best: NDArray[np.float32] | None) -> Fractions:
        joined = np.empty(values.shape, np.float32) if best is None else best
        for z in range(len(values)):
            hessian = yield from _between(slice_hessian(values, z, sigmas), z / len(values))
            found = self._answered(hessian, seen)
            joined[z] = found if best is None else self.join(joined[z], found)
            yield (z + 1) / len(values)
        return joined

    def _largest_steps(self, values: NDArray[np.float32], known: NDArray[np.bool_] | None, sigmas: Sigmas) -> Generator[float, None, float]:
        largest = 0.0
        for z in range(len(values)):
            hessian = yield from _between(slice_hessian(values, z, sigmas), z / len(values))
            largest = max(largest, self._largest(hessian, None if known is None else known[z]))
            yield (z + 1) / len(values)
        return largest

    def _largest(self, hessian: Parts, known: NDArray[np.bool_] | None) -> float:
        if not self.refers:
            return 0.0
        sizes = size_of(hessian)
        return float((sizes if known is None else sizes[known]).max(initial=0))

    def _answered(self, hessian: Parts, seen: Seen) -> NDArray[np.float32]:
        values = eigenvalues(hessian)
        with np.errstate(over="ignore"):
            return self.answer(tuple(-value for value in reversed(values)) if self.bright else values, seen)


def ridge_steps(stack: Stack, params: RidgeParams, answer: Answer, *, join: Join = np.maximum, refers: bool = False) -> Steps[PlaneRule | NDArray[Any]]:
    """Search a stack for ridges, in each slice or through them; see `Search`."""
    search = Search(sigmas_of(stack, params), params.ridges == "bright", answer, join, refers)
    if params.volume:
        return (yield from each_volume_steps(stack, lambda volume, size: search.volume_steps(volume)))
    return (yield from each_channel_steps(stack, SteppedRule(search.plane_steps)))


def sigmas_of(stack: Stack, params: RidgeParams) -> tuple[Sigmas, ...]:
    """Return the widths to try in pixels along depth, Y and X, in equal ratios.

    Raises
    ------
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    in_um = params.sigma_from_um > 0 or params.sigma_to_um > 0
    ends = (params.sigma_from_um, params.sigma_to_um) if in_um else (params.sigma_from_px, params.sigma_to_px)
    low, high = (min(end for end in ends if end > 0), max(ends))
    widths = np.geomspace(low, high, params.widths if high > low else 1)
    return tuple(widths_px(stack, 0.0 if in_um else float(width), float(width) if in_um else 0.0, params.volume) for width in widths)


def _between(work: Generator[None, None, Parts], fraction: float) -> Generator[float, None, Parts]:
    try:
        while True:
            next(work)
            yield fraction
    except StopIteration as end:
        parts: Parts = end.value
        return parts
