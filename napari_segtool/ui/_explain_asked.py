"""What the Explain panel asks about, and the work of asking: pixels are read off the GUI thread. No Qt here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target

if TYPE_CHECKING:
    from napari_segtool._worker_client import WorkerClient

Kind = Literal["pixel", "object", "region", "class"]
_AROUND_PX = 7
"""Half the side of the square that stands for a pixel where a region is needed."""


@dataclass(frozen=True, eq=False)
class Wish:
    """What the user wants to be told about.

    Parameters
    ----------
    kind
        A pixel, an object, a region, or every pixel of the class.
    plane
        The slice it is asked on.
    class_value, against
        As in `Target`.
    point
        The pixel clicked, one number for each axis of the labels.
    axes, size
        Axes of the labels; rows and columns of the slice.
    marks
        Returns the labels of the slice, ``(Y, X)``, to find the object or the region in.
    pieces
        The labels number classes: an object is the piece of one that holds the pixel.
    volume
        The labels of the whole stack, where the model sees volumes and the labels number objects.
    """

    kind: Kind
    plane: PlaneIndex
    class_value: int
    against: int = -1
    point: tuple[int, ...] = ()
    axes: str = "YX"
    size: tuple[int, int] = (0, 0)
    marks: Callable[[], NDArray[Any]] | None = None
    pieces: bool = False
    volume: Any = None

    def target(self) -> Target:
        """Read the pixels and return the question.

        Raises
        ------
        DataError
            If nothing is drawn on the slice, or no object lies under the pixel.
        """
        if self.kind == "pixel":
            return Target(self.class_value, point=self.point, against=self.against)
        if self.kind == "class":
            return Target(self.class_value, plane=self.plane, against=self.against)
        return Target(self.class_value, plane=self.plane, region=self.region(), against=self.against)

    def region(self) -> Region:
        """Return the pixels of the object or the region; of a pixel a small square about it."""
        if self.kind == "pixel":
            start = tuple(max(0, at - _AROUND_PX) for at in self._pixel)
            sides = [min(at + _AROUND_PX + 1, n) - first for at, n, first in zip(self._pixel, self.size, start, strict=True)]
            return self._flat(np.ones(sides, bool), start)
        assert self.marks is not None
        marks = self.marks()
        if self.kind == "region":
            if not marks.any():
                raise DataError("Nothing is drawn on this slice.", hint="Draw a region here, or go to the slice that has one.")
            return self._flat(marks != 0)
        value = int(marks[self._pixel])
        if value == 0 and not self.pieces:
            raise DataError("There is no object under this pixel.", hint="Click one, or choose other labels.")
        if self.volume is not None:
            return Region.of_object(self.volume, value)
        return self._flat(piece_of(marks == value, self._pixel) if self.pieces else marks == value)

    @property
    def _pixel(self) -> tuple[int, int]:
        return self.point[self.axes.index("Y")], self.point[self.axes.index("X")]

    def _flat(self, mask: NDArray[np.bool_], start: tuple[int, ...] = (0, 0)) -> Region:
        return Region(mask.T, start[::-1]) if self.axes.index("Y") > self.axes.index("X") else Region(mask, start)


@dataclass(frozen=True, eq=False)
class Explained:
    """A map, and everything needed to ask about it again.

    Parameters
    ----------
    overlay
        The map, as `api.explain_steps` returns it.
    wish, target
        What was asked.
    explainer, params
        How.
    bundle, stack
        Of what.
    """

    overlay: Stack
    wish: Wish
    target: Target
    explainer: str
    bundle: ModelBundle
    stack: Stack
    params: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = float("nan")

    @property
    def values(self) -> NDArray[np.float32]:
        """The map of the slice, ``(Y, X)``."""
        axes = self.overlay.axes
        plane = np.asarray(self.overlay.data)[tuple(slice(None) if axis in "YX" else 0 for axis in axes)]
        return plane.T if axes.index("Y") > axes.index("X") else plane

    @property
    def plane(self) -> PlaneIndex:
        """The slice it lies on."""
        return tuple(self.overlay.memo["plane"])


def explained_steps(
    client: WorkerClient,
    bundle: ModelBundle,
    stack: Stack,
    wish: Wish,
    explainer: str,
    params: Mapping[str, Any],
    *,
    device: str = "auto",
    target: Target | None = None,
) -> Steps[Explained]:
    """Read what is asked about, and ask."""
    yield Progress(0, 0, "looking")
    target = target or wish.target()
    begun = time.monotonic()
    overlay = yield from client.explain_steps(bundle, stack, explainer, target, device=device, **params)
    return Explained(overlay, wish, target, explainer, bundle, stack, params, time.monotonic() - begun)


def piece_of(mask: NDArray[np.bool_], pixel: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the piece of a mask that holds a pixel of it; pixels that touch at a corner belong together.

    Examples
    --------
    >>> piece_of(np.array([[True, False, True]]), (0, 2))
    array([[False, False,  True]])
    """
    import cv2

    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    found: NDArray[np.bool_] = pieces == pieces[pixel]
    return found


def asked_text(explained: Explained) -> str:
    """Say in a few words what a map is about ("pixel z 2, y 5, x 6")."""
    wish, region = explained.wish, explained.target.region
    if wish.kind == "pixel":
        return "pixel " + ", ".join(f"{axis} {at}" for axis, at in zip(wish.axes.lower(), wish.point, strict=True))
    if wish.kind == "class" or region is None:
        return "all its pixels on this slice"
    return f"{'the object clicked' if wish.kind == 'object' else 'the region drawn'}, {region.pixels} px"
