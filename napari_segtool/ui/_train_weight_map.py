"""The weight map of a training, as a layer over its image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.progress import Steps
from napari_segtool.ui._train_adviser import Adviser
from napari_segtool.ui._train_answers import Weighed
from napari_segtool.ui._train_order import Order


@dataclass(frozen=True, eq=False)
class WeightMap:
    """Weights of the pixels of an image.

    Parameters
    ----------
    data, axes
        float32, and its axes.
    made
        What it was made with.
    sparse
        Whether it is 0 where nothing is painted, since that is not learned from.
    """

    data: NDArray[Any]
    axes: str
    made: Weighed
    sparse: bool = False

    @property
    def text(self) -> str:
        """What is seen, in words."""
        if self.sparse:
            return f"How much each painted pixel counts, at most {self.made.highest:.3g}; what is not painted does not count."
        w0, sigma_px = self.made.border_weight, self.made.border_sigma_px
        weighed = f"border weight of {w0:g} for gaps of about {sigma_px:g} px"
        if self.made.why:
            return f"Borders will not be weighed. {self.made.why} The map shows what a {weighed} would do."
        return f"How much each pixel counts: a {weighed}; at most {self.made.highest:.3g}."


def weight_map_steps(adviser: Adviser, order: Order) -> Steps[WeightMap]:
    """Ask for the weight map of the first image; to be run beside the GUI thread."""
    made = yield from adviser.ask_steps("weights", order)
    data = np.load(made.file)
    Path(made.file).unlink(missing_ok=True)
    marks = order.pairs[0][1]
    sparse = order.labels_are == "paint" and marks.axes == made.axes
    if sparse:
        for index in range(len(data)):
            data[index][np.asarray(marks.data[index]) == 0] = 0
    return WeightMap(data, made.axes, made, sparse)
