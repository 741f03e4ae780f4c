"""Otsu's thresholds for several classes."""

from __future__ import annotations

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._levels import split_rule_steps


class MultiOtsuParams(Params):
    """Settings of Otsu's method for several classes."""

    classes: int = param(3, "Number of classes, from dark to bright.", ge=2, le=5)
    smoothing_px: float = param(0.0, "Width of a Gaussian in each slice before the histogram is made; 0 smooths nothing.", unit="px", ge=0, le=20)
    per_slice: bool = param(False, "Find thresholds for each slice on its own, for stacks whose brightness changes from slice to slice.", advanced=True)


@METHODS.register(
    "multi-otsu",
    title="Multi-Otsu",
    summary="Splits the histogram into three or more classes of similar brightness; good for background, cells and bright granules at once.",
    params=MultiOtsuParams,
    family="threshold",
    reference="Liao, Chen & Chung 2001, A fast algorithm for multilevel thresholding, doi:10.6688/JISE.2001.17.5.1",
    phantom="levels",
    aliases=("otsu-multi",),
)
def multi_otsu(stack: Stack, params: MultiOtsuParams) -> Steps[PlaneRule]:
    """Split grey values into classes where the variance between them is largest: the best of all splits, not only a good one.

    The thresholds are exact for 8 and 16 bit; fractions are counted in 65,536 bins between their smallest and largest value,
    which is how finely their thresholds are known.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings.

    Returns
    -------
    PlaneRule
        uint8 classes 0 (darkest) to ``classes - 1``; 0 where a pixel is ``nan``. Infinite pixels count as darkest or brightest.

    Raises
    ------
    DataError
        If the stack has fewer grey values than classes (a constant image, say). With ``per_slice``, a slice that has fewer gets
        one class for each of them.
    """
    grey = Grey.of(stack, params.smoothing_px)
    return (yield from split_rule_steps(stack, grey, params.classes, per_slice=params.per_slice, what="classes"))
