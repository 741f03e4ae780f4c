"""How narrow the gaps between neighbouring objects are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_segtool.training.runs._pairs import IGNORED
from napari_segtool.training.survey._evidence import Marks

GAP_PX = 5.0
"""Half of the widest gap that counts as narrow: σ of the published weight map, within which most of its weight lies."""


@dataclass(frozen=True)
class Gaps:
    """What lies between the objects of densely labelled planes.

    Parameters
    ----------
    objects
        Connected parts of the classes above the first.
    close_share
        Share of the objects that have another of their class within 2 · `GAP_PX` pixels.
    gap_share
        Share of the pixels of the first class that lie in a narrow gap between two objects of one class.
    """

    objects: int
    close_share: float
    gap_share: float


def gaps_between(planes: Sequence[Marks]) -> Gaps:
    """Measure the gaps between objects.

    A pixel of the first class lies in a gap where it is within `GAP_PX` of its nearest object and has pixels of another object as its neighbours' nearest:
    the border between two objects' regions of influence.

    Parameters
    ----------
    planes
        ``(Y, X)`` uint8 class indices, 255 for unlabelled; class 0 is what lies between.
    """
    import cv2

    objects = close = 0
    gap_px = background_px = 0
    for marks in planes:
        free = (marks == 0) | (marks == IGNORED)
        if free.all() or not free.any():
            continue
        names, kinds = np.zeros(marks.shape, np.int32), [0]
        count = 0
        for index in set(np.unique(marks).tolist()) - {0, IGNORED}:
            more, parts = cv2.connectedComponents((marks == index).astype(np.uint8), connectivity=8)
            names[parts > 0] = parts[parts > 0] + count
            kinds += [index] * (more - 1)
            count += more - 1
        distance, zones = cv2.distanceTransformWithLabels(free.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        owner_of = np.zeros(int(zones.max()) + 1, np.int32)
        owner_of[zones[~free]] = names[~free]
        owner = owner_of[zones]
        kind = np.asarray(kinds)[owner]
        ridge = np.zeros(marks.shape, np.uint8)
        met: set[int] = set()
        for here, there in (((slice(1, None), slice(None)), (slice(-1), slice(None))), ((slice(None), slice(1, None)), (slice(None), slice(-1)))):
            differ = (owner[here] != owner[there]) & (kind[here] == kind[there]) & (np.maximum(distance[here], distance[there]) <= GAP_PX)
            ridge[here] |= differ
            ridge[there] |= differ
            met.update(np.unique(owner[here][differ]).tolist(), np.unique(owner[there][differ]).tolist())
        width = 2 * int(GAP_PX) + 1
        around = cv2.dilate(ridge, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))) > 0
        gap_px += int((around & (marks == 0)).sum())
        background_px += int((marks == 0).sum())
        objects, close = objects + count, close + len(met)
    return Gaps(objects, close / objects if objects else 0.0, gap_px / background_px if background_px else 0.0)
