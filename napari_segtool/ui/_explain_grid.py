"""Several explanations of one question as small pictures: the work of making them, and the grid that shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.core.wanted import Wanted
from napari_segtool.ui._compare_grid import LARGEST_PX, CandidateGrid, pixmap_of
from napari_segtool.ui._explain_asked import Explained, Wish, explained_steps
from napari_segtool.ui._explain_look import painted
from napari_segtool.ui._message import plain_words

if TYPE_CHECKING:
    from napari_segtool._worker_client import WorkerClient
    from napari_segtool.api._thumbnail import Backdrop

_AROUND_PX = 160
"""Side of what is shown about a pixel or a small region; of larger ones three times their own size."""
_CROSS = (86, 180, 233)


@dataclass(frozen=True, eq=False)
class Answer:
    """One explainer's map with its small picture; or why there is none."""

    name: str
    explained: Explained | None = None
    picture: NDArray[np.uint8] | None = None
    error: Exception | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """One question and how its maps are to look.

    Parameters
    ----------
    limits
        Grey values shown black and white.
    threshold, opacity
        Of the overlays, 0 to 1.
    """

    bundle: ModelBundle
    stack: Stack
    wish: Wish
    limits: tuple[float, float]
    threshold: float
    opacity: float
    device: str = "auto"


def answers_steps(
    client: WorkerClient, subject: Subject, entries: Sequence[tuple[str, Mapping[str, Any]]], tell: Callable[[str, object], object]
) -> Steps[tuple[Answer, ...]]:
    """Ask several explainers one after the other; ``tell`` hears of the backdrop and of each answer as soon as it is there."""
    yield Progress(0, len(entries), "looking")
    target = subject.wish.target()
    view = view_of(subject.stack, subject.wish, target)
    backdrop = _backdrop(subject, view)
    tell("backdrop", backdrop)
    answers = []
    for number, (name, params) in enumerate(entries):
        title = EXPLAINERS.get(name).title
        try:
            asked = explained_steps(client, subject.bundle, subject.stack, subject.wish, name, params, device=subject.device, target=target)
            explained = yield from _within(asked, number, len(entries), title)
            picture = painted(backdrop.picture, explained.values[view], subject.threshold, subject.opacity)
            answer = Answer(name, explained, _marked(picture, subject.wish, view))
        except SegtoolError as error:
            answer = Answer(name, error=error)
        answers.append(answer)
        tell("answer", answer)
    return tuple(answers)


def view_of(stack: Stack, wish: Wish, target: Target) -> tuple[slice, slice]:
    """Return which part of the slice is shown, as rows and columns: all of it for a class, else what lies about the pixel or region."""
    sides = dict(zip(stack.axes, stack.shape, strict=True))
    size = sides["Y"], sides["X"]
    if wish.kind == "class":
        return slice(0, size[0]), slice(0, size[1])
    box = _box(wish, target.region)
    side = max(_AROUND_PX, *(3 * (axis.stop - axis.start) for axis in box))
    view = []
    for axis, n in zip(box, size, strict=True):
        start = max(0, min((axis.start + axis.stop) // 2 - side // 2, n - side))
        view.append(slice(start, min(n, start + side)))
    return view[0], view[1]


def plane_of(wish: Wish) -> PlaneIndex:
    """Return the slice that is asked about."""
    return tuple(at for at, axis in zip(wish.point, wish.axes, strict=True) if axis not in "YX") if wish.kind == "pixel" else wish.plane


class MapGrid(CandidateGrid):
    """The grid of the comparison of methods, with maps in its cells."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, entries=EXPLAINERS)
        self.setAccessibleName("Maps")
        self.setToolTip("One map for each explainer: click one to choose it, double-click to show it in the picture.")

    def add_answer(self, answer: Answer) -> None:
        """Show a map, or why there is none."""
        name = answer.name
        if name not in self._cells:
            return
        self.candidates[name] = answer  # type: ignore[assignment]
        cell, entry = self._cells[name], EXPLAINERS.get(name)
        if answer.explained is None or answer.picture is None:
            assert answer.error is not None
            cell.setToolTip(plain_words(answer.error))
            self._write(cell, plain_words(answer.error).splitlines()[0])
            cell.setText(f"{entry.title}\nfailed")
        else:
            seconds = answer.explained.seconds
            cell.setToolTip(entry.summary)
            self._show(cell, pixmap_of(answer.picture))
            cell.setText(f"{entry.title}\n{max(1, round(1000 * seconds))} ms" if seconds < 1 else f"{entry.title}\n{seconds:.1f} s")
        self._say_next()

    def answer(self) -> Answer | None:
        """Return the one chosen, if its map is there."""
        cell = self.currentItem()
        name = next((name for name, own in self._cells.items() if own is cell), "")
        found: Any = self.candidates.get(name)
        return found if found is not None and found.explained is not None else None

    def chosen(self) -> Any:
        """Return the one chosen, if its map is there."""
        return self.answer()


def _within(steps: Steps[Explained], number: int, count: int, title: str) -> Steps[Explained]:
    """Pass on the progress of one explainer as a part of all."""
    try:
        while True:
            progress = next(steps)
            yield Progress(number + progress.fraction, count, title)
    except StopIteration as end:
        explained: Explained = end.value
        return explained
    finally:
        steps.close()


def _backdrop(subject: Subject, view: tuple[slice, slice]) -> Backdrop:
    from napari_segtool.api._thumbnail import Backdrop

    plane = plane_of(subject.wish)
    alone = Wanted(subject.stack, [plane]).cut() if plane else subject.stack
    parts = dict(zip("YX", view, strict=True))
    part = Stack(np.asarray(alone.data)[tuple(parts.get(axis, slice(None)) for axis in alone.axes)], alone.axes, alone.spacing_um)
    return Backdrop.of(part, (0,) * len(plane), subject.limits, LARGEST_PX)


def _box(wish: Wish, region: Region | None) -> tuple[slice, slice]:
    if region is None:
        y, x = (wish.point[wish.axes.index(axis)] for axis in "YX")
        return slice(y, y + 1), slice(x, x + 1)
    axes = wish.axes if region.mask.ndim == len(wish.axes) else "".join(axis for axis in wish.axes if axis in "YX")
    box = {axis: slice(start, start + n) for axis, start, n in zip(axes, region.start, region.mask.shape, strict=True)}
    return box["Y"], box["X"]


def _marked(picture: NDArray[np.uint8], wish: Wish, view: tuple[slice, slice]) -> NDArray[np.uint8]:
    """Draw a cross where the pixel is that is asked about."""
    if wish.kind != "pixel":
        return picture
    at = [wish.point[wish.axes.index(axis)] for axis in "YX"]
    row, column = (round((i - part.start + 0.5) / (part.stop - part.start) * n) for i, part, n in zip(at, view, picture.shape[:2], strict=True))
    marked = picture.copy()
    for reach in (*range(-6, -2), *range(3, 7)):
        for y, x in ((row + reach, column), (row, column + reach)):
            if 0 <= y < marked.shape[0] and 0 <= x < marked.shape[1]:
                marked[y, x] = _CROSS
    return marked
