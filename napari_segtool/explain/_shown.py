"""How contributions of single pixels are shown: settings that several explainers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param

if TYPE_CHECKING:
    from torch import Tensor


class ShownParams(Params):
    """What of each pixel's channels is shown."""

    show: Literal["strength", "sign"] = param("strength", "Strength of the influence, or its sign: above 0 a brighter pixel speaks for the class.")
    smoothing_px: float = param(0.0, "Width of a Gaussian over the map; single pixels are noisy.", unit="px", ge=0, le=20)


def shown(values: Tensor, params: ShownParams) -> NDArray[np.float32]:
    """Return one picture of ``(C, Y, X)`` values: the largest absolute value over channels, or for ``"sign"`` their sum; ``(Y, X)``."""
    drawn: NDArray[np.float32] = (values.abs().amax(0) if params.show == "strength" else values.sum(0)).cpu().numpy()
    if params.smoothing_px > 0:
        import cv2

        drawn = cv2.GaussianBlur(drawn, (0, 0), params.smoothing_px, borderType=cv2.BORDER_REFLECT)
    return drawn
