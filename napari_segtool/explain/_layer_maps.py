"""What a layer gives for a plane, and how the asked-for logits depend on it: the ground of all class activation maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from napari_segtool.core.progress import Progress, Steps
from napari_segtool.explain._layers import find_layer, maps_of, output_of
from napari_segtool.explain._question import Question


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """Feature maps of one layer over the whole plane; of a 3-D network, the layer's plane nearest to it.

    Parameters
    ----------
    features
        ``(F, y, x)`` float32, on the layer's grid.
    mean_slope
        ``(F,)``: derivative of the asked-for logits by each map, averaged over the plane's grid (summed over depth).
    slopes
        ``(F, y, x)``: that derivative at each place; None where it was not asked for.
    scale
        Input pixels that one of the layer's spans, along each spatial axis.
    """

    features: Tensor
    mean_slope: Tensor
    slopes: Tensor | None
    scale: tuple[int, ...]


def layer_maps_steps(question: Question, layer: str, *, slopes: bool = False) -> Steps[LayerMaps]:
    """Look at one layer: forward through the whole network, back from the logits to that layer and no further.

    Parameters
    ----------
    layer
        Name of a block, or of a layer inside one; "auto" is the deepest block.
    slopes
        Keep the derivative at each place too.

    Raises
    ------
    ParameterError
        If the network has no such layer.
    """
    module, scale = find_layer(question.model.forward, layer)
    features: Tensor | None = None
    near = question.asked.box is not None  # then few tiles decide the slopes, and the features of the others need no more than the way to the layer
    before = len(question.tiles(whole=True)) if near else 0
    total = before + 2 * len(question.tiles(whole=not near))
    if near:
        for number, part in enumerate(question.parts(whole=True), start=1):
            maps = maps_of(module, partial(question.logits, part.pixels))  # (1, F, [z,] y, x)
            features = question.grid(maps, scale) if features is None else features
            question.paste(features, part.tile, maps, scale)
            yield Progress(number, total, "features")
    while True:
        sums: Tensor | None = None
        places: Tensor | None = None
        with output_of(module) as caught:
            for number, part in enumerate(question.parts(whole=not near)):
                logits = question.logits(part.pixels)
                maps = caught()
                yield Progress(before + 2 * number + 1, total, "features")
                features = question.grid(maps, scale) if features is None else features
                sums = torch.zeros(maps.shape[1], device=maps.device) if sums is None else sums
                places = torch.zeros_like(features) if slopes and places is None else places
                if not near:
                    question.paste(features, part.tile, maps.detach(), scale)
                if part.mask(logits).any():
                    slope = question.gradient(part.score(logits), maps).float()
                    sums += slope.flatten(2).sum((0, 2))
                    if places is not None:
                        question.add_on_grid(places, part.tile, slope, scale)
                    yield Progress(before + 2 * number + 2, total, "gradient")
        if not question.ask_everywhere():
            break
    assert features is not None
    assert sums is not None
    return LayerMaps(features, sums / features[0].numel(), places, scale)


def enlarged(cam: Tensor, scale: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a ``(y, x)`` map on a layer's grid, bilinearly enlarged to the ``(Y, X)`` plane."""
    large = F.interpolate(cam[None, None], scale_factor=[float(n) for n in scale[-2:]], mode="bilinear", align_corners=False)[0, 0]
    drawn: NDArray[np.float32] = large[: shape[0], : shape[1]].cpu().numpy()
    return drawn
