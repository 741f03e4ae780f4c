"""What a method makes of the visible slice: worked out off the GUI thread, shown as a layer of that one slice."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from napari.utils.colormaps import DirectLabelColormap, label_colormap
from numpy.typing import NDArray

from napari_segtool.core.labels import OKABE_ITO, as_label_array
from napari_segtool.core.planes import PlaneIndex, label_key, read_plane
from napari_segtool.core.progress import Steps
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import META, class_colormap, notes_of, placement_of

BINS = 128


@dataclass(frozen=True, eq=False)
class Bars:
    """Histogram of one slice, on the scale of the whole stack.

    Parameters
    ----------
    counts
        Pixels in each bin.
    lowest, highest
        Smallest and largest grey value of the stack: the ends of the scale.
    borders
        Smallest grey value of each class but the darkest; empty where classes are not ranges of grey.
    """

    counts: NDArray[np.float64]
    lowest: float
    highest: float
    borders: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Preview:
    """Labels of one slice, and the histogram where it was asked for."""

    plane: NDArray[Any]
    index: PlaneIndex
    bars: Bars | None = None


def preview_steps(stack: Stack, method: str, params: dict[str, Any], index: PlaneIndex, histogram: bool) -> Steps[Preview]:
    """Work out the labels of one plane, learning from the whole stack what the method learns.

    Parameters
    ----------
    histogram
        Whether the bars are wanted too.
    """
    from napari_segtool import api

    outcome = yield from api.segment_rule_steps(stack, method, **params)
    if isinstance(outcome, np.ndarray):
        plane = outcome[label_key(stack, index)]
        plane = plane.T if stack.label_axes.index("Y") > stack.label_axes.index("X") else plane
    else:
        plane = outcome(read_plane(stack, index))
    bars = (yield from _bars_steps(stack, index, plane)) if histogram else None
    return Preview(as_label_array(plane), index, bars)


def _bars_steps(stack: Stack, index: PlaneIndex, labels: NDArray[Any]) -> Steps[Bars]:
    from napari_segtool.methods._grey import Grey
    from napari_segtool.methods._histogram import stack_histogram_steps

    grey = Grey.of(stack)
    whole = yield from stack_histogram_steps(stack, grey)
    plane = grey.read(stack, index)
    finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
    highest = whole.highest if whole.highest > whole.lowest else whole.lowest + 1.0
    counts, _ = np.histogram(finite, BINS, (whole.lowest, highest))
    classes = [value for value in range(int(labels.max()) + 1) if labels.size and (labels == value).any()] if labels.max(initial=0) <= 16 else []
    ranges = sorted((float(plane[labels == value].min()), float(plane[labels == value].max())) for value in classes)
    apart = all(low[1] < high[0] for low, high in itertools.pairwise(ranges))
    return Bars(counts.astype(np.float64), whole.lowest, highest, tuple(low for low, _ in ranges[1:]) if apart else ())


class PreviewLayer:
    """The one preview layer of a panel: a single slice, laid where it belongs, that nobody can mistake for a result."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self.layer: LabelsLayer | None = None
        self._placed: tuple[Any, ...] = ()

    @property
    def shown(self) -> bool:
        """True while the layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    def show(self, preview: Preview, like: Image, axes: str) -> None:
        """Show the labels of one plane over ``like``, whose axes are ``axes``; the user's choice of layer is kept."""
        letters = "".join(letter for i, letter in enumerate(axes.replace("S", "")) if letter != "C" or i > 0)
        plane = preview.plane.T if letters.index("Y") > letters.index("X") else preview.plane
        # Always 8 bit, colours repeating: cheap, and napari layers of 16 bit whose pixels have been replaced crash Mesa's software
        # OpenGL (on which remote desktops run) when they are removed and another labels layer is drawn.
        shown = plane.astype(np.uint8) if plane.max(initial=0) <= 255 else np.where(plane, (plane - 1) % 255 + 1, 0).astype(np.uint8)
        data = np.ascontiguousarray(shown).reshape([n if letter in "YX" else 1 for letter, n in _sizes(letters, plane)])
        placement = placement_of(like)
        offset = np.zeros(len(letters))
        offset[[i for i, letter in enumerate(letters) if letter not in "CYX"]] = preview.index
        linear = np.asarray(placement["rotate"]) @ np.asarray(placement["shear"]) @ np.diag(placement["scale"])
        placement["translate"] = tuple(np.asarray(placement["translate"]) + linear @ offset)
        placed = (id(like), letters, preview.index, tuple(placement["scale"]), placement["translate"], tuple(map(str, placement["units"])))
        largest = int(data.max(initial=0))
        if self.shown and self._placed == placed and self.layer is not None and self.layer.data.shape == data.shape:
            self.layer.data[...] = data  # a tenth of the time that new data take, and a slider may be moving
            self.layer.refresh(extent=False, thumbnail=False, highlight=False)
        else:
            self.remove()
            selected = set(self._viewer.layers.selection)
            self.layer = self._viewer.add_labels(data, name=f"{like.name} · preview", opacity=0.45, metadata={META: {"role": "preview"}}, **placement)
            notes_of(self.layer)["axes"] = letters
            self.layer.editable = False
            self._viewer.layers.selection = selected
            self._placed = placed
        few = largest <= len(OKABE_ITO)
        if few != isinstance(self.layer.colormap, DirectLabelColormap):
            self.layer.colormap = class_colormap(range(1, len(OKABE_ITO) + 1)) if few else label_colormap()

    def remove(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None  # first, so that whoever hears of the removal knows it was ours
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


def _sizes(letters: str, plane: NDArray[Any]) -> list[tuple[str, int]]:
    order = [letter for letter in letters if letter in "YX"]
    return [(letter, plane.shape[order.index(letter)] if letter in "YX" else 1) for letter in letters]
