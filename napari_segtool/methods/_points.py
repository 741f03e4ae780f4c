"""Places clicked in a picture, as text: ``z,y,x:label; …``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.stack import Stack

_MOST = 65_535


@dataclass(frozen=True, slots=True)
class Seed:
    """A place and the label it stands for.

    Parameters
    ----------
    place
        One index for each axis of the labels, in their order ("ZYX": z, y, x).
    label
        1 to 65535.
    """

    place: tuple[int, ...]
    label: int


def parse_points(text: str) -> tuple[Seed, ...]:
    """Read places written ``z,y,x:label; …``.

    Parameters
    ----------
    text
        Coordinates in the order of the axes of the labels, parted by commas; fractions are rounded to the pixel. A label
        that is left out is 1. Places are parted by semicolons; spaces and empty parts do not matter.

    Returns
    -------
    tuple of Seed
        In the order written; empty for an empty text.

    Raises
    ------
    ParameterError
        If a part is not of that form; it is named.

    Examples
    --------
    >>> parse_points("4,10,20:1; 4,30,12.6:2")
    (Seed(place=(4, 10, 20), label=1), Seed(place=(4, 30, 13), label=2))
    """
    return tuple(_parse(part.strip()) for part in text.split(";") if part.strip())


def check_seeds(seeds: tuple[Seed, ...], stack: Stack) -> None:
    """Raise `ParameterError` unless there are seeds, and each lies inside the stack."""
    axes, shape = stack.label_axes, stack.label_shape
    if not seeds:
        raise ParameterError("There is no seed.", hint=f"Click in the picture, or give --seeds {','.join(axes.lower())}:label, for example {_example(shape)}.")
    for seed in seeds:
        written = ",".join(str(i) for i in seed.place)
        if len(seed.place) != len(axes):
            raise ParameterError(
                f"The seed {written} has {len(seed.place)} coordinate(s), but the picture has the axes {axes}.",
                hint=f"Give {len(axes)} coordinates in the order {','.join(axes.lower())}, for example {_example(shape)}.",
            )
        for index, axis, count in zip(seed.place, axes, shape, strict=True):
            if not 0 <= index < count:
                raise ParameterError(f"The seed {written} lies outside the picture: {axis} runs from 0 to {count - 1}.", hint="Click inside the picture.")


def _parse(part: str) -> Seed:
    place, _, label = part.partition(":")
    try:
        numbers = [float(number) for number in place.split(",")]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError
        value = int(label) if label.strip() else 1
    except ValueError:
        raise ParameterError(f"{part!r} is not a place.", hint="Write coordinates and a label, for example 4,120,80:1; 4,30,200:2.") from None
    if not 1 <= value <= _MOST:
        raise ParameterError(f"The label {value} of {part!r} is not allowed.", hint=f"Labels of seeds run from 1 to {_MOST}.")
    return Seed(tuple(math.floor(number + 0.5) for number in numbers), value)


def _example(shape: tuple[int, ...]) -> str:
    return ",".join(str(n // 2) for n in shape) + ":1"
