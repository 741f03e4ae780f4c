"""Classes of least cost from paint, by graph cuts."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import AnyRule, Fractions
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._components import slabs_of
from napari_segtool.methods._cuts import potts_labels_steps
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._painted import GreyModel, model_steps
from napari_segtool.methods._pieces import Piece, pieces_steps
from napari_segtool.preprocess._portions import portion


class GraphCutParams(Params):
    """Settings of the graph cut."""

    smoothness: float = param(1.5, "What a boundary costs where grey values do not change: larger gives smoother, simpler shapes.", ge=0, le=100)
    contrast: float = param(1.0, "How much cheaper boundaries are where grey values change; 0 makes all of them cost the same.", ge=0, le=20)
    model: Literal["histogram", "gaussian"] = param("histogram", "How the grey values of a class are described: as painted, or by mean and width.")
    smoothing_px: float = param(0.0, "Width of a Gaussian in each slice before; 0 smooths nothing.", unit="px", ge=0, le=20)
    volume: bool = param(False, "Cut through the slices, not each on its own.")


@METHODS.register(
    "graph-cut",
    title="Graph cut",
    summary="Finds the classes that you painted, by their grey values, with smooth boundaries along edges; a few strokes serve the whole stack.",
    params=GraphCutParams,
    family="regions",
    reference="Boykov & Jolly 2001, Interactive graph cuts for optimal boundary & region segmentation, doi:10.1109/ICCV.2001.937505; "
    "Boykov, Veksler & Zabih 2001, Fast approximate energy minimization via graph cuts, doi:10.1109/34.969114",
    phantom="painted",
    traits=("paint",),
)
def graph_cut(stack: Stack, params: GraphCutParams, given: Given) -> Steps[AnyRule | NDArray[Any]]:
    """Find the labelling with the least cost: how unlikely grey values are in their class, plus what boundaries cost.

    The likelihood comes from the painted pixels of the whole stack, so slices without paint are labelled too. A boundary between two pixels
    costs ``smoothness · exp(-contrast · d² / (2 · mean d²))`` with the difference ``d`` of their grey values, divided by their distance in
    pixels along X. Painted pixels keep their class.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings.
    given
        Paint of at least two classes.

    Returns
    -------
    PlaneRule or ndarray
        Smallest unsigned type, the painted labels; 0 only where a pixel has no value. Exactly the least cost for two classes in pictures of up
        to 262,144 pixels; more classes by alpha-expansion; larger pictures and volumes block by block, near the least.

    Raises
    ------
    PaintError
        If fewer than two classes are painted.
    DataError
        If no pixel has a finite value, or all painted ones have the same.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    grey = Grey.of(stack, params.smoothing_px, whole=False)
    model = yield from model_steps(stack, grey, given, params.model)
    names = model.classes.astype(smallest_dtype(int(model.classes.max())))

    def work(piece: Piece) -> Fractions:
        unary = yield from portion(_unary_steps(piece, model), 0.0, 0.05)
        weights = yield from portion(_boundary_steps(piece, params), 0.05, 0.1)
        found = yield from portion(potts_labels_steps(unary, weights), 0.1, 0.98)
        labels = np.zeros(found.shape, names.dtype)
        for part in slabs_of(found.shape):
            labels[part] = np.where(np.isnan(unary[0, part]), 0, names[found[part]])
            yield 0.98 + 0.02 * part.stop / len(found)
        return labels

    return (yield from pieces_steps(stack, grey, work, given, volume=params.volume))


def _unary_steps(piece: Piece, model: GreyModel) -> Fractions:
    """Return what each class costs at each pixel: ``inf`` for the others where one is painted, ``nan`` where there is no value."""
    unary = np.empty((len(model.classes), *piece.grey.shape), np.float32)
    for part in slabs_of(piece.grey.shape):
        costs = model.unary(piece.grey[part])
        if piece.given.paint is not None:
            for place, value in enumerate(model.classes):
                painted = (piece.given.paint[part] == value) & ~np.isnan(costs[0])
                costs[:place, painted] = np.inf
                costs[place + 1 :, painted] = np.inf
        unary[:, part] = costs
        yield min(1.0, part.stop / len(piece.grey))
    return unary


def _boundary_steps(piece: Piece, params: GraphCutParams) -> Generator[float, None, tuple[NDArray[np.float32] | float, ...]]:
    """Return what a boundary costs between each two neighbours along each axis."""
    if params.contrast == 0 or params.smoothness == 0:
        yield 1.0
        return tuple(params.smoothness / length for length in piece.size)
    shape = piece.grey.shape
    squares = [np.empty(tuple(n - (i == axis) for i, n in enumerate(shape)), np.float32) for axis in range(len(shape))]
    total, count = 0.0, 0
    for part in slabs_of(shape):
        values = piece.grey[part.start : part.stop + 1].astype(np.float32)
        for axis, square in enumerate(squares):
            with np.errstate(invalid="ignore"):
                here = np.diff(values if axis == 0 else values[: part.stop - part.start], axis=axis)
                here *= here
            known = np.isfinite(here)
            here[~known] = 0
            total, count = total + float(here.sum(dtype=np.float64)), count + int(known.sum())
            square[part] = here
        yield 0.6 * min(1.0, part.stop / len(piece.grey))
    scale = np.float32(params.contrast / 2 * count / total) if total > 0 else np.float32(0)
    for square, length in zip(squares, piece.size, strict=True):
        for part in slabs_of(shape):
            with np.errstate(under="ignore"):
                square[part] = np.exp(square[part] * -scale)
            square[part] *= np.float32(params.smoothness / length)
            yield 0.8
    return tuple(squares)
