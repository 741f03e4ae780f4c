"""Images of different pixel size in one training: planes are resampled to the size that most have, patches by the map that resamples them anyway."""

from __future__ import annotations

from collections.abc import Sequence

from napari_segtool.nets._pixel_size import SAME, TOLERANCE, Zoom, zoom_between

Spacing = tuple[float, ...]
"""Along Z, Y and X in µm; empty where it is not known."""


def common_spacing(spacings: Sequence[Spacing]) -> Spacing:
    """Return the spacing whose pixel size most images have; of those equally frequent, that of the first. Empty where the spacing of one is not known."""
    if not spacings or not all(spacings):
        return ()
    return max(spacings, key=lambda one: (sum(alike(one, other) for other in spacings), -list(spacings).index(one)))


def alike(one: Spacing, other: Spacing) -> bool:
    """Tell whether pixels are of about the same size, so that nothing is resampled; the distance of slices does not count.

    Examples
    --------
    >>> alike((0.05, 0.004, 0.004), (0.03, 0.0044, 0.004)), alike((1.0, 1.0, 1.0), (1.0, 1.3, 1.0))
    (True, False)
    """
    return all(max(a / b, b / a) <= TOLERANCE for a, b in zip(one[-2:], other[-2:], strict=True))


def zoom_of(own: Spacing, wanted: Spacing) -> Zoom:
    """Return how many pixels of an image, along y and x, make one of a patch; ones where a spacing is not known or the two are alike.

    Examples
    --------
    >>> zoom_of((0.05, 0.004, 0.004), (0.05, 0.008, 0.008))
    (2.0, 2.0)
    """
    return zoom_between((own[-2], own[-1]), (wanted[-2], wanted[-1])) if own and wanted else SAME


def z_ratio_of(own: Spacing, zoom: Zoom = SAME) -> float:
    """Return how far planes of a patch lie apart, in pixels of the patch; 0 where it is not known.

    Examples
    --------
    >>> round(z_ratio_of((0.05, 0.004, 0.004)), 6), round(z_ratio_of((0.05, 0.004, 0.004), (2.0, 2.0)), 6)
    (12.5, 6.25)
    """
    return 2 * own[0] / (own[1] * zoom[0] + own[2] * zoom[1]) if own else 0.0
