"""Which network, at which resolution, on which patches: one function for each setting, which gives a value and why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._em_weights import EM_NETWORK
from napari_segtool.nets._imagenet import INSTALL, imagenet_file
from napari_segtool.training.configure._chooser import Choice, Chooser
from napari_segtool.training.survey._likeness import ALIKE

if TYPE_CHECKING:
    from napari_segtool.training.learners.unet import UNetLearnerParams

_LEAST_RADIUS_PX = 10.0
_NEIGHBOUR_SECTIONS, _VOLUME_SECTIONS, _VOLUME_RATIO, _VOLUME_SIDE_PX = 16, 32, 3.0, 64
_PATCH_PX, _DEPTH, _LEAST_BOTTOM_PX = 256, 4, 8
_BATCH, _GPU_BATCH, _VOLUME_BATCH = 4, 16, 2
_VOXELS = {"cpu": 2**18, "gpu": 2**21}
"""Voxels of a 3-D patch: 64³ and 128³."""
_PRETRAINED, _PRETRAINED_DEPTH, _PRETRAINED_LEAST_PX = "unet-efficientnet", 5, 128
_DROPOUT = 0.3


def levels_of(params: UNetLearnerParams) -> int:
    """How often the network halves the picture: the pretrained encoder as it was built, whatever ``depth`` says."""
    return _PRETRAINED_DEPTH if params.network == _PRETRAINED else params.depth


def dimensions(at: Chooser) -> Choice:
    found = at.found
    if found.sections < 2:
        return "2-D", "The images are single pictures, pages or frames: there is no depth to learn from."
    if found.alike < ALIKE:
        return "2-D", f"Neighbouring sections have little in common (correlation {found.alike:.2f}), so each plane is learned by itself."
    if found.sections < _NEIGHBOUR_SECTIONS:
        return "2-D", f"{found.sections} sections are too few to learn depth from."
    flat = at.params.network != "auto" and 3 not in NETWORKS.get(at.params.network).dimensions
    deep = not flat and found.sections >= _VOLUME_SECTIONS and found.z_ratio <= _VOLUME_RATIO and found.smallest_px >= _VOLUME_SIDE_PX
    if deep and at.machine.gpu and not found.painted:
        return "3-D", f"Sections are alike (correlation {found.alike:.2f}) and little thicker than pixels, and a GPU is there: volumes are learned whole."
    why = "paint lies in single planes" if found.painted else "without a GPU volumes are too slow" if deep else "they are too few or too thick for volumes"
    return "2.5-D", f"Neighbouring sections are alike (correlation {found.alike:.2f}), so they are shown as further channels; {why}."


def network(at: Chooser) -> Choice:
    large = at.found.radius_px >= 2 * _LEAST_RADIUS_PX and at.found.largest_px >= _PRETRAINED_LEAST_PX
    if at.found.upright and large and not at.found.painted and at.params.dimensions == "2-D":
        why = "The images have an up and down, so what lies around a large object tells what it is"
        if imagenet_file():
            return _PRETRAINED, f"{why}: an encoder that has learned to see on ImageNet needs fewer images for that."
        return "unet", f"{why}. A pretrained encoder would need fewer images for that, but its weights are not installed: {INSTALL}."
    return "unet", "The network that most images are learned best with."


def pretrained_encoder(at: Chooser) -> Choice:
    if at.params.network != _PRETRAINED:
        return "auto", ""
    if imagenet_file():
        return "imagenet", "The encoder starts from what it has learned on ImageNet."
    return "gaussian", f"The encoder's published weights are not installed ({INSTALL}), so it starts from nothing."


def initialisation(at: Chooser) -> Choice:
    here = {**at.params.model_dump(), "reduction": at.shrink}
    known = at.params.network == "unet" and not at.volumes and all(here[name] == value for name, value in EM_NETWORK.items())
    if known and at.found.painted and at.found.modality == "electron microscopy" and at.found.channels == 1:
        if at.going_on:
            return "em", "The model that this goes on from began with the weights that know such tissue: they stay the ones that it is held to."
        why = "The images look like electron microscopy and little is labelled"
        return "em", f"{why}: the network starts from weights that learned such tissue on sections made by code."
    return "gaussian", ""


def retain(at: Chooser) -> Choice:
    if at.params.initialisation == "em" and at.found.painted:
        return 1.0, "Where nothing is painted, it is held to what those weights see: a few strokes do not make it forget where membranes are."
    return 0.0, ""


def resolution(at: Chooser) -> Choice:
    if at.found.painted:
        return "full", "Strokes do not say how large objects are, so no detail is given away."
    radius = at.found.radius_px
    if at.found.upright and at.pretrained and radius >= 2 * _LEAST_RADIUS_PX:
        return (
            "half",
            f"The pretrained encoder sees most of an image at half size, and the thinnest objects (about {2 * radius:.0f} px) still have {radius:.0f}.",
        )
    if at.found.upright and radius >= 2 * _LEAST_RADIUS_PX:
        return (
            "quarter",
            f"The images have an up and down, so what lies around an object tells what it is: at a quarter the network sees most of an image, and the "
            f"thinnest objects (about {2 * radius:.0f} px) still have {radius / 2:.0f}.",
        )
    if radius >= 4 * _LEAST_RADIUS_PX:
        return (
            "quarter",
            f"The thinnest objects are about {2 * radius:.0f} px thick: at a quarter they still have {radius / 2:.0f}, and the network sees more around.",
        )
    if radius >= 2 * _LEAST_RADIUS_PX:
        return "half", f"The thinnest objects are about {2 * radius:.0f} px thick: at half size they still have {radius:.0f}, and the network sees more around."
    return (
        "full",
        f"The thinnest objects are about {2 * radius:.0f} px thick: they need every pixel." if radius else "No object is large enough to be measured.",
    )


def patch_px(at: Chooser) -> Choice:
    largest = -(-at.found.largest_px // at.shrink)
    if at.volumes:
        side = 16 * max(2, round((_voxels(at) * _ratio(at) / at.shrink) ** (1 / 3) / 16))
        return min(
            side, max(32, largest)
        ), f"With {side} px across, a patch of as many µm in depth has about {_voxels(at) // 1000} thousand voxels, which suits the machine."
    if largest <= _PATCH_PX:
        return max(32, largest), f"The images are {largest} px wide at the resolution of the network: a patch shows a whole one."
    return _PATCH_PX, f"{_PATCH_PX} px are enough for what the network sees around a pixel, and many different places are seen in little time."


def patch_planes(at: Chooser) -> Choice:
    if not at.volumes:
        return 1, ""
    asked = max(1, round(at.params.patch_px * at.shrink / _ratio(at)))
    planes = min(asked, at.found.sections)
    if planes < asked:
        return planes, f"The thinnest volume has {planes} sections."
    return planes, f"Sections lie {_ratio(at):.1f} times as far apart as pixels, so {planes} of them are as deep as a patch is wide."


def depth(at: Chooser) -> Choice:
    if at.params.network == _PRETRAINED:
        return _PRETRAINED_DEPTH, "The published encoder halves the picture five times."
    side = min(at.params.patch_px, max(2, -(-at.found.largest_px // at.shrink)))
    levels = max(1, min(_DEPTH, int(math.log2(max(2.0, side / _LEAST_BOTTOM_PX)))))
    if levels < _DEPTH:
        return levels, f"After {levels} halvings a patch of {side} px is down to {side / 2**levels:.0f} px: more would leave nothing to look at."
    return levels, f"After {levels} halvings the network sees far beyond an object, and {side / 2**levels:.0f} px are left at the bottom."


def z_factors(at: Chooser) -> Choice:
    if not at.volumes:
        return ",".join(["1"] * at.params.depth), ""
    text = z_pooling(_ratio(at), min(at.found.sections, at.params.patch_planes), at.params.depth)
    if "2" not in text:
        return text, "The sections are too few or too thick to be pooled along Z."
    return text, f"Sections lie {_ratio(at):.1f} times as far apart as pixels: they are pooled along Z once pixels are as large."


def z_pooling(ratio: float, planes: int, depth: int) -> str:
    """Pool along Z from the level on at which planes lie no farther apart than pixels.

    Examples
    --------
    >>> z_pooling(5.0, 16, 4)
    '1,1,2,2'
    """
    factors, pixel, left = [], 1.0, planes
    for _ in range(depth):
        pool = ratio <= 1.5 * pixel and left >= 4
        factors.append("2" if pool else "1")
        pixel *= 2
        if pool:
            ratio, left = ratio * 2, left // 2
    return ",".join(factors)


def batch(at: Chooser) -> Choice:
    if at.volumes:
        return _VOLUME_BATCH, f"{_VOLUME_BATCH} volumes in a step: large patches teach more than many."
    if at.machine.gpu:
        return _GPU_BATCH, f"A GPU learns from {_GPU_BATCH} patches nearly as quickly as from one."
    return _BATCH, f"{_BATCH} patches in a step: enough for steady statistics, and many steps in little time."


def normalisation(at: Chooser) -> Choice:
    if at.volumes:
        return "instance", f"The statistics of {at.params.batch} volume(s) in a batch vary too much: each is normalised by itself."
    return "batch", "A batch of planes has enough pixels for steady statistics, and prediction is quickest with it."


def dropout(at: Chooser) -> Choice:
    if at.found.painted:
        return _DROPOUT, "Little is labelled: leaving out features keeps the network from learning the strokes by heart."
    if at.found.upright:
        return _DROPOUT, "One object looks different in every such image: leaving out features keeps the network from learning these ones by heart."
    return 0.0, "Every pixel is labelled: there is enough to learn from."


def _ratio(at: Chooser) -> float:
    return at.found.z_ratio or 1.0


def _voxels(at: Chooser) -> int:
    return _VOXELS["gpu" if at.machine.gpu else "cpu"]
