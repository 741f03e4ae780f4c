"""How common painted classes really are, by what pretrained weights see where nothing is painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_segtool.training.validate._threshold import Case

_LEAST_RIGHT = 0.6
"""Share of the strokes of a class that the pretrained weights must see as what belongs to it, or they know other things than what was painted; strokes
along a membrane stray from it, so that it is never all."""
_SHOWN = 0.2
"""A class of the weights is shown by strokes that have this share of it."""


def known_shares(cases: Sequence[Case], classes: int) -> NDArray[np.float64] | None:
    """Return the share of all pixels that each painted class has, by the pretrained weights; None where they do not know these classes.

    Each class of the pretrained weights belongs to the painted class whose strokes show it most; the pixels of one that no strokes show are what the network
    takes them for. How much was painted of a class does not matter.

    Parameters
    ----------
    cases
        Planes with strokes, and with ``known``.
    classes
        Number of painted classes, K.

    Returns
    -------
    ndarray of float64
        ``(K,)``, adding up to 1.
    """
    if any(case.known is None for case in cases):
        return None
    seen: list[list[NDArray[np.float64]]] = [[] for _ in range(classes)]
    together: list[NDArray[np.float64]] = []
    for case in cases:
        known = np.asarray(case.known, np.float64)  # (E, Y, X)
        together.append(np.einsum("eyx,kyx->ek", known, case.chances) / known[0].size)
        for strokes in (case.check, case.learn):
            for index in range(classes):
                seen[index].append(known[:, strokes == index].T)
    if any(not sum(map(len, each)) for each in seen):
        return None
    shown = np.stack([np.concatenate(each).mean(0) for each in seen])  # (K, E)
    painted, belongs = shown.max(0) >= _SHOWN, shown.argmax(0)
    right = [shown[index, painted & (belongs == index)].sum() for index in range(classes)]
    if min(right) < _LEAST_RIGHT:
        return None
    both = np.mean(together, axis=0)  # (E, K): how common each pair is
    shares = both[~painted].sum(0)
    for part in np.flatnonzero(painted):
        shares[belongs[part]] += both[part].sum()
    return np.asarray(shares / shares.sum())
