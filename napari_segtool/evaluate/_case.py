"""What is scored: a prediction and a truth brought to one shape and one numbering of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError, ShapeError
from napari_segtool.core.labels import as_label_array, smallest_dtype
from napari_segtool.core.result import Probabilities
from napari_segtool.core.stack import Stack

_MOST_CLASSES = 256
_PLAIN = 10  # values below it are taken for class numbers, not for the grey levels of a mask
_MOST_VALUE = 2**24  # a look-up table of all label values stays below 64 MiB


@dataclass(frozen=True, eq=False)
class Case:
    """A prediction and its truth, ready to compare.

    Parameters
    ----------
    prediction, truth
        Class values, unsigned integers of equal shape ``(…, Y, X)`` in one numbering.
    axes
        One letter for each dimension of both; Y and X are last.
    class_values
        Every class that either may hold, in increasing order; the first is boundary or background.
    class_names
        Name of each of ``class_values``.
    probabilities
        Shape ``(class, …, Y, X)`` in the order of ``class_values``, 0 to 1, or None.
    spacing_um
        As `Stack.spacing_um`, along the axes that are there.
    """

    prediction: NDArray[Any]
    truth: NDArray[Any]
    axes: str
    class_values: tuple[int, ...]
    class_names: tuple[str, ...]
    probabilities: Any = None
    spacing_um: tuple[float, ...] = ()

    @property
    def planes(self) -> tuple[tuple[int, ...], ...]:
        """Index of every ``(Y, X)`` plane."""
        return tuple(np.ndindex(self.truth.shape[:-2]))


def make_case(
    prediction: Stack,
    truth: Stack,
    probabilities: Probabilities | NDArray[Any] | None = None,
    *,
    class_names: Sequence[str] = (),
) -> Case:
    """Bring a prediction and a truth to one shape and one numbering.

    Axes of length one are dropped, and Y and X put last. The truth keeps its values where they are classes of the
    prediction (or the prediction's are among them); otherwise its distinct values, in increasing order, are taken for
    the classes of the prediction, so that 0/255 meets 0/1, and 0/1 meets 1/2 of a model learned from paint.

    Parameters
    ----------
    prediction, truth
        Label values, of equal shape but for axes of length one; grey RGB pictures are read as their one channel.
    probabilities
        Of the prediction, class axis first; plain arrays hold the classes 0…K-1, or 1…K where the prediction holds K.
    class_names
        Name of each class in increasing order of its value; by default the value itself.

    Returns
    -------
    Case
        In the numbering of the prediction.

    Raises
    ------
    ShapeError
        If the shapes differ.
    DataError
        If the arrays are empty, hold no whole numbers, or more classes than could be meant as such, or if the values
        of the truth cannot be matched with those of the prediction.

    Examples
    --------
    >>> guess, truth = np.array([[0, 1, 1]]), np.array([[0, 0, 255]])
    >>> make_case(Stack(guess, "YX"), Stack(truth, "YX")).truth.tolist()
    [[0, 0, 1]]
    """
    guess, guess_axes = _flatten(prediction)
    actual, actual_axes = _flatten(truth)
    guess = _aligned(guess, guess_axes, actual_axes)
    if guess.shape != actual.shape:
        raise ShapeError(
            f"The prediction is {_spelled(prediction)}, the truth {_spelled(truth)}; they must be equal.",
            hint="Compare the same slices of the same picture, for example with --slices 15:20.",
        )
    if actual.size == 0:
        raise DataError(f"There is nothing to compare: prediction and truth have the shape {actual.shape}.")
    guess_values, actual_values = _values(guess, "prediction"), _values(actual, "truth")
    known = _classes_of(probabilities, guess_values)
    mapping = _matched(known or guess_values, actual_values)
    classes = known or tuple(sorted({*guess_values, *mapping.values()}))
    if not set(guess_values) | set(mapping.values()) <= set(classes):
        raise DataError(
            f"The probabilities are of the classes {_listed(classes)}, but prediction and truth hold {_listed(guess_values)} and {_listed(actual_values)}.",
            hint="Give the probabilities that belong to this prediction.",
        )
    if class_names and len(class_names) != len(classes):
        raise DataError(f"{len(class_names)} class names were given for {len(classes)} classes: {_listed(classes)}.", hint="Name each class once.")
    return Case(
        prediction=guess,
        truth=_renumbered(actual, mapping),
        axes=actual_axes,
        class_values=classes,
        class_names=tuple(class_names) or tuple(str(value) for value in classes),
        probabilities=None if probabilities is None else _fitted(probabilities, len(classes), prediction, actual_axes, actual.shape),
        spacing_um=tuple(truth.spacing_of(axis) for axis in actual_axes if axis in truth.spatial) if truth.spacing_um else (),
    )


def _flatten(stack: Stack) -> tuple[NDArray[Any], str]:
    """Labels without channels and axes of length one, Y and X last."""
    array, axes, channel = np.asarray(stack.data), stack.axes, stack.channel_axis
    if channel >= 0:
        if array.shape[channel] == 0 or (array != array.take([0], axis=channel)).any():
            raise DataError(
                f"{stack.name or 'The labels'} have {array.shape[channel]} channels ({axes}) that differ: that is a colour picture, not labels.",
                hint="Save the labels as one channel of whole numbers.",
            )
        array, axes = array.take(0, axis=channel), axes[:channel] + axes[channel + 1 :]
    array, axes = _arranged(array, axes)
    return as_label_array(array), axes


def _arranged(array: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    """Drop axes of length one (but the classes, ``c``, and Y, X) and order the rest: classes first, Y and X last."""
    kept = [i for i, axis in enumerate(axes) if axis in "cYX" or array.shape[i] != 1]
    kept.sort(key=lambda i: "c_YX".find(axes[i]) if axes[i] in "cYX" else 1)
    dropped = [i for i in range(len(axes)) if i not in kept]
    return array.transpose(kept + dropped).reshape([array.shape[i] for i in kept]), "".join(axes[i] for i in kept)


def _aligned(array: NDArray[Any], axes: str, wanted: str) -> NDArray[Any]:
    """Put the axes in the order of ``wanted`` where both name the same ones."""
    return array.transpose([axes.index(axis) for axis in wanted]) if sorted(axes) == sorted(wanted) else array


def _fitted(probabilities: Probabilities | NDArray[Any], classes: int, prediction: Stack, axes: str, shape: tuple[int, ...]) -> Any:
    """Probabilities of shape ``(classes, *shape)``, without copying where nothing has to move."""
    data = probabilities.data if isinstance(probabilities, Probabilities) else probabilities
    if tuple(data.shape) == (classes, *shape):
        return data
    array, named = np.asarray(data), prediction.label_axes
    if array.ndim == len(named) + 1:
        array, letters = _arranged(array, "c" + named)
        array = _aligned(array, letters, "c" + axes)
    if array.shape != (classes, *shape):
        raise ShapeError(
            f"The probabilities have the shape {tuple(data.shape)}, wanted {(classes, *shape)}: {classes} classes first, then the axes {axes}.",
            hint="Give the probabilities that belong to this prediction, of the same slices.",
        )
    return array


def _values(array: NDArray[Any], who: str) -> tuple[int, ...]:
    """Distinct values, found plane by plane."""
    if int(array.max()) >= _MOST_VALUE:
        raise DataError(f"The {who} holds the value {int(array.max())}: that is no class.", hint="Classes are small whole numbers.")
    seen = np.zeros(int(array.max()) + 1, bool)
    for place in np.ndindex(array.shape[:-2]):
        seen[array[place]] = True
    values = tuple(np.flatnonzero(seen).tolist())
    if len(values) > _MOST_CLASSES:
        raise DataError(
            f"The {who} holds {len(values)} different values: these look like objects, not classes.", hint="Compare class labels, with at most 256 classes."
        )
    return values


def _classes_of(probabilities: Probabilities | NDArray[Any] | None, guessed: tuple[int, ...]) -> tuple[int, ...]:
    """Class values that probabilities speak of; empty without probabilities."""
    if probabilities is None:
        return ()
    if isinstance(probabilities, Probabilities) and probabilities.classes:
        return tuple(probabilities.classes)
    count = int(probabilities.data.shape[0]) if isinstance(probabilities, Probabilities) else int(probabilities.shape[0])
    first = 1 if guessed[-1] == count else 0
    return tuple(range(first, first + count))


def _matched(classes: tuple[int, ...], actual: tuple[int, ...]) -> dict[int, int]:
    """Say which class each value of the truth means."""
    have, want = set(classes), set(actual)
    plain = 0 in have and 0 in want and max(have | want) < _PLAIN  # each may lack classes of the other: renaming would flatter
    if want <= have or have <= want or plain:
        return dict(zip(actual, actual, strict=True))
    if len(have) == len(want):
        return dict(zip(actual, classes, strict=True))
    for first in (0, 1):  # a class that was never predicted is missing in the prediction: count as masks do, then as paint does
        counted = range(first, first + len(actual))
        if have <= set(counted):
            return dict(zip(actual, counted, strict=True))
    raise DataError(
        f"The values of the truth ({_listed(actual)}) cannot be matched with the classes of the prediction ({_listed(classes)}).",
        hint="Give both the same numbers, or the truth as many values as there are classes.",
    )


def _renumbered(array: NDArray[Any], mapping: dict[int, int]) -> NDArray[Any]:
    if all(old == new for old, new in mapping.items()):
        return array
    table = np.zeros(max(mapping) + 1, smallest_dtype(max(mapping.values())))
    table[list(mapping)] = list(mapping.values())
    renumbered: NDArray[Any] = table[array]
    return renumbered


def _listed(values: tuple[int, ...]) -> str:
    shown = ", ".join(str(value) for value in values[:8])
    return f"{shown}, … {values[-1]}" if len(values) > 8 else shown


def _spelled(stack: Stack) -> str:
    return f"{'×'.join(str(n) for n in stack.shape)} ({stack.axes})"
