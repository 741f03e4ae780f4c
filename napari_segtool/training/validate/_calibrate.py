"""Ask the kept weights about held-out pixels as prediction will, and find the bias of the classes. Imports torch; imported only by the engine."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from napari_segtool.core.spread import spread_evenly
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.nets._tiling import Tile
from napari_segtool.nets._turns import Mirror, turns_of
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.runs._pairs import IGNORED
from napari_segtool.training.validate._scoring import Ask, log_chances, on_image, plan_windows, read_box
from napari_segtool.training.validate._threshold import Case, Decision, decide

MOST_CASES = 12
_SHARE = 0.04
_SEARCH_S_PER_PX = 1.0 / 512**2
_MOST_DEPTHS = 8


@dataclass(frozen=True)
class Cost:
    """What a calibration may use.

    Parameters
    ----------
    windows
        Windows to look at.
    mirror
        Over which copies to average, as prediction does.
    seconds
        Estimated time.
    """

    windows: int
    mirror: Mirror
    seconds: float


def plan_cost(windows: int, window_s: float, window_px: int, mirror: Mirror, budget_s: float) -> Cost:
    """Choose how much a calibration looks at, so that it takes at most a twenty-fifth of the time of the training.

    Parameters
    ----------
    windows, window_px
        Held-out windows and the pixels of each.
    window_s
        Time the network takes for one.
    mirror
        Over which copies prediction averages.
    budget_s
        Time of the whole training; 0 where it is not limited.

    Examples
    --------
    >>> plan_cost(40, 0.5, 0, True, 600)
    Cost(windows=6, mirror=True, seconds=24.0)
    """
    windows = min(windows, MOST_CASES)
    for looks in (mirror, False) if mirror else (False,):
        each_s = len(turns_of(looks)) * window_s + _SEARCH_S_PER_PX * window_px
        room = int(_SHARE * budget_s / each_s) if budget_s and each_s else windows
        if room:
            break
    count = min(windows, max(1, room))
    return Cost(count, looks, count * each_s)


def windows_around(
    fields: Sequence[Field], spatial: int, core_px: tuple[int, int, int], multiple: Sequence[int], *, sparse: bool
) -> tuple[tuple[Field, Tile], ...]:
    """Choose windows to calibrate on: those of `plan_windows`; for paint with all other strokes of the same planes too, which steady what the few say."""
    checked = [field for field in fields if field.check is not None]
    if not sparse:
        return plan_windows(checked, spatial, core_px, multiple)
    whole = []
    for field in checked:
        assert field.check is not None
        marks = field.check if not field.learn.size else np.where(field.check != IGNORED, field.check, field.learn)
        whole.append(replace(field, check=marks))
    names = {id(one): field for one, field in zip(whole, checked, strict=True)}
    return tuple((names[id(one)], tile) for one, tile in plan_windows(whole, spatial, core_px, multiple))


def calibrate(
    windows: Sequence[tuple[Field, Tile]],
    ask: Ask,
    normalisation: Normalisation,
    classes: int,
    spatial: int,
    *,
    neighbours: int = 0,
    head: str = "softmax",
    mirror: Mirror = False,
    sparse: bool = False,
    most: int = MOST_CASES,
    known: Ask | None = None,
) -> Generator[None, None, Decision]:
    """Find where to draw the border between classes; yields after every answer of the network and between the parts of the search.

    Parameters
    ----------
    windows
        From `windows_around`.
    ask, normalisation, spatial, neighbours, head
        As in `validate`.
    classes
        Number of classes.
    mirror
        Over which copies prediction averages; this does too.
    sparse
        Whether the labels are paint.
    most
        Windows to look at, spread evenly.
    known
        Logits of the classes that the weights knew which the network began with; None where they knew none.
    """
    cases: list[Case] = []
    for field, tile in spread_evenly(windows, most):
        pixels = read_box(field, tile.outer, normalisation, spatial == 2, neighbours)
        total: Tensor | None = None
        for turn in turns_of(mirror):
            answer = turn.undo(log_chances(ask(turn.apply(pixels)).float(), head).exp())
            total = answer if total is None else total + answer
            yield
        assert total is not None
        assert field.check is not None
        inner = (slice(None), *(tile.inner[1:] if spatial == 2 else tile.inner))
        chances = on_image(total / len(turns_of(mirror)), field, tile.outer)[0][inner].cpu().numpy()  # (K, [Z,] Y, X)
        seen = None if known is None else on_image(known(pixels).softmax(1), field, tile.outer)[0][inner].cpu().numpy()  # (E, Y, X)
        check = np.asarray(field.check[tile.core])
        learn = np.asarray(field.learn[tile.core]) if field.learn.size else np.full_like(check, IGNORED)
        cases += [replace(case, known=seen) for case in _planes(chances[:, None] if spatial == 2 else chances, check, learn)]
    decision = Decision((), "none")
    for found in decide(cases, classes, sparse=sparse):
        decision = found
        yield
    return decision


def _planes(chances: np.ndarray, check: np.ndarray, learn: np.ndarray) -> Iterator[Case]:
    """The planes of a box that hold something, at most eight of them, spread evenly."""
    marked = np.flatnonzero((check != IGNORED).any(axis=(1, 2)))
    for z in spread_evenly(marked.tolist(), _MOST_DEPTHS):
        yield Case(np.ascontiguousarray(chances[:, z]), check[z], learn[z])
