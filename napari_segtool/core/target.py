"""What an explanation asks about: a class, at a pixel or anywhere in a plane."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """The question "why this class, here?".

    Parameters
    ----------
    class_value
        Label value of the class, in the numbering of the model.
    point
        Pixel index, one entry for each axis of the labels ("Z,Y,X"); empty for every pixel of the class.
    plane
        Index of the plane along the axes but Y and X; empty takes it from ``point``, or the first plane.
    """

    class_value: int
    point: tuple[int, ...] = ()
    plane: tuple[int, ...] = ()
