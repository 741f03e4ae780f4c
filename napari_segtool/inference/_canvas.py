"""Where the tiles of a prediction are put together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_segtool.core.labels import Labels, smallest_dtype
from napari_segtool.core.result import Prediction, Probabilities, Step
from napari_segtool.core.stack import Stack
from napari_segtool.core.wanted import Wanted
from napari_segtool.inference._closing import Closing
from napari_segtool.nets._loaded import LoadedModel, Scenes
from napari_segtool.nets._tiling import Box

Allocate = Callable[[tuple[int, ...], Any], Any]
"""Makes an array of a shape and dtype; a memory map, for results larger than memory."""


class Canvas:
    """The arrays of a result, filled box by box.

    Parameters
    ----------
    model, scenes, wanted
        What is predicted, where, and which planes of it are kept.
    allocate
        Makes the arrays.
    probabilities, uncertainty
        Whether to keep them beside the labels.
    close_gaps
        Whether gaps between objects are closed, if the model knows the class that parts them.
    """

    def __init__(
        self, model: LoadedModel, scenes: Scenes, wanted: Wanted, allocate: Allocate, *, probabilities: bool, uncertainty: bool, close_gaps: bool = False
    ) -> None:
        self._model, self._scenes, self._wanted = model, scenes, wanted
        self._values = np.asarray(model.values, smallest_dtype(max(model.values)))
        self._labels = allocate(wanted.shape, self._values.dtype)
        self._probabilities = allocate((len(model.values), *wanted.shape), np.dtype(np.float32)) if probabilities else None
        self._uncertainty = allocate(wanted.shape, np.dtype(np.float32)) if uncertainty else None
        closes = close_gaps and model.separator >= 0 and len(scenes.shape) == 2
        self._closing = Closing(len(model.values), model.separator, scenes.grid.size) if closes else None

    @property
    def closes_gaps(self) -> bool:
        """Whether gaps between objects are closed."""
        return self._closing is not None

    @property
    def wants_probabilities(self) -> bool:
        """Whether `put_steps` needs probabilities; else numbers that rank the classes do."""
        return self._probabilities is not None or self._uncertainty is not None or self.closes_gaps

    def put_steps(self, scene: Sequence[int], box: Box, scores: Tensor, *, chances: bool) -> Iterator[float]:
        """Write a box of a scene; where gaps are closed the whole scene once its last box is there, and yield while that is done.

        Parameters
        ----------
        scene
            Index of the scene.
        box
            Where in the scene, in pixels of the stack.
        scores
            ``(K, [Z,] Y, X)``: probabilities, or numbers that rank the classes (`LoadedModel.ranks`).
        chances
            Which of the two; where `wants_probabilities` they must be probabilities.
        """
        scores = self._model.weighed(scores) if chances else scores
        if self._closing is not None:
            if not self._closing.put(scene, box, scores):
                return
            scores = yield from self._closing.take_steps(scene)
            box = tuple(slice(0, n) for n in self._scenes.grid.size)
        self._put(scene, box, scores)

    def _put(self, scene: Sequence[int], box: Box, scores: Tensor) -> None:
        depths: list[tuple[int | None, int]] = [(None, 0)]
        if len(box) == 3:
            depths = [(k, z) for k, z in enumerate(range(box[0].start, box[0].stop)) if z in self._wanted.along("Z")]
            if not depths:
                return
        self._write(self._labels, scene, box, depths, self._values[winners(scores).cpu().numpy()])
        if self._probabilities is not None:
            self._write(self._probabilities, scene, box, depths, scores.cpu().numpy())
        if self._uncertainty is not None:
            entropy = torch.special.entr(scores).sum(0) / math.log(max(2, len(self._values)))
            self._write(self._uncertainty, scene, box, depths, entropy.clamp_(0, 1).cpu().numpy())

    def finish(self, stack: Stack, step: Step) -> Prediction:
        """Return the result."""
        model, axes = self._model, stack.label_axes
        name = f"{stack.name} · {model.title}".strip(" ·")
        chances = None if self._probabilities is None else Probabilities(self._probabilities, f"C{axes}", model.names, model.values, stack.spacing_um, (step,))
        doubt = None if self._uncertainty is None else Stack(self._uncertainty, axes, stack.spacing_um, f"{name} · uncertainty", {"history": (step,)})
        return Prediction(Labels(self._labels, axes, model.label_names), chances, doubt, stack.spacing_um, (step,), name)

    def _write(self, target: Any, scene: Sequence[int], box: Box, depths: list[tuple[int | None, int]], values: Any) -> None:
        for k, z in depths:
            plane = values if k is None else values[..., k, :, :]
            self._wanted.put(target, self._scenes.plane_index(scene, z), plane, box[-2], box[-1])


def winners(scores: Tensor) -> Tensor:
    """Return the index of the largest of ``(K, …)`` scores, the first where some are equal.

    Class by class: `torch.argmax` over a short axis takes longer on a CPU than a small network does.
    """
    best = scores[0].clone()
    index = torch.zeros_like(best, dtype=torch.uint8 if len(scores) <= 256 else torch.int32)
    for k in range(1, len(scores)):
        better = scores[k] > best
        index.masked_fill_(better, k)
        if k + 1 < len(scores):
            torch.maximum(best, scores[k], out=best)
    return index
