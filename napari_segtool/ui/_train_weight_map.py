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
    painted
        Whether the labels are paint.
    """

    data: NDArray[Any]
    axes: str
    made: Weighed
    painted: bool = False

    @property
    def text(self) -> str:
        """What is seen, in words."""
        made = self.made
        if self.painted:
            counted = f"How much each painted pixel counts, at most {made.highest:.3g}; what is not painted does not count."
            return f"{counted} Borders are not weighed: that needs masks."
        weighed = f"border weight of {made.border_weight:g} for gaps of about {made.border_sigma_px:g} px"
        if made.preview:
            return f"Borders will not be weighed. {made.why} The map shows what a {weighed} would do."
        return f"How much each pixel counts: a {weighed}; at most {made.highest:.3g}."


def weight_map_steps(adviser: Adviser, order: Order) -> Steps[WeightMap]:
    """Ask for the weight map of the first image; to be run beside the GUI thread."""
    made = yield from adviser.ask_steps("weights", order)
    data = np.load(made.file)
    Path(made.file).unlink(missing_ok=True)
    return WeightMap(data, made.axes, made, order.labels_are == "paint")
