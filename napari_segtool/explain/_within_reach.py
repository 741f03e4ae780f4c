"""How far a pixel sees: the effective receptive field, much smaller than what the network could see at all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_segtool import __version__
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.inside import ReceptiveField
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.result import ModelBundle, Step, data_sha
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.core.wanted import Wanted
from napari_segtool.explain._question import Question
from napari_segtool.explain._within_layers import ready_steps
from napari_segtool.nets._loaded import LoadedModel

LEVEL = 1 - 0.9545
"""Part of the strongest influence from which a pixel counts as seen (Luo et al.)."""


def receptive_field_steps(
    bundle: ModelBundle,
    stack: Stack,
    target: Target,
    *,
    draws: int = 8,
    noise: float = 0.5,
    smoothing_px: float = 1.0,
    seed: int = 0,
    device: str = "auto",
    threads: int = 0,
    loaded: LoadedModel | None = None,
) -> Steps[ReceptiveField]:
    """Return what the logits of a pixel depend on: the mean strength of their derivatives.

    Parameters
    ----------
    target
        With a point; its class does not matter, the logits of all classes are asked about in random mixtures.
    draws
        How many mixtures, each on the picture with other noise, so that the answer does not hang on which units happen to be silent.
    noise
        Its deviation, as a part of the picture's contrast; the first draw has none.
    smoothing_px
        Width of a Gaussian over the map before the outline is drawn.
    seed
        Seed of random numbers.

    Raises
    ------
    ParameterError
        If the target has no point.

    References
    ----------
    Luo et al. 2016, doi:10.48550/arXiv.1701.04128.
    """
    if not target.point:
        raise ParameterError("A receptive field is that of a pixel, and none was given.", hint="Click one, or give it with --at Z,Y,X.")
    model = yield from ready_steps(bundle, loaded, device, threads)
    question = Question(model, stack, target)
    total = torch.zeros(1, *question.shape, device=model.forward.device)
    generator = torch.Generator().manual_seed(seed)
    (part,) = question.parts()
    asked = torch.nonzero(part.mask(model.forward.logits(part.pixels)))[0]
    at: tuple[Any, ...] = (0, slice(None), *(int(i) for i in asked))
    for draw in range(draws):
        shift = torch.randn(part.pixels.shape, generator=generator).to(part.pixels) * (noise if draw else 0.0)
        pixels = (part.pixels + shift).requires_grad_()
        logits = question.logits(pixels)
        mixture = torch.randn(logits.shape[1], generator=generator).to(logits)
        slope = question.gradient((logits[at] * mixture).sum(), pixels)
        question.add(total, part.tile, slope[0].abs().amax(0, keepdim=True))
        yield Progress(draw + 1, draws, "influence")
    top = float(total.max())
    drawn: NDArray[np.float32] = (total[0] / (top or 1.0)).cpu().numpy()
    outline, count = outline_of(drawn, smoothing_px)
    outer = part.tile.outer[-2:]
    wanted = Wanted(stack, [question.plane])
    overlay = np.zeros(wanted.shape, np.float32)
    wanted.put(overlay, question.plane, drawn)
    facts = {
        "model": str(bundle.path),
        "point": list(target.point),
        "plane": list(question.plane),
        "draws": draws,
        "noise": noise,
        "smoothing_px": smoothing_px,
    }
    step = Step("inside:receptive-field", facts, __version__, data_sha(wanted.cut().data), seed)
    memo = {"plane": question.plane, "history": (step,)}
    picture = Stack(overlay, stack.label_axes, stack.spacing_um, f"{stack.name} · receptive field".strip(" ·"), memo)
    return ReceptiveField(picture, outline, math.sqrt(count), (outer[0].start, outer[1].start, outer[0].stop, outer[1].stop))


def outline_of(drawn: NDArray[np.float32], smoothing_px: float) -> tuple[NDArray[np.float32], int]:
    """Return the closed line around the part of a map that is strong and joined to its strongest pixel, and how many pixels that has.

    Examples
    --------
    >>> drawn = np.zeros((9, 9), np.float32)
    >>> drawn[3:6, 2:6] = 1
    >>> outline, count = outline_of(drawn, 0)
    >>> count, outline.min(0).tolist(), outline.max(0).tolist()
    (12, [3.0, 2.0], [5.0, 5.0])
    """
    import cv2

    if not drawn.any():
        return np.zeros((0, 2), np.float32), 0
    smooth = cv2.GaussianBlur(drawn, (0, 0), smoothing_px, borderType=cv2.BORDER_REFLECT) if smoothing_px > 0 else drawn
    strong = (smooth >= LEVEL * smooth.max()).astype(np.uint8)
    _, parts = cv2.connectedComponents(strong, connectivity=8)
    own = (parts == parts[np.unravel_index(int(smooth.argmax()), smooth.shape)]).astype(np.uint8)
    lines, _ = cv2.findContours(own, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(lines, key=len)[:, 0, ::-1]  # OpenCV gives (x, y)
    return np.ascontiguousarray(longest, np.float32), int(own.sum())
