"""Work on each slice, or on each volume, of a stack: what region methods share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.planes import AnyRule, Fractions, PlaceRule, PlaneIndex, SteppedRule
from napari_segtool.core.progress import Progress, Steps, as_progress
from napari_segtool.core.slabs import made_steps, put_steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._contours import read_volume_steps, volumes_of
from napari_segtool.methods._grey import Grey
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._volumes import voxel_size


@dataclass(frozen=True, eq=False)
class Piece:
    """A slice or a volume, and what lies over it.

    Parameters
    ----------
    grey
        Grey values ``(Y, X)`` or ``(depth, Y, X)``.
    size
        Size of a voxel along each axis of ``grey``, in pixels along X.
    given
        Paint and labels of the shape of ``grey``.
    """

    grey: NDArray[Any]
    size: tuple[float, ...]
    given: Given = field(default_factory=Given)

    def known_steps(self) -> Fractions:
        """Return where pixels have a finite value; yields 0."""
        floats = self.grey.dtype.kind == "f"
        return (yield from portion(made_steps(self.grey.shape, bool, lambda part: np.isfinite(self.grey[part]) if floats else True), 0.0, 0.0))


Work = Callable[[Piece], Fractions]
"""Makes labels, of the shape of the grey values, of a piece."""


def pieces_steps(stack: Stack, grey: Grey, work: Work, given: Given | None = None, *, volume: bool) -> Steps[AnyRule | NDArray[Any]]:
    """Return the rule that does ``work`` on a slice; with ``volume`` the labels of all volumes.

    Raises
    ------
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    if volume:
        return (yield from _volumes_steps(stack, grey, work, given or Given()))
    size = (stack.spacing_of("Y") / stack.spacing_of("X"), 1.0)
    if given is None or not given.names():
        return SteppedRule(lambda plane: work(Piece(grey(plane), size)))

    def at(index: PlaneIndex) -> SteppedRule:
        return SteppedRule(lambda plane: work(Piece(grey(plane), size, given.at(stack, index))))

    return PlaceRule(at)


def _volumes_steps(stack: Stack, grey: Grey, work: Work, given: Given) -> Steps[NDArray[Any]]:
    volumes = volumes_of(stack)
    size = tuple(length / stack.spacing_of("X") for length in voxel_size(stack))
    labels = np.zeros(stack.label_shape, np.uint8)
    for done, volume in enumerate(volumes):
        values = yield from read_volume_steps(stack, grey, volume, done, len(volumes))
        over = Given(*(None if part is None else np.ascontiguousarray(volume.of(part)) for part in (given.paint, given.labels)))
        made = yield from as_progress(work(Piece(values, size, over)), done, len(volumes), "volume")
        del values, over
        if made.dtype.itemsize > labels.dtype.itemsize:
            widened = np.zeros(labels.shape, made.dtype)
            for earlier in volumes[:done]:
                for _ in put_steps(earlier.of(widened), earlier.of(labels)):
                    yield Progress(done + 1, len(volumes), "volume")
            labels = widened
        for _ in put_steps(volume.of(labels), made):
            yield Progress(done + 1, len(volumes), "volume")
        del made
    return labels
