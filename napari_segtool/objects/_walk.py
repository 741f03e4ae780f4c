"""Change labels plane by plane, or volume by volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import SpacingError
from napari_segtool.core.given import Given
from napari_segtool.core.planes import Fractions, PlaceRule, PlaneIndex, SteppedRule
from napari_segtool.core.progress import Progress, Steps, as_progress
from napari_segtool.core.slabs import put_steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._contours import volumes_of
from napari_segtool.preprocess._volumes import voxel_size

Refine = Callable[[NDArray[Any]], Fractions]
"""Work on labels ``(Y, X)`` or ``(depth, Y, X)``, contiguous, not to be written to; returns labels of their type."""


def refine_steps(stack: Stack, given: Given, refine: Refine, *, volume: bool) -> Steps[PlaceRule | NDArray[Any]]:
    """Return the rule that changes the labels over a plane; with ``volume`` the labels of all volumes, changed.

    Raises
    ------
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    labels = given.labels
    assert labels is not None
    if volume:
        return (yield from _volumes_steps(stack, labels, refine))

    def at(index: PlaneIndex) -> SteppedRule:
        plane = given.at(stack, index).labels
        assert plane is not None
        return SteppedRule(lambda _: refine(np.ascontiguousarray(plane)))

    return PlaceRule(at)


def _volumes_steps(stack: Stack, labels: NDArray[Any], refine: Refine) -> Steps[NDArray[Any]]:
    volumes = volumes_of(stack)
    result = np.zeros(stack.label_shape, labels.dtype)
    for done, volume in enumerate(volumes):
        work = refine(np.ascontiguousarray(volume.of(labels)))
        changed = yield from as_progress(work, done, len(volumes), "volume")
        for _ in put_steps(volume.of(result), changed):
            yield Progress(done + 1, len(volumes), "volume")
        del changed
    return result


def pixels_of(stack: Stack, px: int, um: float, *, volume: bool) -> float:
    """Return a size in pixels (voxels) that was given in those, or in µm² (µm³) where that is above 0.

    Raises
    ------
    SpacingError
        If it is given in µm and the spacing is unknown.

    Examples
    --------
    >>> pixels_of(Stack(np.zeros((4, 4)), "YX", (0.5, 0.5)), 3, 2.0, volume=False)
    8.0
    """
    if um <= 0:
        return float(px)
    if not stack.spacing_um:
        unit = "µm³" if volume else "µm²"
        raise SpacingError(f"{stack.name or 'The image'} has no spacing, so {um:g} {unit} cannot be told in pixels.", hint="Give the spacing, or pixels.")
    return um / float(np.prod(sample_size(stack, volume=volume)))


def sample_size(stack: Stack, *, volume: bool) -> tuple[float, ...]:
    """Return the size of a pixel along Y and X, or of a voxel along depth, Y and X, in µm; 1.0 where the spacing is unknown."""
    return voxel_size(stack) if volume else (stack.spacing_of("Y"), stack.spacing_of("X"))
