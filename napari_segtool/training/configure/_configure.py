"""Self-configuration: every setting that is left open is chosen from what the data and the machine are, with one sentence why.

In the spirit of nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z): fixed settings that were measured to be good, rules for what depends on
shapes, spacing and labels, and memory as the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from napari_segtool.core.params import Params
from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._em_weights import EM_NETWORK
from napari_segtool.nets._imagenet import INSTALL, imagenet_file
from napari_segtool.training.configure._proposal import Reason
from napari_segtool.training.losses._text import EXAMPLE
from napari_segtool.training.survey._likeness import ALIKE
from napari_segtool.training.survey._survey import Survey

if TYPE_CHECKING:
    from napari_segtool.training.learners.unet import UNetLearnerParams

P = TypeVar("P", bound=Params)
Choice = tuple[Any, str]
"""A value and why; no sentence where the setting does not matter."""

PAINT_LOSS = "cross-entropy"
_LEAST_RADIUS_PX = 10.0
_NEIGHBOUR_SECTIONS, _VOLUME_SECTIONS, _VOLUME_RATIO, _VOLUME_SIDE_PX = 16, 32, 3.0, 64
_PATCH_PX, _DEPTH, _LEAST_BOTTOM_PX = 256, 4, 8
_BATCH, _GPU_BATCH, _VOLUME_BATCH = 4, 16, 2
_VOXELS = {"cpu": 2**18, "gpu": 2**21}
"""Voxels of a 3-D patch: 64³ and 128³."""
_PRETRAINED, _PRETRAINED_DEPTH, _PRETRAINED_LEAST_PX = "unet-efficientnet", 5, 128
_DROPOUT = 0.3
_RARE_SHARE = 0.02
_CLOSE_SHARE, _FEWEST_GAPS, _MOST_GAPS = 0.3, 0.002, 0.5
_BORDER_WEIGHT = 10.0
_EMPTY_SHARE = 0.1
_EFFECTS = {"fluorescence": "light", "colour": "light", "phase contrast": "light"}
"""Variations of grey values for a modality. Those of one instrument (em, ultrasound) are chosen by hand until they are measured to be better than
the general ones."""


@dataclass(frozen=True)
class Machine:
    """What the training will run on.

    Parameters
    ----------
    device
        ``cpu``, ``cuda:0`` or ``mps``.
    free_mb
        Memory that is free there.
    """

    device: str
    free_mb: float

    @property
    def gpu(self) -> bool:
        """Whether it is a GPU."""
        return not self.device.startswith("cpu")


def configure(params: UNetLearnerParams, found: Survey, machine: Machine, *, going_on: bool = False) -> tuple[UNetLearnerParams, tuple[Reason, ...]]:
    """Choose what is left open, memory aside.

    Parameters
    ----------
    params
        As the user set them; what is not on auto stays.
    found
        From `survey`.
    machine
        Of the training.
    going_on
        Whether it begins with the weights of a model.

    Returns
    -------
    params, reasons
        Parameters with nothing on auto, and why, in the order of the choices.
    """
    chooser = _Chooser(params, found, machine, going_on)
    for name, is_open, choose in _RULES:
        chooser.decide(name, is_open, choose)
    return chooser.params, tuple(chooser.reasons)


class _Chooser:
    """Parameters on their way from open to settled; later rules see what earlier ones chose."""

    def __init__(self, params: UNetLearnerParams, found: Survey, machine: Machine, going_on: bool) -> None:
        self.params, self.found, self.machine, self.going_on = params, found, machine, going_on
        self.reasons: list[Reason] = []

    def decide(self, name: str, is_open: Callable[[Any], bool], choose: Callable[[_Chooser], Choice]) -> None:
        if is_open(getattr(self.params, name)):
            value, why = choose(self)
            self.params = changed(self.params, **{name: value})
            if why:
                self.reasons.append(Reason(name, value, why))

    @property
    def pretrained(self) -> bool:
        """Whether the network begins with what it has learned elsewhere."""
        return self.going_on or self.params.initialisation in ("imagenet", "em")

    @property
    def volumes(self) -> bool:
        return self.params.dimensions == "3-D"

    @property
    def shrink(self) -> int:
        return {"full": 1, "half": 2, "quarter": 4}[self.params.resolution]


def changed(params: P, **values: Any) -> P:
    """Return the parameters with some replaced, checked again."""
    return type(params).build(**{**params.model_dump(), **values})


def _dimensions(at: _Chooser) -> Choice:
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


def _network(at: _Chooser) -> Choice:
    large = at.found.radius_px >= 2 * _LEAST_RADIUS_PX and at.found.largest_px >= _PRETRAINED_LEAST_PX
    if at.found.upright and large and not at.found.painted and at.params.dimensions == "2-D":
        why = "The images have an up and down, so what lies around a large object tells what it is"
        if imagenet_file():
            return _PRETRAINED, f"{why}: an encoder that has learned to see on ImageNet needs fewer images for that."
        return "unet", f"{why}. A pretrained encoder would need fewer images for that, but its weights are not installed: {INSTALL}."
    return "unet", "The network that most images are learned best with."


def _pretrained_encoder(at: _Chooser) -> Choice:
    if at.params.network != _PRETRAINED:
        return "auto", ""
    if imagenet_file():
        return "imagenet", "The encoder starts from what it has learned on ImageNet."
    return "gaussian", f"The encoder's published weights are not installed ({INSTALL}), so it starts from nothing."


def _initialisation(at: _Chooser) -> Choice:
    here = {**at.params.model_dump(), "reduction": at.shrink}
    known = at.params.network == "unet" and not at.volumes and all(here[name] == value for name, value in EM_NETWORK.items())
    if known and at.found.painted and at.found.modality == "electron microscopy" and at.found.channels == 1:
        if at.going_on:
            return "em", "The model that this goes on from began with the weights that know such tissue: they stay the ones that it is held to."
        why = "The images look like electron microscopy and little is labelled"
        return "em", f"{why}: the network starts from weights that learned such tissue on sections made by code."
    return "gaussian", ""


def _retain(at: _Chooser) -> Choice:
    if at.params.initialisation == "em" and at.found.painted:
        return 1.0, "Where nothing is painted, it is held to what those weights see: a few strokes do not make it forget where membranes are."
    return 0.0, ""


def _resolution(at: _Chooser) -> Choice:
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


def _patch_px(at: _Chooser) -> Choice:
    largest = -(-at.found.largest_px // at.shrink)
    if at.volumes:
        side = 16 * max(2, round((_voxels(at) * _ratio(at) / at.shrink) ** (1 / 3) / 16))
        return min(
            side, max(32, largest)
        ), f"With {side} px across, a patch of as many µm in depth has about {_voxels(at) // 1000} thousand voxels, which suits the machine."
    if largest <= _PATCH_PX:
        return max(32, largest), f"The images are {largest} px wide at the resolution of the network: a patch shows a whole one."
    return _PATCH_PX, f"{_PATCH_PX} px are enough for what the network sees around a pixel, and many different places are seen in little time."


def _patch_planes(at: _Chooser) -> Choice:
    if not at.volumes:
        return 1, ""
    asked = max(1, round(at.params.patch_px * at.shrink / _ratio(at)))
    planes = min(asked, at.found.sections)
    if planes < asked:
        return planes, f"The thinnest volume has {planes} sections."
    return planes, f"Sections lie {_ratio(at):.1f} times as far apart as pixels, so {planes} of them are as deep as a patch is wide."


def _depth(at: _Chooser) -> Choice:
    if at.params.network == _PRETRAINED:
        return _PRETRAINED_DEPTH, "The published encoder halves the picture five times."
    side = min(at.params.patch_px, max(2, -(-at.found.largest_px // at.shrink)))
    levels = max(1, min(_DEPTH, int(math.log2(max(2.0, side / _LEAST_BOTTOM_PX)))))
    if levels < _DEPTH:
        return levels, f"After {levels} halvings a patch of {side} px is down to {side / 2**levels:.0f} px: more would leave nothing to look at."
    return levels, f"After {levels} halvings the network sees far beyond an object, and {side / 2**levels:.0f} px are left at the bottom."


def _z_factors(at: _Chooser) -> Choice:
    if not at.volumes:
        return ",".join(["1"] * at.params.depth), ""
    text = z_pooling(at.found.z_ratio or 1.0, min(at.found.sections, at.params.patch_planes), at.params.depth)
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


def _batch(at: _Chooser) -> Choice:
    if at.volumes:
        return _VOLUME_BATCH, f"{_VOLUME_BATCH} volumes in a step: large patches teach more than many."
    if at.machine.gpu:
        return _GPU_BATCH, f"A GPU learns from {_GPU_BATCH} patches nearly as quickly as from one."
    return _BATCH, f"{_BATCH} patches in a step: enough for steady statistics, and many steps in little time."


def _normalisation(at: _Chooser) -> Choice:
    if at.volumes:
        return "instance", f"The statistics of {at.params.batch} volume(s) in a batch vary too much: each is normalised by itself."
    return "batch", "A batch of planes has enough pixels for steady statistics, and prediction is quickest with it."


def _dropout(at: _Chooser) -> Choice:
    if at.found.painted:
        return _DROPOUT, "Little is labelled: leaving out features keeps the network from learning the strokes by heart."
    if at.found.upright:
        return _DROPOUT, "One object looks different in every such image: leaving out features keeps the network from learning these ones by heart."
    return 0.0, "Every pixel is labelled: there is enough to learn from."


def _augmentation(at: _Chooser) -> Choice:
    if at.found.painted:
        return "strong", "Little is labelled, so what there is is shown in many variations."
    return "normal", "Every pixel is labelled: usual variation."


def _turn(at: _Chooser) -> Choice:
    if at.found.upright:
        return "upright", "The images differ from top to bottom, all in the same way: they are turned a little, and never upside down."
    return "any", "No up and down is seen in the images: they are turned and mirrored any way."


def _modality(at: _Chooser) -> Choice:
    modality = at.found.modality
    effects = _EFFECTS.get(modality, "general")
    looks = {"unknown": "The grey values do not tell what made the images", "colour": "The images are in colour"}.get(
        modality, f"The images look like {modality}"
    )
    own = {"electron microscopy": "em", "ultrasound": "ultrasound"}.get(modality)
    if own:
        return effects, f"{looks}: general variations, with which it was measured; modality={own} adds what its instrument does."
    return effects, f"{looks}: {'brightness and contrast vary more than elsewhere' if effects == 'light' else 'general variations'}."


def _grey_values(at: _Chooser) -> Choice:
    if at.found.empty_share >= _EMPTY_SHARE and at.found.one_type:
        return "fixed", f"{100 * at.found.empty_share:.0f} % of the planes are nearly empty: scaled by themselves, they would be nothing but noise."
    return "plane", "Each plane is scaled by itself, so bit depth and exposure do not matter."


def _optimiser(at: _Chooser) -> Choice:
    if at.found.painted:
        return "adamw", "From strokes the quickest optimiser, Muon, learns the strokes by heart; AdamW does so later."
    if at.pretrained:
        return "adamw", "What the network has learned before is to be adjusted, not turned: AdamW takes smaller steps than Muon."
    return "muon", "Muon needs fewer steps than AdamW."


def _loss(at: _Chooser) -> Choice:
    if at.found.painted:
        return PAINT_LOSS, "From strokes, Dice would make the network too sure of itself."
    rare = at.found.rarest_share
    if rare < _RARE_SHARE:
        return (
            EXAMPLE,
            f"The rarest class has {100 * rare:.2g} % of the pixels: it is drawn as often as others, its pixels count more, and Dice minds no rarity.",
        )
    return (
        EXAMPLE,
        f"Cross-entropy for each pixel and Dice for the whole; the rarest class has {100 * rare:.0f} % of the pixels, and counts a little more for it.",
    )


def _border_weight(at: _Chooser) -> Choice:
    gaps = at.found.gaps
    if gaps is None:
        return 0.0, "Strokes do not show where objects touch."
    if gaps.close_share >= _CLOSE_SHARE and gaps.gap_share < _FEWEST_GAPS:
        return 0.0, f"Only {100 * gaps.gap_share:.2g} % of the background lies in narrow gaps between objects: too little to matter."
    if gaps.objects < 2 or gaps.close_share < _CLOSE_SHARE:
        return 0.0, f"{100 * gaps.close_share:.0f} % of the objects lie close to another: nothing special is needed to keep them apart."
    if gaps.gap_share > _MOST_GAPS:
        return 0.0, f"The first class is what lies between objects ({100 * gaps.gap_share:.0f} % of it in narrow gaps): as a class it counts already."
    return (
        _BORDER_WEIGHT,
        f"{100 * gaps.close_share:.0f} % of the objects lie close to another, only {100 * gaps.gap_share:.1f} % of the background between: that counts more.",
    )


def _ratio(at: _Chooser) -> float:
    return at.found.z_ratio or 1.0


def _voxels(at: _Chooser) -> int:
    return _VOXELS["gpu" if at.machine.gpu else "cpu"]


def _auto(value: Any) -> bool:
    return bool(value == "auto")


def _zero(value: Any) -> bool:
    return bool(value == 0)


def _negative(value: Any) -> bool:
    return bool(value < 0)


_RULES: tuple[tuple[str, Callable[[Any], bool], Callable[[_Chooser], Choice]], ...] = (
    ("dimensions", _auto, _dimensions),
    ("network", _auto, _network),
    ("initialisation", _auto, _pretrained_encoder),
    ("resolution", _auto, _resolution),
    ("patch_px", _zero, _patch_px),
    ("patch_planes", _zero, _patch_planes),
    ("depth", _zero, _depth),
    ("z_factors", _auto, _z_factors),
    ("batch", _zero, _batch),
    ("normalisation", _auto, _normalisation),
    ("initialisation", _auto, _initialisation),
    ("retain", _negative, _retain),
    ("dropout", _negative, _dropout),
    ("modality", _auto, _modality),
    ("augmentation", _auto, _augmentation),
    ("turn", _auto, _turn),
    ("grey_values", _auto, _grey_values),
    ("optimiser", _auto, _optimiser),
    ("loss", _auto, _loss),
    ("border_weight", _negative, _border_weight),
)
