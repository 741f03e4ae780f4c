"""An image with named axes and a physical spacing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import AxesError, SpacingError

SPATIAL = "ZYX"
PAGES = "IQ"
"""Letters for pages whose meaning the file does not say (tifffile's I and Q): treated as slices without a spacing."""
CHANNELS = "CS"
KNOWN_AXES = "TZCYXS" + PAGES


@dataclass(frozen=True, eq=False)
class Stack:
    """An image with named axes and spacing; the data may be numpy, dask or zarr.

    Parameters
    ----------
    data
        Array, one dimension for each letter of ``axes``.
    axes
        Letters of ``T`` time, ``Z``, ``C`` channel, ``Y``, ``X``, ``S`` colour sample, and ``I`` or ``Q`` for
        pages of unknown meaning; Y and X are required.
    spacing_um
        Size of one sample along each of the axes Z, Y, X that are there, in that order, in µm; ``()`` if unknown.
    name
        Name to show.

    Raises
    ------
    AxesError
        If the axes do not fit the data.
    SpacingError
        If there is not one positive spacing for each spatial axis.

    Examples
    --------
    >>> stack = Stack(np.zeros((3, 8, 8)), "ZYX", (0.05, 0.004, 0.004), "em")
    >>> stack.spatial, stack.slice_axis, stack.slices
    ('ZYX', 0, 3)
    """

    data: Any
    axes: str
    spacing_um: tuple[float, ...] = ()
    name: str = ""
    memo: dict[str, Any] = field(default_factory=dict, repr=False)
    """Facts derived from the data (a histogram, say), kept with the data so that they die with it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", check_axes(self.axes, tuple(self.data.shape), self.name))
        object.__setattr__(self, "spacing_um", check_spacing(self.spacing_um, self.axes, self.name))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.data, dtype=dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(int(n) for n in self.data.shape)

    @property
    def spatial(self) -> str:
        """The axes of space that are there, in order: "ZYX" or "YX"."""
        return "".join(axis for axis in self.axes if axis in SPATIAL)

    @property
    def channel_axis(self) -> int:
        """Position of the channel or colour axis, -1 where there is none."""
        return next((i for i, axis in enumerate(self.axes) if axis in CHANNELS), -1)

    @property
    def slice_axis(self) -> int:
        """Position of the axis that slices are counted along: Z, else pages, else time, else Y."""
        for letter in "Z" + PAGES + "T":
            if letter in self.axes:
                return self.axes.index(letter)
        return self.axes.index("Y")

    @property
    def slices(self) -> int:
        """Number of slices along `slice_axis`; 1 for a single picture."""
        return 1 if self.axes[self.slice_axis] == "Y" else self.shape[self.slice_axis]

    @property
    def label_axes(self) -> str:
        """Axes of labels made from this stack: the same without channels."""
        return "".join(axis for axis in self.axes if axis not in CHANNELS)

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of labels made from this stack: the same without channels."""
        return tuple(n for axis, n in zip(self.axes, self.shape, strict=True) if axis not in CHANNELS)

    def spacing_of(self, axis: str) -> float:
        """Spacing along ``axis`` in µm; 1.0 where it is unknown."""
        return self.spacing_um[self.spatial.index(axis)] if self.spacing_um and axis in self.spatial else 1.0


def check_axes(axes: str, shape: tuple[int, ...], name: str = "") -> str:
    """Return ``axes`` in capitals if they fit ``shape``, or raise `AxesError`."""
    axes, who = axes.upper(), repr(name) if name else "The image"
    unknown = sorted(set(axes) - set(KNOWN_AXES))
    if unknown:
        raise AxesError(f"{who}: axis {unknown[0]!r} in {axes!r} is not known.", hint=f"Use letters of {', '.join(KNOWN_AXES)}, for example --axes ZYX.")
    if len(set(axes)) != len(axes):
        raise AxesError(f"{who}: the axes {axes!r} name one axis twice.", hint="Each letter may stand once, for example --axes TZYX.")
    if len(axes) != len(shape):
        raise AxesError(
            f"{who} has {len(shape)} dimensions {shape}, but the axes {axes!r} name {len(axes)}.",
            hint="Give one letter for each dimension, for example --axes ZYX.",
        )
    if "Y" not in axes or "X" not in axes:
        raise AxesError(f"{who}: the axes {axes!r} lack Y or X.", hint="Every picture needs Y and X, for example --axes ZYX.")
    if "C" in axes and "S" in axes:
        raise AxesError(f"{who} has both channels and colour samples ({axes}).", hint="Split the channels first, or save it as plain RGB.")
    return axes


def check_spacing(spacing_um: tuple[float, ...], axes: str, name: str = "") -> tuple[float, ...]:
    """Return the spacing as floats if it fits ``axes``, or raise `SpacingError`."""
    values = tuple(float(value) for value in spacing_um)
    spatial = [axis for axis in axes if axis in SPATIAL]
    who = repr(name) if name else "The image"
    if values and len(values) != len(spatial):
        example = ",".join(["0.05", "0.004", "0.004"][-len(spatial) :])
        raise SpacingError(
            f"{who} has the spatial axes {''.join(spatial)}, but {len(values)} spacing value(s) were given.",
            hint=f"Give {len(spatial)} numbers in µm in the order {','.join(spatial)}, for example --spacing {example}.",
        )
    if any(not math.isfinite(value) or value <= 0 for value in values):
        raise SpacingError(f"{who}: a spacing must be above 0 µm, got {values}.", hint="Give the size of one sample in µm.")
    return values


def corrected(stack: Stack, axes: str = "", spacing_um: tuple[float, ...] = ()) -> Stack:
    """Return the stack with the user's axes and spacing in place of what the file said.

    Three spacings for a stack of pages (``QYX``) say that the pages are sections: they become Z.
    """
    new_axes = axes.upper() or stack.axes
    spatial = [axis for axis in new_axes if axis in SPATIAL]
    if not axes and len(spacing_um) == len(spatial) + 1 and "Z" not in new_axes:
        pages = [axis for axis in new_axes if axis in PAGES]
        if pages:
            new_axes = new_axes.replace(pages[0], "Z")
            spatial = [axis for axis in new_axes if axis in SPATIAL]
    check_axes(new_axes, stack.shape, stack.name)
    if spacing_um:
        spacing = tuple(spacing_um)
    elif stack.spacing_um and all(axis in stack.spatial for axis in spatial):
        spacing = tuple(stack.spacing_of(axis) for axis in spatial)
    else:
        spacing = ()
    return replace(stack, axes=new_axes, spacing_um=spacing, memo={})


def cut(stack: Stack, start: int, stop: int) -> Stack:
    """Return slices ``start`` to ``stop`` (exclusive) along the slice axis, as a view where the data allow it.

    Raises
    ------
    AxesError
        If no slice is left.
    """
    taken = slice_range(stack, start, stop)
    index = tuple(slice(taken.start, taken.stop) if i == stack.slice_axis else slice(None) for i in range(len(stack.axes)))
    return replace(stack, data=stack.data[index], memo={})


def slice_range(stack: Stack, start: int, stop: int) -> range:
    """Return which slices ``start`` to ``stop`` (exclusive; negative numbers count from the end) are, along the slice axis.

    Raises
    ------
    AxesError
        If no slice is left.
    """
    count = stack.shape[stack.slice_axis]
    first, last, _ = slice(start, stop).indices(count)
    if first >= last:
        raise AxesError(f"Slices {start}:{stop} are empty: {stack.name or 'the stack'} has {count}.", hint=f"Choose from 0:{count}.")
    return range(first, last)


def parse_slices(text: str) -> tuple[int, int]:
    """Read ``A:B`` (either end may be left out; a single number is that slice).

    Examples
    --------
    >>> parse_slices("15:20")
    (15, 20)
    >>> parse_slices("7")
    (7, 8)
    """
    try:
        if ":" not in text:
            first = int(text)
            return first, first + 1
        start, stop = text.split(":")
        return int(start) if start.strip() else 0, int(stop) if stop.strip() else 2**62
    except ValueError:
        raise AxesError(f"{text!r} is not a range of slices.", hint="Write A:B, for example --slices 15:20.") from None
