"""Ask a network in training about pixels it has not learned from. Imports torch; imported only by the engine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from napari_segtool.core.spread import spread_evenly
from napari_segtool.nets._neighbours import neighbour_slices
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.nets._pixel_size import SAME
from napari_segtool.nets._resample import Grid
from napari_segtool.nets._tiling import Tile, plan_tiles
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.runs._pairs import IGNORED
from napari_segtool.training.validate._tally import Tally

MOST_WINDOWS = 48
_CONTEXT_PX = 32
_LEAST = 1e-12
"""Probabilities are not taken to be less."""

Ask = Callable[[Tensor], Tensor]
"""Turns normalised input ``(1, C, [Z,] Y, X)`` into logits, float32."""


@dataclasses.dataclass(frozen=True)
class Validation:
    """How well held-out pixels are told apart.

    Parameters
    ----------
    loss
        Mean cross-entropy, whatever loss is trained with, so that trainings can be compared; NaN where nothing is held out.
    dice
        Mean Dice of the classes that occur there.
    classes
        Dice of each class; NaN for those that do not occur.
    iou
        Mean intersection over union of the same classes.
    tally
        What was counted.
    """

    loss: float
    dice: float
    classes: tuple[float, ...]
    iou: float = math.nan
    tally: Tally = dataclasses.field(default_factory=Tally, compare=False)


NOTHING = Validation(math.nan, math.nan, ())


def plan_windows(
    fields: Sequence[Field], spatial: int, core_px: tuple[int, int, int], multiple: Sequence[int], *, held: bool = True, most: int = MOST_WINDOWS
) -> tuple[tuple[Field, Tile], ...]:
    """Choose windows that hold labelled pixels, spread evenly; their tiles count ``(z, y, x)``.

    Parameters
    ----------
    fields
        Where they lie.
    spatial
        Axes the network works on.
    core_px, multiple
        Size of a window, and what the network's input must be a multiple of.
    held
        Whether held-out pixels are looked for, or those learned from.
    most
        Windows to choose.
    """
    windows: list[tuple[Field, Tile]] = []
    step = (1, *multiple) if spatial == 2 else tuple(multiple)
    for field in fields:
        marks = field.check if held else field.learn
        if marks is None or not marks.size:
            continue
        marked = marks != IGNORED
        reach = [np.flatnonzero(marked.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        if not reach[0].size:
            continue
        region = tuple(slice(int(found[0]), int(found[-1]) + 1) for found in reach)
        halo = (0 if spatial == 2 else max(1, core_px[0] // 4), _CONTEXT_PX, _CONTEXT_PX)
        for tile in plan_tiles(marks.shape, core_px, halo, step, region):
            if marked[tile.core].any():
                windows.append((field, tile))
    return tuple(spread_evenly(windows, most))


def read_box(field: Field, box: tuple[slice, ...], normalisation: Normalisation, flat: bool, neighbours: int = 0) -> Tensor:
    """Return a box of a field as network input ``(1, C, [Z,] Y, X)``, normalised by its whole planes; in 2.5-D with its neighbouring planes as channels.

    Where the field is resampled, so is the box; `on_image` brings answers back.
    """
    grid = _grid_of(field, box)
    whole = tuple(slice(0, n) for n in grid.shape)
    planes: Sequence[NDArray[np.generic]] = list(field.image[box[0]])
    if flat and neighbours:
        around, place = (field.image, box[0].start) if field.around is None else (field.around, field.section + box[0].start)
        planes = [around[index] for index in neighbour_slices(place, neighbours, len(around))]
    parts = [grid.read(normalisation.apply(np.asarray(plane))[:, box[1], box[2]], *whole) for plane in planes]
    block = torch.from_numpy(np.stack(parts, axis=1))  # (C, Z, Y, X)
    return block.flatten(0, 1)[None] if flat else block[None]


def on_image(chances: Tensor, field: Field, box: tuple[slice, ...]) -> Tensor:
    """Return probabilities ``(N, K, [Z,] Y, X)`` of a box on the pixels of its image."""
    grid = _grid_of(field, box)
    if grid.same:
        return chances
    whole = tuple(slice(0, n) for n in chances.shape[2:])
    return torch.stack([grid.back(whole, whole, each)[1] for each in chances])


def _grid_of(field: Field, box: tuple[slice, ...]) -> Grid:
    return Grid((box[1].stop - box[1].start, box[2].stop - box[2].start), field.zoom)


def log_chances(logits: Tensor, head: str = "softmax") -> Tensor:
    """Return the logarithm of the probabilities ``(N, K, …)`` that logits mean; those of sigmoid heads are made to add up to 1, as in prediction."""
    return (F.logsigmoid(logits) if head == "sigmoid" else logits).log_softmax(1)


def validate(
    windows: Sequence[tuple[Field, Tile]],
    ask: Ask,
    normalisation: Normalisation,
    weights: Tensor,
    spatial: int,
    *,
    neighbours: int = 0,
    head: str = "softmax",
    held: bool = True,
) -> Iterator[Validation]:
    """Score the windows one by one; yields the scores so far, so that it can be left between two. The last is complete.

    Parameters
    ----------
    windows
        From `plan_windows`, with the same ``held``.
    ask
        The network.
    normalisation, spatial, neighbours
        Of its input.
    weights
        ``(K,)`` how much each class counts in the loss.
    head
        What its outputs mean.
    held
        Whether held-out pixels are scored, or those learned from.
    """
    classes, tally = len(weights), Tally()
    places = {field: place for place, field in enumerate(dict.fromkeys(field for field, _ in windows))}
    for field, tile in windows:
        logits = ask(read_box(field, tile.outer, normalisation, spatial == 2, neighbours)).float().cpu()
        inner = tile.inner[1:] if spatial == 2 else tile.inner
        if field.zoom == SAME:
            scores = log_chances(logits[(slice(None), slice(None), *inner)], head)
        else:
            scores = on_image(log_chances(logits, head).exp(), field, tile.outer)[(slice(None), slice(None), *inner)].clamp_min(_LEAST).log()
        marks = field.check if held else field.learn
        assert marks is not None
        target = torch.from_numpy(np.array(marks[tile.core])).reshape(scores.shape[0], *scores.shape[2:]).long()
        known = target != IGNORED
        loss = float(F.nll_loss(scores, target, weight=weights, ignore_index=IGNORED, reduction="sum"))
        guess = scores.argmax(1)[known].numpy()
        tally.add(f"{places[field]}:{tile.core[0].start}", target[known].numpy(), guess, classes, loss, float(weights[target[known]].sum()))
        dice = tally.dice()
        yield Validation(tally.loss(), float(np.nanmean(dice)), tuple(float(value) for value in dice), float(np.nanmean(tally.iou())), tally)


def predict_plane(
    field: Field,
    place: int,
    ask: Ask,
    normalisation: Normalisation,
    spatial: int,
    core_px: tuple[int, int, int],
    multiple: Sequence[int],
    *,
    neighbours: int = 0,
    head: str = "softmax",
) -> Iterator[NDArray[np.uint8]]:
    """Predict plane ``place`` of a field tile by tile; yields the class indices ``(Y, X)``, complete at the last."""
    depth, height, width = field.learn.shape if field.learn.size else field.image.shape[0:1] + field.image.shape[2:]
    canvas = np.zeros((height, width), np.uint8)
    slab = slice(max(0, place - core_px[0] // 2), min(depth, place + core_px[0] // 2 + 1)) if spatial == 3 else slice(place, place + 1)
    for tile in plan_tiles((height, width), core_px[1:], (_CONTEXT_PX, _CONTEXT_PX), tuple(multiple)[-2:]):
        box = (slab, *tile.outer)
        logits = ask(read_box(field, box, normalisation, spatial == 2, neighbours))
        if field.zoom != SAME:
            logits = on_image(log_chances(logits, head).exp(), field, box)
        plane = logits[0] if spatial == 2 else logits[0, :, place - slab.start]
        canvas[tile.core] = plane[(slice(None), *tile.inner)].argmax(0).cpu().numpy().astype(np.uint8)
        yield canvas
