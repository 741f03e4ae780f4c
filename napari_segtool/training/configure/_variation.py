"""From a learner's levers to how patches are varied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segtool.training.augment._presets import preset
from napari_segtool.training.data._augment import STILL, Augmentation

if TYPE_CHECKING:
    from napari_segtool.training.learners.unet import UNetLearnerParams

_STRENGTH = {"none": 0.0, "light": 0.5, "normal": 1.0, "strong": 1.6}
_UPRIGHT_DEG = 15.0


def variation_of(params: UNetLearnerParams, reduction: int) -> Augmentation:
    """Return how patches are varied.

    Parameters
    ----------
    params
        Settled, see `configure._configure.configure`.
    reduction
        Pixels of the image, along each side, for one at which the network works.
    """
    strength = _STRENGTH[params.augmentation]
    if not strength:
        return STILL
    upright = params.turn == "upright"
    return Augmentation(
        flip_x=True,
        flip_y=not upright,
        flip_z=True,
        rotation_deg=min(params.rotation_deg, _UPRIGHT_DEG * min(1.0, strength)) if upright else params.rotation_deg,
        scale=params.scale * strength,
        elastic_px=params.elastic_px * strength * reduction,
        elastic_sigma_px=params.elastic_sigma_px * strength * reduction,
        elastic_grid=params.elastic_grid,
        shear_deg=params.shear_deg * strength,
        shift=params.shift,
        tilt_deg=params.tilt_deg,
        intensity=params.intensity * strength,
        effects=preset(params.modality),
    )
