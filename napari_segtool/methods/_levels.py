"""Classes of grey levels: learned from a histogram, applied as a look-up table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import Histogram, plane_histogram, stack_histogram_steps
from napari_segtool.methods._partition import best_partition

Table = NDArray[np.uint8]


def split_levels(histogram: Histogram, classes: int) -> Table:
    """Return the class of each bin, 0 for the darkest, such that the grey values of each class lie closest together."""
    levels = histogram.levels()
    starts = levels[best_partition(levels.astype(np.float64), histogram.counts[levels].astype(np.float64), classes)]
    return np.searchsorted(starts, np.arange(len(histogram.counts)), side="right").astype(np.uint8)


def level_rule_steps(stack: Stack, grey: Grey, table_of: Callable[[Histogram], Table], *, per_slice: bool) -> Steps[PlaneRule]:
    """Learn a table of classes from the whole stack, or let each plane learn its own.

    With ``per_slice`` a plane without any value becomes 0.
    """
    if per_slice:

        def own_table(plane: NDArray[Any]) -> NDArray[Any]:
            values = grey(plane)
            histogram = plane_histogram(values)
            return np.zeros(values.shape, np.uint8) if histogram is None else histogram.look_up(table_of(histogram), values)

        return own_table

    histogram = yield from stack_histogram_steps(stack, grey)
    sort = histogram.sorter(table_of(histogram))

    def shared_table(plane: NDArray[Any]) -> NDArray[Any]:
        return sort(grey(plane))

    return shared_table


def split_rule_steps(stack: Stack, grey: Grey, classes: int, *, per_slice: bool, what: str) -> Steps[PlaneRule]:
    """Return a rule that sorts pixels into ``classes`` groups of grey values.

    Raises
    ------
    DataError
        If the stack has fewer grey values than ``classes``. With ``per_slice``, a plane that has fewer gets one class for each.
    """

    def table_of(histogram: Histogram) -> Table:
        found = len(histogram.levels())
        if found < classes and not per_slice:
            hint = "Nothing can be told apart in it." if found == 1 else f"Ask for at most {found}."
            raise DataError(f"{stack.name or 'The image'} holds {found} grey value(s), but {classes} {what} are wanted.", hint=hint)
        return split_levels(histogram, min(found, classes))

    return (yield from level_rule_steps(stack, grey, table_of, per_slice=per_slice))
