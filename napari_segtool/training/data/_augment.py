"""How much patches are varied. What moves pixels is composed into one map (`_warp`), by which everything is resampled once (`_cut`)."""

from __future__ import annotations

from dataclasses import dataclass

from napari_segtool.training.augment._presets import GENERAL, Effects


@dataclass(frozen=True)
class Augmentation:
    """How much patches are varied.

    Parameters
    ----------
    flip_x, flip_y, flip_z
        Whether to mirror along the axis, half of the time.
    rotation_deg
        Largest angle in the plane.
    scale
        Largest change of size: 0.2 is from 1/1.2 to 1.2. Of volumes that are not much coarser along Z, also along Z.
    elastic_px
        Standard deviation of a smooth random displacement with a point every 32 pixels, or every five deviations where those are more, cut at two
        deviations so that nothing folds over. Each patch draws its own share of it.
    intensity
        What the strengths of ``effects`` are multiplied by; 0 switches them off, 1 is usual.
    shift
        Largest shift as a share of the patch, in addition to the freedom with which a patch lies about the pixel it was drawn for.
    shear_deg
        Largest angle by which columns lean.
    tilt_deg
        Largest rotation out of the plane. Only of volumes that are not much coarser along Z, where it is an angle in space.
    elastic_sigma_px, elastic_grid
        Standard deviation of Gaussian displacements on a coarse grid of so many points along each side of the patch, joined by cubic
        interpolation; as published 10 px on 3 × 3 points (Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28). 0 px switches it off.
    effects
        Entries of `AUGMENTATIONS` that change grey values, in the order in which they are applied, weighted by their strengths;
        `augment._presets.preset` has those that suit a modality.
    """

    flip_x: bool = True
    flip_y: bool = True
    flip_z: bool = True
    rotation_deg: float = 180.0
    scale: float = 0.2
    elastic_px: float = 4.0
    intensity: float = 1.0
    shift: float = 0.0
    shear_deg: float = 0.0
    tilt_deg: float = 0.0
    elastic_sigma_px: float = 0.0
    elastic_grid: int = 3
    effects: Effects = GENERAL


STILL = Augmentation(False, False, False, 0.0, 0.0, 0.0, 0.0)
"""No variation at all."""
