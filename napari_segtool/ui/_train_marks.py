"""What the chosen labels are to a learner: strokes in which 0 is not labelled, or a mask in which 0 is a class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from napari.layers import Labels as LabelsLayer

from napari_segtool.annotate.counts import PaintCounts
from napari_segtool.ui._bridge import class_names_of, notes_of, unpainted_is_background

LabelsAre = Literal["paint", "mask"]

_SPARSE = 0.1
_MANY_PLANES, _NEARLY_ALL = 8, 0.9


def guess_labels_are(layer: LabelsLayer, counts: PaintCounts) -> LabelsAre:
    """Guess what 0 means in a labels layer.

    What the user said counts first; then who made the layer: Annotate makes paint, and results and samples, which name
    class 0, are masks. Of other layers, one value beside 0 can only be learned as a mask; strokes cover little of the slices they are on,
    and nobody paints strokes on nearly all of many slices.
    """
    notes = notes_of(layer)
    if notes.get("labels_are") in ("paint", "mask"):
        return notes["labels_are"]
    if notes.get("role") == "paint":
        return "mask" if unpainted_is_background(layer) else "paint"
    if notes.get("class_names") or len(counts.totals()) == 1:
        return "mask"
    planes = math.prod(layer.data.shape[:-2])
    everywhere = planes >= _MANY_PLANES and len(counts.planes()) >= _NEARLY_ALL * planes
    return "mask" if everywhere or counts.fraction() >= _SPARSE else "paint"


def names_for(layer: LabelsLayer, labels_are: LabelsAre) -> Mapping[int, str]:
    """Return names of the label values, as far as they are known; for a mask that of 0 too."""
    notes, names = notes_of(layer), dict(class_names_of(layer))
    if labels_are == "mask":
        given = notes.get("class_names", ())
        names = {**{value: str(name) for value, name in enumerate(given)}, **({} if given else {0: "background", **names})}
    return names


def missing_class(layer: LabelsLayer, counts: PaintCounts, labels_are: LabelsAre) -> str:
    """Say what keeps the labels from being learned from; empty if nothing does."""
    totals, names = counts.totals(), class_names_of(layer)
    if not totals:
        return "Nothing is painted yet." if labels_are == "paint" else "The labels are empty: every pixel is 0."
    if labels_are == "mask" or len(totals) > 1:
        return ""
    empty = [name for value, name in names.items() if value not in totals]
    if empty:
        return f"Paint at least two classes: {_listed(empty)} no pixels yet."
    return "Paint at least two classes: only one is painted."


def mask_text(layer: LabelsLayer, counts: PaintCounts) -> str:
    """Return the facts line of a mask ("2 classes: 0, 255 · all labelled")."""
    totals = counts.totals()
    size = 1
    for n in layer.data.shape:
        size *= int(n)
    values = [*([0] if sum(totals.values()) < size else []), *totals]
    shown = ", ".join(str(value) for value in values[:6]) + (", …" if len(values) > 6 else "")
    return f"{len(values)} class{'es' if len(values) != 1 else ''}: {shown} · all labelled"


def _listed(names: list[str]) -> str:
    quoted = [f"“{name}”" for name in names]
    if len(quoted) == 1:
        return f"{quoted[0]} has"
    return f"{', '.join(quoted[:-1])} and {quoted[-1]} have"
