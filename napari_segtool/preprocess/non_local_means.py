"""Non-local means, in each slice or through the volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._boxes import box_counts, box_sums
from napari_segtool.preprocess._channels import own_channel_steps
from napari_segtool.preprocess._noise import white_noise
from napari_segtool.preprocess._pairs import LEAST_EXPONENT, Offset, alike_average_steps, half_offsets
from napari_segtool.preprocess._statistics import scale_steps
from napari_segtool.preprocess._unit import plane_rule, volume_rule
from napari_segtool.preprocess._volumes import blocks_steps, each_volume_steps, whole_px, widths_px


class NonLocalMeansParams(Params):
    """Settings of non-local means."""

    strength: float = param(0.8, "Strength, as a multiple of the noise: more smooths more, and blurs faint structure.", ge=0.1, le=10)
    search_px: int = param(5, "How far around each pixel similar places are sought, along X; as far in µm along the other axes.", unit="px", ge=1, le=21)
    patch_px: int = param(2, "Reach of the patches that are compared: 2 compares 5×5 pixels.", unit="px", ge=1, le=7, advanced=True)
    noise: float = param(
        0.0, "Standard deviation of the noise in percent of the scale from black to white; 0 estimates it in each slice.", unit="%", ge=0, le=50, advanced=True
    )
    volume: bool = param(False, "Seek and compare through the slices too, not only within each; slow.")


@FILTERS.register(
    "non-local-means",
    title="Non-local means",
    summary="Averages places that look alike: takes away noise and keeps fine, repeated structure such as membranes.",
    params=NonLocalMeansParams,
    family="denoise",
    reference="Buades, Coll & Morel 2005, A non-local algorithm for image denoising, doi:10.1109/CVPR.2005.38; "
    "Darbon et al. 2008, Fast nonlocal filtering applied to electron cryomicroscopy, doi:10.1109/ISBI.2008.4541250",
    phantom="noise",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
    aliases=("nlm", "nl-means"),
)
def non_local_means(stack: Stack, params: NonLocalMeansParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Average each pixel with those around it, weighted by how alike the patches around both are.

    The weight of two pixels is exp(-max(d - 2·noise², 0) / (strength·noise)²), d being the mean squared difference of their patches.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own.
    params
        Settings. With ``volume``, both reaches along Z are those along X in µm (in pixels where the spacing is unknown), rounded; the noise is
        the median of that of the slices.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, whole numbers rounded; a whole array for stacks with channels and for ``volume``. ``nan``
        and infinite values stay as they are and are neither averaged nor compared.

    Raises
    ------
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    search, patch = (whole_px(widths_px(stack, reach, 0, params.volume)) for reach in (params.search_px, params.patch_px))

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        scale = yield from scale_steps(channel)

        def means(values: NDArray[np.float32]) -> Fractions:
            found: list[float] = []
            if not params.noise:
                for plane in values:
                    found.append(white_noise(plane))
                    yield 0.0
            noise = params.noise / 100 or float(np.median(found))
            if not params.volume:
                return (yield from non_local_means_steps(values, search, patch, noise, params.strength * noise))
            reach = tuple(a + b for a, b in zip(search, patch, strict=True))
            return (
                yield from blocks_steps(
                    values,
                    lambda block: non_local_means_steps(block, search, patch, noise, params.strength * noise),
                    (reach[0], reach[1], reach[2]),
                )
            )

        if not params.volume:
            return plane_rule(scale, means)
        return (yield from each_volume_steps(channel, volume_rule(scale, means)))

    return (yield from own_channel_steps(stack, learn))


def non_local_means_steps(values: NDArray[np.float32], search: tuple[int, int, int], patch: tuple[int, int, int], noise: float, height: float) -> Fractions:
    """Filter a ``(Z, Y, X)`` volume; patches end at its border.

    Parameters
    ----------
    values
        float32; ``nan`` is no value.
    search, patch
        Reach along each axis.
    noise
        Standard deviation of the noise, in units of ``values``.
    height
        How fast weights fall with the difference of two patches, in units of ``values``.
    """
    fall = np.float32(-1 / max(height**2, 1e-20))

    def weigh(difference: NDArray[np.float32], both: NDArray[np.bool_] | None, offset: Offset) -> NDArray[np.float32]:
        distance = box_sums(difference, patch)
        if both is None:
            for count in box_counts(difference.shape, patch):
                distance /= count
        else:
            distance /= np.maximum(box_sums(both.astype(np.float32), patch), 1)
        distance -= np.float32(2 * noise**2)
        np.maximum(distance, 0, out=distance)
        distance *= fall
        np.maximum(distance, np.float32(LEAST_EXPONENT), out=distance)
        return np.exp(distance, out=distance)

    return alike_average_steps(values, half_offsets(search), weigh)
