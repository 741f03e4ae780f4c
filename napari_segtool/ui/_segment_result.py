"""The result of the Segment panel: worked out with what has to be known to write it, and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image
from napari.layers import Labels as LabelsLayer

from napari_segtool.core.chain import Link
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import Entry
from napari_segtool.core.result import Segmentation
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import add_labels, axes_of, data_of
from napari_segtool.ui._facts import count_text
from napari_segtool.ui._plane_layer import plane_placement
from napari_segtool.ui._segment_steps import MASK, Plan, apply_steps, part_key
from napari_segtool.ui._write_into import Change, Where, Written, changes_steps, holds


@dataclass(frozen=True, eq=False)
class Goal:
    """A labels layer to write into.

    Parameters
    ----------
    layer
        The layer.
    where
        Which of its pixels may change.
    data
        Its pixels.
    wide
        Where its single sample stands that lies over all channels of the image; -1 where there is none.
    """

    layer: LabelsLayer
    where: Where
    data: Any
    wide: int

    @classmethod
    def of(cls, layer: LabelsLayer, where: Where, image: Image) -> Goal:
        """Make one for a layer that lies over ``image``."""
        return cls(layer, where, data_of(layer), axes_of(image).find("C", 1))


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out, and what of it changes in the layer it goes into, if it goes into one that can hold it."""

    segmentation: Segmentation
    changes: tuple[Change, ...] | None = None


def result_steps(stack: Stack, plan: Plan, goal: Goal | None) -> Steps[Outcome]:
    """Do what the plan says, and find what changes in the layer that it goes into."""
    segmentation = yield from apply_steps(stack, plan)
    labels = np.asarray(segmentation.data)
    if goal is None or not holds(goal.layer, int(labels.max(initial=0))):
        return Outcome(segmentation)
    key = part_key(stack, plan.only)
    inside = plan.beside[MASK].part(key) if MASK in plan.beside else None
    if goal.wide > 0:
        labels = np.expand_dims(labels, goal.wide)
        inside = None if inside is None else np.expand_dims(inside, goal.wide)
        key = (*key[: goal.wide], slice(None), *key[goal.wide :])
    changes = yield from changes_steps(goal.data, labels, key, goal.where, inside)
    return Outcome(segmentation, changes)


def show_new(viewer: Any, outcome: Outcome, image: Image, entry: Entry, plan: Plan) -> LabelsLayer:
    """Show the result as a layer of its own; running again updates it, unless it was edited."""
    name = f"{image.name} · {entry.title}"
    if plan.only is None:
        return add_labels(viewer, outcome.segmentation, image, name)
    return add_labels(viewer, outcome.segmentation, image, f"{name} · slice", placement=plane_placement(image, plan.only))


def write_into(goal: Goal, outcome: Outcome) -> Written | None:
    """Write the result into its layer as one step to undo; None where the layer cannot hold it, or has been given other pixels."""
    if outcome.changes is None or data_of(goal.layer) is not goal.data:
        return None
    return Written(goal.layer, outcome.changes, outcome.segmentation.history, goal.where)


def found_text(entry: Entry, then: Sequence[Link], largest: int) -> str:
    """Say in a few words what is in the result."""
    if largest == 0:
        return "nothing was found, every pixel is 0"
    if entry.family in ("threshold", "clustering") and not then:
        return f"{largest + 1} classes"
    if entry.family == "edges" and not then:
        return f"up to {count_text(largest)} regions in a slice"
    return f"labels 1 to {count_text(largest)}" if largest > 1 else "one label"
