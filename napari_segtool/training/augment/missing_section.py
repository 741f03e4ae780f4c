"""Missing section: one was lost on the way from the knife to the microscope, or part of one."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import UNLABELLED, Patch

_SINGLE_SHARE = 0.25


class MissingSectionParams(Params):
    """How much of a section is lost."""

    strength: float = param(1.0, "1 loses a whole section among others, or a strip of up to a quarter of a single plane.", ge=0, le=3)
    probability: float = param(0.05, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register(
    "missing-section",
    title="Missing section",
    summary="A section, or part of one, is lost: the network learns to bridge it from its neighbours.",
    params=MissingSectionParams,
    family="em",
    reference="Lee et al. 2017, arXiv:1706.00120",
)
def missing_section(patch: Patch, rng: np.random.Generator, params: MissingSectionParams) -> Patch:
    """Make one section, or a strip of it, black or grey; in place.

    Where a patch has several sections the labels stay: what lies there is told by the sections above and below. In a single plane nothing
    tells it, so the strip becomes unlabelled; a strip that holds every label of the patch is not lost.
    """
    sections, height, width = patch.classes.shape
    single = sections == 1
    share = min(0.5, params.strength * rng.uniform(0.2, 1) * _SINGLE_SHARE) if single else min(1.0, params.strength)
    along_y = rng.random() < 0.5
    length = height if along_y else width
    size = round(share * length)
    if size == 0:
        return patch
    start = int(rng.integers(length - size + 1))
    strip = (int(rng.integers(sections)), *((slice(start, start + size), slice(None)) if along_y else (slice(None), slice(start, start + size))))
    black = rng.random() < 0.5
    if single:
        kept = patch.classes.copy()
        kept[strip] = UNLABELLED
        if not (kept != UNLABELLED).any():
            return patch
        patch.classes[strip] = UNLABELLED
    for channel in patch.image:
        channel[strip] = channel.min() if black else channel.mean()
    return patch
