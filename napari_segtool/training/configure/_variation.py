"""From a learner's levers to how patches are varied."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_segtool.training.augment._text import parse_effects
from napari_segtool.training.data._augment import STILL, Augmentation

if TYPE_CHECKING:
    from napari_segtool.training.learners.unet import UNetLearnerParams

_STRENGTH = {"none": 0.0, "light": 0.5, "normal": 1.0, "strong": 1.6}
_UPRIGHT_DEG = 15.0
_FLIPS = {"all": (True, True, True), "sides": (True, False, True), "none": (False, False, False)}
"""Whether to mirror along X, Y and Z."""
SCALED = ("scale", "elastic_px", "intensity")
"""Levers whose defaults ``augmentation`` multiplies."""


def variation_of(params: UNetLearnerParams, reduction: int) -> Augmentation:
    """Return how patches are varied: levers on their defaults as strongly as ``augmentation`` says, those that were set as they are.

    Parameters
    ----------
    params
        Settled, see `configure._configure.configure`.
    reduction
        Pixels of the image, along each side, for one at which the network works.

    Raises
    ------
    ParameterError
        If the effects cannot be read.
    """
    effects = parse_effects(params.effects, params.modality)
    intensity = _lever(params, "intensity") if params.effects == "auto" else params.intensity
    found = Augmentation(
        *_flips(params),
        rotation_deg=_rotation_deg(params),
        scale=_lever(params, "scale"),
        elastic_px=_lever(params, "elastic_px") * reduction,
        elastic_sigma_px=params.elastic_sigma_px * reduction,
        elastic_grid=params.elastic_grid,
        shear_deg=params.shear_deg,
        shift=params.shift,
        tilt_deg=params.tilt_deg,
        intensity=intensity if effects else 0.0,
        effects=effects,
    )
    still = replace(found, elastic_grid=STILL.elastic_grid, effects=STILL.effects) == STILL
    return STILL if still else found


def is_set(params: UNetLearnerParams, name: str) -> bool:
    """Whether a lever is away from its default: then it is taken as it is."""
    return bool(getattr(params, name) != type(params).model_fields[name].default)


def _lever(params: UNetLearnerParams, name: str) -> float:
    value = float(getattr(params, name))
    return value if is_set(params, name) else value * _STRENGTH[params.augmentation]


def _rotation_deg(params: UNetLearnerParams) -> float:
    most = _UPRIGHT_DEG if params.turn == "upright" else 180.0
    if is_set(params, "rotation_deg"):
        return min(params.rotation_deg, most)
    strength = min(1.0, _STRENGTH[params.augmentation])
    return most * (strength if params.turn == "upright" else bool(strength))


def _flips(params: UNetLearnerParams) -> tuple[bool, bool, bool]:
    if params.flips != "auto":
        return _FLIPS[params.flips]
    if params.augmentation == "none":
        return _FLIPS["none"]
    return _FLIPS["sides" if params.turn == "upright" else "all"]
