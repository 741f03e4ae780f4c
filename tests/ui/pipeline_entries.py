"""Small methods that behave like those of every kind the panel has to work with."""

from __future__ import annotations

import time

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaceRule, SteppedRule, plane_indices
from napari_segtool.core.progress import Evolution
from napari_segtool.core.registry import Entry


class NoParams(Params):
    """No settings."""


class ShiftParams(Params):
    """Settings of `shift`."""

    by: int = param(1, "Added to every label that is not 0.", ge=0, le=50)


class SlowParams(Params):
    """Settings of the evolving method."""

    until: int = param(3, "How far it evolves.", ge=1, le=50)


def shift(stack, params, given):
    """Add to labels, plane by plane."""
    yield from ()

    def at(index):
        labels = given.at(stack, index).labels
        return lambda plane: np.where(labels != 0, labels + np.uint32(params.by), 0)

    return PlaceRule(at)


def rank(stack, params, given):
    """Number the labels of the whole stack anew, from the largest down: no plane alone knows how."""
    yield from ()
    labels = np.asarray(given.labels)
    return np.where(labels != 0, int(labels.max()) + 1 - labels.astype(np.int64), 0)


def nearest(stack, params, given):
    """Give every pixel the class whose paint is nearest in grey, over the whole stack."""
    from napari_segtool.core.planes import read_plane

    yield from ()
    painted = {}
    for index in plane_indices(stack):
        paint, plane = given.at(stack, index).paint, read_plane(stack, index)
        plane = plane if plane.ndim == 2 else plane.mean(axis=0)
        for value in np.unique(paint[paint > 0]):
            painted.setdefault(int(value), []).append(plane[paint == value].astype(float))
    classes = sorted(painted)
    means = [float(np.nanmean(np.concatenate(painted[value]))) for value in classes]

    def rule(plane):
        grey = plane if plane.ndim == 2 else plane.mean(axis=0)
        found = np.array(classes)[np.argmin([np.abs(np.nan_to_num(grey) - mean) for mean in means], axis=0)]
        return np.where(np.isfinite(grey), found, 0).astype(np.uint8)

    return rule


def likeliest(stack, params, given):
    """Take the most probable class."""
    yield from ()
    return np.argmax(given.probabilities, axis=0)


def evolving(stack, params):
    """Grow a label step by step, and show it."""
    yield from ()

    def steps(plane):
        from napari_segtool.core.progress import Sketch

        for step in range(1, params.until + 1):
            yield Sketch(step / params.until, np.full(plane.shape[-2:], step, np.uint8))
            time.sleep(0.08)
        return np.full(plane.shape[-2:], 100, np.uint8)

    return SteppedRule(steps)


ENTRIES = (
    Entry("shift", "Shift", "Adds to labels.", shift, ShiftParams, "refine", traits=frozenset({"labels"})),
    Entry("rank", "Rank", "Numbers labels anew.", rank, NoParams, "refine", traits=frozenset({"labels"})),
    Entry("nearest", "Nearest paint", "Classes like their paint.", nearest, NoParams, "regions", traits=frozenset({"paint"})),
    Entry("likeliest", "Likeliest", "Most probable class.", likeliest, NoParams, "objects", traits=frozenset({"probabilities"})),
    Entry("evolving", "Evolving", "Is seen evolving.", evolving, SlowParams, "contours"),
)


def with_entries(registry, *entries):
    """Return the entries of a registry, and these."""
    return {**{entry.name: entry for entry in registry}, **{entry.name: entry for entry in entries}}


def is_evolution(progress):
    """True for progress that can be looked at."""
    return isinstance(progress, Evolution) and progress.labels is not None
