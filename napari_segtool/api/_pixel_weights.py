"""How much each pixel of a pair counts, given in any form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.api._sources import stack_of
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.stack import Stack, cut, parse_slices

Weights = NDArray[Any] | Stack | str | Path | None


def weighed(pair: tuple[Stack, Labels | Paint], given: Sequence[Weights], slices: str) -> tuple[Any, ...]:
    """Add to an image and its labels what else was given, the weights of their pixels: with axes, and cut to the same slices.

    Whether they fit is checked where the run is made.
    """
    stack, loaded = pair[0], []
    for weights in given:
        each: Any = stack_of(weights, "") if isinstance(weights, str | Path) else weights
        data = each.data if isinstance(each, Stack) else each
        if each is not None and np.ndim(data) == len(stack.label_axes):
            named = isinstance(each, Stack) and sorted(each.axes) == sorted(stack.label_axes)
            axes = pair[1].axes if sorted(pair[1].axes) == sorted(stack.label_axes) else stack.label_axes
            each = each if named else Stack(data if hasattr(data, "shape") else np.asarray(data), axes)
            each = cut(each, *parse_slices(slices)) if slices and each.slices != stack.slices else each
        loaded.append(each)
    return (*pair, *loaded)
