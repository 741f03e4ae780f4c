"""Write labels into a layer that is there already, as one step that napari's own undo takes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from napari.layers import Labels as LabelsLayer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_segtool import __version__
from napari_segtool.core.labels import class_colour
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.result import Step
from napari_segtool.ui._bridge import notes_of
from napari_segtool.ui._facts import count_text

try:  # what napari's own paint and fill leave for undo; data_setitem would take ten times the memory
    from napari.layers.labels.labels import _MaskedPaintAtom
except ImportError:
    _MaskedPaintAtom = None

Where = Literal["all", "found", "empty"]
"""Replace everything, only where the result is not 0, or only where the layer is 0."""

_MOST_COLOURED = 64


@dataclass(frozen=True, eq=False)
class Change:
    """Pixels of one part of a layer that get other labels.

    Parameters
    ----------
    box
        Where the part lies.
    mask
        Which of its pixels change, of the shape of the box.
    values
        Their new labels, in the order of the mask.
    """

    box: tuple[slice, ...]
    mask: NDArray[np.bool_]
    values: NDArray[Any]


def changes_steps(target: Any, labels: NDArray[Any], key: tuple[slice, ...], where: Where, inside: NDArray[Any] | None = None) -> Steps[tuple[Change, ...]]:
    """Work out which pixels of ``target`` change when ``labels`` are written into its part ``key``.

    Parameters
    ----------
    target
        Array of labels of any kind that takes indices; read part by part.
    labels
        Of the shape of that part.
    inside
        Mask of the shape of the part; nothing changes where it is 0.
    """
    first = [piece.indices(n)[0] for piece, n in zip(key, target.shape, strict=True)]
    changes = []
    places = list(_planes(labels.shape))
    for done, place in enumerate(places, start=1):
        box = tuple(slice(at + part.start, at + part.stop) for at, part in zip(first, place, strict=True))
        new, old = labels[place], np.asarray(target[box])
        mask = new != old
        if where == "found":
            mask &= new != 0
        elif where == "empty":
            mask &= old == 0
        if inside is not None:
            mask &= inside[place] != 0
        if mask.any():
            tight = _tight(mask)
            moved = tuple(slice(part.start + cut.start, part.start + cut.stop) for part, cut in zip(box, tight, strict=True))
            changes.append(Change(moved, mask[tight], new[tight][mask[tight]]))
        yield Progress(done, len(places), "slice")
    return tuple(changes)


def holds(layer: LabelsLayer, largest: int) -> bool:
    """True if the layer's type can hold a label."""
    return largest <= np.iinfo(layer.dtype).max


class Written:
    """One write into a layer: one undo step, and a recipe that goes and comes with undo and redo.

    Parameters
    ----------
    layer
        The labels layer.
    changes
        From `changes_steps`.
    history
        Steps that made the labels.
    where
        As in `changes_steps`.
    """

    def __init__(self, layer: LabelsLayer, changes: tuple[Change, ...], history: tuple[Step, ...], where: Where) -> None:
        self.layer = layer
        self.pixels = sum(int(change.mask.sum()) for change in changes)
        self._before = list(notes_of(layer).get("history", ()))
        merged = Step("merge:labels", {"where": where}, __version__, "")
        self._after = [*self._before, *(step.as_dict() for step in (*history, merged))]
        depth = len(layer._undo_history)
        with layer.block_history():
            for change in changes:
                self._write(change)
        self._mark = layer._undo_history[-1][0] if changes and len(layer._undo_history) >= depth else None
        self._stood = self._mark is not None
        if changes:
            _colour(layer, max(int(change.values.max(initial=0)) for change in changes))
            layer.refresh(extent=False)
            notes_of(layer)["history"] = self._after
            layer.events.set_data.connect(self._follow_undo)

    @property
    def stands(self) -> bool:
        """True until it is undone, and again when it is redone."""
        return self._mark is not None and any(atom is self._mark for item in self.layer._undo_history for atom in item)

    @property
    def text(self) -> str:
        """What was written, for the message line."""
        if not self.pixels:
            return f"Nothing changed in layer “{self.layer.name}”."
        many = f"{count_text(self.pixels)} pixel{'s' if self.pixels > 1 else ''}"
        return f"{many} changed in layer “{self.layer.name}” (Ctrl+Z to undo)."

    def undo(self) -> None:
        """Take it back, and what was done to the layer after it."""
        while self.stands:
            self.layer.undo()

    def _write(self, change: Change) -> None:
        layer = self.layer
        if _MaskedPaintAtom is None:
            places = np.nonzero(change.mask)
            layer.data_setitem(tuple(at + part.start for at, part in zip(places, change.box, strict=True)), change.values, refresh=False)
            return
        part = np.array(layer.data[change.box])
        values = change.values.astype(part.dtype)
        layer._save_history(_MaskedPaintAtom(change.box, change.mask, part[change.mask], values))
        part[change.mask] = values
        layer.data[change.box] = part

    def _follow_undo(self, event: Any = None) -> None:
        undone = any(atom is self._mark for item in self.layer._redo_history for atom in item)
        if self.stands == self._stood or self.stands == undone:
            return
        self._stood = not self._stood
        notes_of(self.layer)["history"] = self._after if self._stood else self._before


def _planes(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    for index in np.ndindex(shape[:-2]):
        yield (*(slice(i, i + 1) for i in index), slice(0, shape[-2]), slice(0, shape[-1]))


def _tight(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Smallest box that holds all of a mask."""
    box = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(i for i in range(mask.ndim) if i != axis)))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def _colour(layer: LabelsLayer, largest: int) -> None:
    """Give labels that have no colour yet in a layer of classes the colours of classes."""
    colours = layer.colormap
    if not isinstance(colours, DirectLabelColormap) or largest > _MOST_COLOURED:
        return
    fresh: dict[Any, Any] = {value: class_colour(value) for value in range(1, largest + 1) if value not in colours.color_dict}
    if fresh:
        layer.colormap = DirectLabelColormap(color_dict={**colours.color_dict, **fresh})
