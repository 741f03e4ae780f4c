"""Errors like this one: the places of a stack that look to the network like a given region, uncertain ones first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_segtool.core.inside import Place, box_around
from napari_segtool.core.planes import plane_axes, plane_shape
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.explain._layers import find_layer, named_layers
from napari_segtool.explain._question import Question
from napari_segtool.explain._within_layers import ready_steps
from napari_segtool.explain._within_walk import Best, Find, centre_px, given_by, in_core, peaks, watch_steps
from napari_segtool.nets._loaded import LoadedModel, Scenes
from napari_segtool.nets._tiling import Tile

_STRENGTH = 0.25  # power of the likeness of lengths beside the cosine
_TINY = 1e-6


def similar_places_steps(
    bundle: ModelBundle,
    stack: Stack,
    region: Region,
    *,
    plane: Sequence[int] = (),
    layer: str = "auto",
    count: int = 20,
    uncertain: float = 0.25,
    device: str = "auto",
    threads: int = 0,
    loaded: LoadedModel | None = None,
) -> Steps[tuple[Place, ...]]:
    """Search a stack for places like a region.

    A place is described by a layer's features, averaged over a window of the region's size; each feature counts by how far it is from its
    mean in the region's plane, in its own deviations there. Stacks are read tile by tile; only the best places are kept.

    Parameters
    ----------
    region
        For example an object that was segmented wrongly; as in `Target`.
    plane
        Its plane, where its mask has only Y and X.
    layer
        "auto" takes the last block at full resolution, whose features the classes are made from.
    count
        How many places.
    uncertain
        What the uncertainty counts in the order of places, the similarity counting the rest: 0 to 1.

    Returns
    -------
    tuple of Place
        Most similar and most uncertain first; without the region itself.

    Raises
    ------
    ParameterError
        If there is no such layer.
    AxesError
        If the region is not in the stack.
    """
    model = yield from ready_steps(bundle, loaded, device, threads)
    module, scale = find_layer(model.forward, _finest(named_layers(model.forward)) if layer == "auto" else layer)
    question = Question(model, stack, Target(model.values[0], plane=tuple(plane), region=region))
    box = question.asked.box
    assert box is not None
    with given_by(module) as given:
        look = yield from _look_steps(question, given, scale)
    sides = (box[-2].stop - box[-2].start, box[-1].stop - box[-1].start)
    shrink = math.sqrt(look.share)  # the window has the region's area
    window = tuple(max(1, round(side * shrink / step)) | 1 for side, step in zip(sides, scale[-2:], strict=True))
    scenes = Scenes(stack, model)
    best = Best(count, sides)
    own = {scenes.plane_index(question._scene, z) for z in range(box[0].start, box[0].stop)} if question._depth else {question.plane}

    def take(scene: tuple[int, ...], tile: Tile, logits: Tensor, maps: Tensor) -> None:
        alike, doubt = look.compare(maps[0], _doubt(model, logits, scale), (window[0], window[1]))
        (alike, corner), (doubt, _) = in_core(alike, tile, scale), in_core(doubt, tile, scale)
        score = (1 - uncertain) * alike + uncertain * doubt
        deep = score.ndim == 3
        for depth in range(score.shape[0] if deep else 1):
            picture = score[depth] if deep else score
            where = scenes.plane_index(scene, centre_px(corner[0] + depth, scale[0], scenes.shape[0]) if deep else 0)
            for value, row, column in peaks(picture, (window[0] // 2 or 1, window[1] // 2 or 1), 4 * count):
                y, x = (centre_px(a + b, step, n) for a, b, step, n in zip((row, column), corner[-2:], scale[-2:], scenes.shape[-2:], strict=True))
                itself = where in own and box[-2].start - sides[0] // 2 <= y < box[-2].stop + sides[0] // 2
                if value > best.least and not (itself and box[-1].start - sides[1] // 2 <= x < box[-1].stop + sides[1] // 2):
                    at = (depth, row, column) if deep else (row, column)
                    best.offer(Find(value, 0, where, (y, x), (float(alike[at]), float(doubt[at]))))

    counts = dict(zip(plane_axes(stack), plane_shape(stack), strict=True))
    everywhere = list(itertools.product(*(range(counts[axis]) for axis in scenes.axes)))
    yield from watch_steps(model, scenes, everywhere, module, take, "comparing", margin_px=(*[0] * (len(scale) - 2), *sides))
    shape = (scenes.shape[-2], scenes.shape[-1])
    return tuple(Place(find.plane, find.centre, box_around(find.centre, sides, shape), *find.facts) for find in best.found)


@dataclass(frozen=True, eq=False)
class _Look:
    """What a region looks like: its features, in deviations from the plane's mean; ``share`` is the part of its box that it fills."""

    features: Tensor
    mean: Tensor
    deviation: Tensor
    share: float

    def compare(self, maps: Tensor, doubt: Tensor, window: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return the similarity and the mean doubt of the window around each cell: ``([z,] y, x)`` of ``(F, [z,] y, x)``.

        The similarity is the cosine, a little less where features are weaker or stronger: a window that has the motif only in part points
        the same way.
        """
        shape = (-1, *[1] * (maps.ndim - 1))
        maps = (maps - self.mean.reshape(shape)) / self.deviation.reshape(shape)
        planes = _averaged(maps.movedim(1, 0) if maps.ndim == 4 else maps[None], window)  # (z or 1, F, y, x)
        own, other = self.features.norm().clamp_min(_TINY), planes.norm(dim=1).clamp_min(_TINY)
        alike = torch.einsum("zfyx,f->zyx", planes, self.features) / (own * other)
        alike = alike * (2 * own * other / (own.square() + other.square())) ** _STRENGTH
        unsure = _averaged(doubt[:, None] if doubt.ndim == 3 else doubt[None, None], window)[:, 0]
        return (alike, unsure) if maps.ndim == 4 else (alike[0], unsure[0])


def _look_steps(question: Question, given: object, scale: Sequence[int]) -> Steps[_Look]:
    assert callable(given)
    total = squares = wanted = torch.zeros(1)
    cells = inside = 0.0
    for part in question.parts(whole=True):
        with torch.no_grad():
            mask = part.mask(question.logits(part.pixels))
        maps: Tensor = given()[0].double()
        core, _ = in_core(maps, part.tile, scale)
        axes = tuple(range(1, maps.ndim))
        total, squares = total.to(core) + core.sum(axes), squares.to(core) + core.square().sum(axes)
        cells += core[0].numel()
        share = _pooled(mask, scale, tuple(maps.shape[1:])).to(maps)
        wanted, inside = wanted.to(maps) + (maps * share).sum(axes), inside + float(share.sum())
        yield Progress(0, 0, "looking")
    mean = total / cells
    variance = (squares / cells - mean.square()).clamp_min(0)
    deviation = (variance + variance.mean()).sqrt()  # what hardly ever happens in this plane must not count most elsewhere
    deviation = torch.where(deviation > _TINY, deviation, torch.ones_like(deviation))
    box = question.asked.box
    assert box is not None
    filled = float(inside * math.prod(scale)) / math.prod(axis.stop - axis.start for axis in box)
    return _Look(((wanted / inside - mean) / deviation).float(), mean.float(), deviation.float(), min(1.0, max(filled, _TINY)))


def _pooled(values: Tensor, scale: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Mean of ``([z,] y, x)`` values over each of a layer's cells."""
    missing = [n * step - side for n, step, side in zip(shape, scale, values.shape, strict=True)]
    padded = F.pad(values, [amount for n in reversed(missing) for amount in (0, max(0, n))])[None, None].float()
    pool = F.avg_pool2d if values.ndim == 2 else F.avg_pool3d
    cut: tuple[Any, ...] = (0, 0, *(slice(n) for n in shape))
    return pool(padded, tuple(scale))[cut]


def _doubt(model: LoadedModel, logits: Tensor, scale: Sequence[int]) -> Tensor:
    """Entropy of the probabilities divided by its maximum, on a layer's grid."""
    chances = model.chances(logits)[0]
    entropy = -(chances * chances.clamp_min(1e-12).log()).sum(0) / math.log(max(2, chances.shape[0]))
    return _pooled(entropy, scale, tuple(-(-n // step) for n, step in zip(entropy.shape, scale, strict=True)))


def _averaged(planes: Tensor, window: tuple[int, int]) -> Tensor:
    for side in ((window[0], 1), (1, window[1])):  # one axis after the other: a large window would take as long as it has pixels
        planes = F.avg_pool2d(planes, side, 1, [n // 2 for n in side], count_include_pad=False)
    return planes


def _finest(layers: dict[str, tuple[int, ...]]) -> str:
    finest = min(math.prod(scale) for scale in layers.values())
    return [name for name, scale in layers.items() if math.prod(scale) == finest][-1]
