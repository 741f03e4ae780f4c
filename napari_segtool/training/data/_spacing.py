"""Images of different spacing in one training: patches are resampled to one spacing, by the map that resamples them anyway."""

from __future__ import annotations

from collections.abc import Sequence

from napari_segtool.training.data._holdout import Field

_ALIKE = 0.02
"""Spacings that differ by less than this share are the same: microscopes are not calibrated any better."""

Spacing = tuple[float, ...]
"""Along Z, Y and X in µm; empty where it is not known."""


def common_spacing(fields: Sequence[Field]) -> Spacing:
    """Return the spacing that most images have; of those equally frequent, that of the first image. Empty where an image's spacing is not known.

    Each image counts once, whatever the number of its fields.
    """
    known = {field.picture: field.spacing_um for field in fields}
    spacings = [known[number] for number in sorted(known)]
    if not spacings or not all(spacings):
        return ()
    return max(spacings, key=lambda one: (sum(alike(one, other) for other in spacings), -spacings.index(one)))


def alike(one: Spacing, other: Spacing) -> bool:
    """Tell whether two spacings are the same but for calibration.

    Examples
    --------
    >>> alike((0.05, 0.004, 0.004), (0.0501, 0.00402, 0.004)), alike((1.0, 1.0, 1.0), (1.0, 1.1, 1.0))
    (True, False)
    """
    return len(one) == len(other) and all(abs(a - b) <= _ALIKE * b for a, b in zip(one, other, strict=True))


def zoom_of(own: Spacing, wanted: Spacing, *, flat: bool) -> tuple[float, float, float]:
    """Return how many pixels of an image make one of a patch, along z, y, x; ones where a spacing is not known or the two are alike.

    Parameters
    ----------
    own, wanted
        Spacing of the image and of the patch.
    flat
        Whether patches are single planes, which are never resampled along z.

    Examples
    --------
    >>> zoom_of((0.05, 0.004, 0.004), (0.05, 0.008, 0.008), flat=True)
    (1.0, 2.0, 2.0)
    """
    if not own or not wanted or alike(own, wanted):
        return (1.0, 1.0, 1.0)
    z, y, x = (b / a for a, b in zip(own, wanted, strict=True))
    return (1.0 if flat or abs(z - 1) <= _ALIKE else z, y, x)


def z_ratio_of(own: Spacing, wanted: Spacing = ()) -> float:
    """Return how far planes of a patch lie apart, in pixels of the plane; 0 where it is not known.

    Examples
    --------
    >>> round(z_ratio_of((0.05, 0.004, 0.004)), 6)
    12.5
    """
    spacing = (wanted or own) if own else ()
    return 2 * spacing[0] / (spacing[1] + spacing[2]) if spacing else 0.0
