"""Can this explanation be trusted? Ask it of a network that has forgotten, cover what it points at, ask it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_segtool.core.params import Params
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import EXPLAINERS, Entry
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.core.trust import Curve, Likeness, TrustParams, TrustReport
from napari_segtool.explain._question import Question
from napari_segtool.explain._trust_curves import curves_steps, mean_curve, ordered_blocks
from napari_segtool.explain._trust_likeness import likeness
from napari_segtool.explain._trust_random import grouped, weighted_blocks, with_random_weights
from napari_segtool.explain._trust_words import on_curve, on_randomisation, on_repeatability
from napari_segtool.nets._forward import Forward
from napari_segtool.nets._loaded import LoadedModel, load_model
from napari_segtool.nets._tiling import Box


def trust_steps(
    bundle: ModelBundle,
    stack: Stack,
    explainer: str,
    target: Target,
    *,
    trust: TrustParams | None = None,
    device: str = "auto",
    threads: int = 0,
    loaded: LoadedModel | None = None,
    **params: Any,
) -> Steps[TrustReport]:
    """Check an explanation: randomised weights, deletion and insertion, repeatability.

    Parameters
    ----------
    bundle, stack, explainer, target, device, threads, loaded
        As for `explain_steps`. Maps are drawn in float32; the curves, which are means, come from the number format that pays here.
    trust
        How thoroughly.
    **params
        The explainer's parameters.

    Raises
    ------
    ParameterError, ModelError, AxesError, DeviceError
        As `explain_steps`.

    References
    ----------
    Adebayo et al. 2018, doi:10.48550/arXiv.1810.03292; Petsiuk et al. 2018, doi:10.48550/arXiv.1806.07421.
    """
    settings = trust or TrustParams()
    entry = EXPLAINERS.get(explainer)
    values = entry.params.build(**params)
    if loaded is None:
        yield Progress(0, 0, "loading the model")
        loaded = load_model(bundle, device=device, threads=threads)
    asker = _Asker(loaded, stack, target, entry, values)
    away_px = yield from asker.decide_steps()
    groups = grouped(weighted_blocks(asker.trained.model.forward), settings.layers)
    maps = 2 + settings.draws + len(groups) * (2 if settings.independent and len(groups) > 1 else 1)
    drawn = yield from asker.draw_steps(0, maps, "map")
    again = yield from asker.draw_steps(1, maps, "the same again")
    noisy = []
    for number in range(settings.draws):
        other = yield from asker.draw_steps(2 + number, maps, "under noise", noise=settings.noise, seed=settings.seed + number)
        noisy.append(likeness(drawn, other, away_px).rank)
    cascading: list[Likeness] = []
    independent: list[Likeness] = []
    forgotten: tuple[str, ...] = ()
    for number, group in enumerate(groups):
        forgotten = (*group, *forgotten)
        other = yield from asker.draw_steps(2 + settings.draws + number, maps, "randomised weights", forget=forgotten, seed=settings.seed)
        cascading.append(likeness(drawn, other, away_px, forgotten))
    if settings.independent and len(groups) > 1:
        for number, group in enumerate(groups):
            other = yield from asker.draw_steps(2 + settings.draws + len(groups) + number, maps, "randomised layers", forget=group, seed=settings.seed)
            independent.append(likeness(drawn, other, away_px, group))
    own, chance = yield from _curves_steps(asker, drawn, settings)
    top = float(np.abs(drawn).max())
    difference = float(np.abs(again - drawn).max()) / top if top > 0 else float("nan")
    steadiness = float(np.mean(noisy))
    verdicts = (
        on_randomisation(cascading),
        on_curve("deletion", own[0], chance[0]),
        on_curve("insertion", own[1], chance[1]),
        on_repeatability(difference, steadiness, settings.noise),
    )
    return TrustReport(
        entry.title,
        tuple(cascading),
        tuple(independent),
        own[0],
        own[1],
        chance[0],
        chance[1],
        settings.measure,
        difference,
        steadiness,
        verdicts,
        settings.seed,
    )


class _Asker:
    """Asks one question of a network, and of others made from it, always about the same pixels."""

    def __init__(self, model: LoadedModel, stack: Stack, target: Target, entry: Entry, values: Params) -> None:
        self._stack, self._target, self._entry, self._values = stack, target, entry, values
        self.quick = model.forward
        self._model = replace(model, forward=model.forward.altered(lambda network: network))
        self.trained = Question(self._model, stack, target)

    def decide_steps(self) -> Steps[NDArray[np.float32]]:
        """Decide which pixels are asked about, and return the distance of every pixel of the plane from them, in pixels."""
        import cv2

        question = self.trained
        while True:
            inside = np.zeros(question.shape, bool)
            for part in question.parts():
                mask = part.mask(question.model.forward.logits(part.pixels)).cpu().numpy() > 0
                inside[part.tile.outer[-2:]] |= mask.any(0) if mask.ndim == 3 else mask
                yield Progress(0, 0, "looking")
            if not question.ask_everywhere():
                away: NDArray[np.float32] = np.asarray(cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
                return away

    def draw_steps(self, done: int, total: int, label: str, *, forget: Sequence[str] = (), noise: float = 0.0, seed: int = 0) -> Steps[NDArray[np.float32]]:
        """Return the map ``(Y, X)`` that the explainer draws, maybe of a network that forgot some layers, or of a noisy picture."""
        forward: Forward = self._model.forward
        model = replace(self._model, forward=with_random_weights(forward, forget, seed)) if forget else self._model
        question: Question = _NoisyQuestion(model, self._stack, self._target, noise, seed) if noise else Question(model, self._stack, self._target)
        question.asked, question._largest_px = self.trained.asked, self.trained._largest_px
        steps = self._entry.function(question, self._values)
        try:
            while True:
                progress = next(steps)
                yield Progress(done + progress.fraction, total, label)
        except StopIteration as stop:
            return np.asarray(stop.value, np.float32)
        finally:
            steps.close()


class _NoisyQuestion(Question):
    """The same question about a picture with noise: each pixel has the same noise in whatever tile it is read."""

    def __init__(self, model: LoadedModel, stack: Stack, target: Target, noise: float, seed: int) -> None:
        super().__init__(model, stack, target)
        self._noise = noise * np.random.default_rng(seed).standard_normal((model.forward.channels, *self.shape), np.float32)

    def pixels(self, box: Box) -> Tensor:
        pixels = super().pixels(box)
        if len(box) == 2:
            return pixels + torch.from_numpy(np.ascontiguousarray(self._noise[:, box[0], box[1]])).to(pixels)
        planes = [np.roll(self._noise, (7 * z, 13 * z), (1, 2))[:, box[1], box[2]] for z in range(box[0].start, box[0].stop)]
        return pixels + torch.from_numpy(np.stack(planes, 1)).to(pixels)


def _curves_steps(asker: _Asker, drawn: NDArray[np.float32], settings: TrustParams) -> Steps[tuple[tuple[Curve, Curve], tuple[Curve, Curve]]]:
    question = asker.trained
    outer = [part.tile.outer[-2:] for part in question.parts()]
    rows, columns = (slice(min(box[axis].start for box in outer), max(box[axis].stop for box in outer)) for axis in (0, 1))
    found: list[tuple[Curve, Curve]] = []
    for number in range(-1, settings.draws):
        seed = -1 if number < 0 else settings.seed + number
        ranks, count = ordered_blocks(drawn, rows, columns, settings.block_px, seed)
        label = "deletion and insertion" if number < 0 else "in a random order"
        curves = yield from curves_steps(question, ranks, count, steps=min(settings.steps, count), measure=settings.measure, label=label, forward=asker.quick)
        found.append(curves)
    own, chance = found[0], found[1:]
    return own, (mean_curve([pair[0] for pair in chance]), mean_curve([pair[1] for pair in chance]))
