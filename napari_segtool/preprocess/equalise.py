"""Histogram equalisation."""

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
from napari_segtool.preprocess._curve import along_curve
from napari_segtool.preprocess._statistics import Statistics, plane_statistics, scale_of, statistics_steps


class EqualiseParams(Params):
    """Settings of histogram equalisation."""

    per_slice: bool = param(False, "Equalise each slice on its own, for stacks whose brightness changes from slice to slice.")


@FILTERS.register(
    "equalise",
    title="Equalise histogram",
    summary="Gives every grey value its share of the scale: the strongest contrast where most pixels lie, in one go and without settings.",
    params=EqualiseParams,
    family="intensity",
    reference="Hummel 1977, Image enhancement by histogram transformation, doi:10.1016/S0146-664X(77)80011-7",
    phantom="ramp",
    traits=("keeps-type", "keeps-constant"),
    aliases=("equalize",),
)
def equalise(stack: Stack, params: EqualiseParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Put in place of each grey value the share of pixels that are darker or equal, from black (the darkest value) to white.

    Black and white are the limits of 8-bit types, and the darkest and brightest value of the stack (or slice) for others.

    Parameters
    ----------
    stack
        Any axes; every channel is equalised on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, whole numbers rounded. A constant picture stays as it is. ``nan`` and infinite values
        stay as they are and are not counted.
    """

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        if params.per_slice:
            return lambda plane: equalised(plane, plane_statistics(plane))
        found = yield from statistics_steps(channel)
        return lambda plane: equalised(plane, found)

    return (yield from own_channel_steps(stack, learn))


def equalised(plane: NDArray[Any], statistics: Statistics) -> NDArray[Any]:
    """Equalise one plane by the histogram of a picture.

    Examples
    --------
    >>> plane = np.array([[10, 10, 20, 30]], np.uint8)
    >>> equalised(plane, plane_statistics(plane)).tolist()
    [[0, 0, 128, 255]]
    """
    if len(statistics.levels) < 2:
        return along_curve(plane, lambda values: values)
    black, white = scale_of(plane.dtype, statistics)
    upto = np.cumsum(statistics.counts)
    shares = (upto - upto[0]) / (upto[-1] - upto[0])
    return along_curve(plane, lambda values: black + (white - black) * np.interp(values, statistics.levels, shares))
