"""Examples of patches as small pictures, with their labels in colour; neither Qt nor napari here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_segtool.training.before._examples import Example

LARGEST_PX = 200
_SHOWN_PERCENT = (0.5, 99.5)


@dataclass(frozen=True, eq=False)
class Pictured:
    """One example in four small pictures, uint8 ``(height, width, 3)``.

    Parameters
    ----------
    varied, varied_labels, cut, cut_labels
        As the network sees it, and as it was cut; each bare and with its labels in colour.
    """

    varied: NDArray[np.uint8]
    varied_labels: NDArray[np.uint8]
    cut: NDArray[np.uint8]
    cut_labels: NDArray[np.uint8]

    def picture(self, *, varied: bool, labels: bool) -> NDArray[np.uint8]:
        """Return the one wanted."""
        if varied:
            return self.varied_labels if labels else self.varied
        return self.cut_labels if labels else self.cut


def pictured(examples: Iterable[Example], *, painted: bool) -> tuple[Pictured, ...]:
    """Draw examples; of masks, what is seen and not learned from is dark."""
    found = []
    for example in examples:
        limits = tuple(float(value) for value in np.percentile(example.before, _SHOWN_PERCENT))
        varied = _drawn(example.image, example.labels, limits, None if painted else ~example.labelled)
        found.append(Pictured(*varied, *_drawn(example.before, example.labels_before, limits)))
    return tuple(found)


def _drawn(
    image: NDArray[np.float32], labels: NDArray[np.unsignedinteger], limits: tuple[float, ...], unknown: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a patch small: bare, and with its labels, dark where nothing is to be learned."""
    import cv2

    from napari_segtool.api._thumbnail import Backdrop

    colour = len(image) == 3
    shown = np.moveaxis(image, 0, -1) if colour else image.mean(axis=0, dtype=np.float32)
    height, width = labels.shape
    scale = LARGEST_PX / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    scaled = cv2.resize((shown - limits[0]) * (255 / ((limits[1] - limits[0]) or 1.0)), size[::-1], interpolation=how).clip(0, 255).astype(np.uint8)
    picture = scaled if colour else np.repeat(scaled[..., None], 3, axis=-1)
    rows, columns = (((np.arange(few) + 0.5) * many / few).astype(np.intp) for few, many in zip(size, labels.shape, strict=True))
    backdrop = Backdrop(np.ascontiguousarray(picture), rows, columns)
    over = backdrop.with_labels(labels)
    if unknown is not None:
        over[unknown[np.ix_(rows, columns)]] //= 3
    return backdrop.picture, over
