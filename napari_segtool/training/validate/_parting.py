"""Which class parts the other, where only paint is known and what a network made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ONE_WEB, _IN_PIECES = 0.7, 0.5
"""Share of the largest part: of a class that is a web, and of one that is in pieces."""


def parts_the_other(planes: Sequence[NDArray[np.float32]], index: int) -> bool:
    """Return whether one of two classes is a thin web, a membrane, that parts the other into many pieces.

    Parameters
    ----------
    planes
        Probabilities ``(2, Y, X)`` each, with the gaps of the class closed: what strokes say is too little to see it.
    index
        The class, 0 or 1.
    """
    import cv2

    half_width, share = np.zeros(2), np.zeros(2)
    for chances in planes:
        for each in (0, 1):
            mask = (chances.argmax(0) == each).astype(np.uint8)
            if mask.any() and not mask.all():
                sizes = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
                half_width[each] += np.quantile(cv2.distanceTransform(mask, cv2.DIST_L2, 5)[mask > 0], 0.95) / len(planes)
                share[each] += sizes.max() / sizes.sum() / len(planes)
    return bool(share[index] > _ONE_WEB and 0 < share[1 - index] < _IN_PIECES and half_width[index] < half_width[1 - index])
