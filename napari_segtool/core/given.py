"""What a method may be given beside the image: paint, labels, probabilities."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.planes import PlaneIndex, label_key
from napari_segtool.core.registry import Entry
from napari_segtool.core.stack import Stack

INPUTS = ("paint", "labels", "probabilities")
"""Names of the inputs, which are also traits of the entries that work with them: ``paint`` must be given, ``takes-paint`` may be."""

_HINTS = {
    "paint": "Paint a stroke for each class (Annotate panel), or give --paint FILE: 0 is not labelled, 1, 2, … are classes.",
    "labels": "Give --labels FILE, or an image that holds labels itself.",
    "probabilities": "Give --probabilities FILE (class axis first), or --labels FILE.",
}


@dataclass(frozen=True, eq=False)
class Given:
    """Arrays that lie over the image, in the order of its label axes.

    Parameters
    ----------
    paint
        Unsigned integers of `Stack.label_shape`: 0 not labelled, 1…K classes.
    labels
        Unsigned integers of `Stack.label_shape`.
    probabilities
        float32, class axis first, then `Stack.label_shape`.
    """

    paint: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    probabilities: NDArray[Any] | None = None

    def names(self) -> tuple[str, ...]:
        """Which of the inputs are there."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    def at(self, stack: Stack, index: PlaneIndex) -> Given:
        """Return what lies over one plane: arrays ``(Y, X)``, and probabilities ``(K, Y, X)``."""
        key = label_key(stack, index)
        flip = stack.label_axes.index("Y") > stack.label_axes.index("X")

        def part(array: NDArray[Any] | None, *before: slice) -> NDArray[Any] | None:
            if array is None:
                return None
            plane = array[(*before, *key)]
            return plane.swapaxes(-1, -2) if flip else plane

        return Given(part(self.paint), part(self.labels), part(self.probabilities, slice(None)))


def inputs_of(entry: Entry) -> tuple[str, ...]:
    """Return which inputs an entry works with: those it must be given, and those it may be."""
    return tuple(name for name in INPUTS if name in entry.traits or f"takes-{name}" in entry.traits)


def check_given(entry: Entry, given: Given) -> None:
    """Raise `ParameterError` if an input that the entry needs is missing, or one is given that it does not know."""
    for name in given.names():
        if name not in inputs_of(entry):
            others = inputs_of(entry)
            hint = f"It takes {' and '.join(others)}." if others else "Leave it out."
            raise ParameterError(f"{entry.title} does not use {name}.", hint=hint)
    for name in INPUTS:
        if name in entry.traits and name not in given.names():
            raise ParameterError(f"{entry.title} needs {name}, and none is given.", hint=_HINTS[name])
