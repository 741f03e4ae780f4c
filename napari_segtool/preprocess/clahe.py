"""Contrast-limited adaptive histogram equalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import own_channel_steps
from napari_segtool.preprocess._curve import cut
from napari_segtool.preprocess._smooth import native
from napari_segtool.preprocess._statistics import scale_steps
from napari_segtool.preprocess._volumes import widths_px

_BINS = 256


class ClaheParams(Params):
    """Settings of CLAHE."""

    limit: float = param(2.0, "How many times steeper contrast may become at most; more shows fainter structure, and more noise.", ge=1, le=40)
    tile_px: float = param(64.0, "Side of the tiles that are equalised, in pixels along X: somewhat larger than the objects.", unit="px", ge=8, le=2000)
    tile_um: float = param(0.0, "Side in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=10_000, advanced=True)


@FILTERS.register(
    "clahe",
    title="CLAHE",
    summary="Raises faint contrast everywhere, in dark and bright corners alike, without blowing up noise.",
    params=ClaheParams,
    family="intensity",
    dimensions=(2,),
    reference="Zuiderveld 1994, Contrast limited adaptive histogram equalization, doi:10.1016/B978-0-12-336156-1.50061-6",
    phantom="faint",
    traits=("keeps-type",),
)
def clahe(stack: Stack, params: ClaheParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Equalise the histogram of each tile of a slice with limited contrast, and interpolate between tiles.

    Histograms have 256 bins from black to white, which are the limits of 8-bit types and the darkest and brightest value of the stack for
    others; wider types keep their finer steps, as the curves are interpolated between bins.

    Parameters
    ----------
    stack
        Any axes; every channel is equalised on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order. ``nan`` and infinite values stay as they are and are not counted.

    Raises
    ------
    SpacingError
        If a side in µm is asked for and the spacing is unknown.
    """
    _, *sides = widths_px(stack, params.tile_px, params.tile_um, volume=False)

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        black, white = yield from scale_steps(channel)

        def equal(plane: NDArray[Any]) -> NDArray[Any]:
            tiles = tuple(max(1, round(n / max(side, 2))) for n, side in zip(plane.shape, sides, strict=True))
            return equalised_tiles(plane, params.limit, (tiles[0], tiles[1]), (black, white))

        return equal

    return (yield from own_channel_steps(stack, learn))


def equalised_tiles(plane: NDArray[Any], limit: float, tiles: tuple[int, int], scale: tuple[float, float]) -> NDArray[Any]:
    """Equalise one plane in ``tiles`` rows and columns of tiles; uint8 is OpenCV's work."""
    if plane.dtype == np.uint8:
        import cv2

        quick: NDArray[Any] = cv2.createCLAHE(limit, (tiles[1], tiles[0])).apply(native(plane))
        return quick
    dtype = plane.dtype.newbyteorder("=")
    black, white = scale
    if not black < white or dtype.kind == "b":
        return native(plane)
    known = np.isfinite(plane)
    places = (np.where(known, plane, black).astype(np.float64) - black) / (white - black) * (_BINS - 1)
    mapped = _through_curves(places, _tile_curves(places, known, limit, tiles), tiles)
    return cut(np.where(known, black + (white - black) * mapped, plane), dtype)


def _tile_curves(places: NDArray[np.float64], known: NDArray[np.bool_], limit: float, tiles: tuple[int, int]) -> NDArray[np.float32]:
    """Curve of each tile, ``(tiles, bins)`` from 0 to 1; ``nan`` for a tile without any value."""
    count = tiles[0] * tiles[1]
    tile = _tile_of(places.shape[0], tiles[0])[:, None] * tiles[1] + _tile_of(places.shape[1], tiles[1])
    bins = np.rint(places).astype(np.int64)
    counts = np.bincount((tile * _BINS + bins)[known], minlength=count * _BINS).reshape(count, _BINS).astype(np.float64)
    pixels = counts.sum(axis=1, keepdims=True)
    clipped = np.minimum(counts, limit * pixels / _BINS)
    clipped += (pixels - clipped.sum(axis=1, keepdims=True)) / _BINS
    curves = np.full(counts.shape, np.nan, np.float32)
    np.divide(np.cumsum(clipped, axis=1), pixels, out=curves, where=pixels > 0, casting="same_kind")
    return curves


def _tile_of(length: int, tiles: int) -> NDArray[np.int64]:
    return np.arange(length) * tiles // length


def _through_curves(places: NDArray[np.float64], curves: NDArray[np.float32], tiles: tuple[int, int]) -> NDArray[np.float64]:
    """Map every pixel by the curves of the four tiles around it, each weighted by its nearness; tiles without any value do not count."""
    lower = np.minimum(places.astype(np.int64), _BINS - 2)
    rest = (places - lower).astype(np.float32)
    total, weights = np.zeros(places.shape), np.zeros(places.shape)
    for row, row_weight in _nearest_tiles(places.shape[0], tiles[0]):
        for column, column_weight in _nearest_tiles(places.shape[1], tiles[1]):
            start = (row[:, None] * tiles[1] + column) * _BINS + lower
            value = np.take(curves, start) * (1 - rest) + np.take(curves, start + 1) * rest
            weight = np.where(np.isnan(value), 0, row_weight[:, None] * column_weight)
            total += np.where(weight > 0, value, 0) * weight
            weights += weight
    return np.divide(total, weights, out=total, where=weights > 0)


def _nearest_tiles(length: int, tiles: int) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """The two tiles whose middles lie around each pixel, and their weights."""
    place = (np.arange(length) + 0.5) * tiles / length - 0.5
    first = np.floor(place).astype(np.int64)
    share = place - first
    return [(np.clip(first, 0, tiles - 1), 1 - share), (np.clip(first + 1, 0, tiles - 1), share)]
