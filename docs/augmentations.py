"""Make the pictures of the guide to augmentation: every effect on a sample, and whole patches with their labels before and after.

python docs/augmentations.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from napari_segtool.api import preview_augmentation, sample
from napari_segtool.core.labels import class_colour
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.training.augment._patch import Patch

FOLDER = Path(__file__).parent / "images" / "augment"
TILE_PX, GAP_PX, SHOWN = 128, 4, 5
SEEDS = range(12)
SHEETS = {
    "em": ("contrast", "brightness", "gamma", "blur", "noise", "contrast-jump", "charging", "missing-section", "misalignment"),
    "ultrasound": ("speckle", "shadow", "gain"),
}


def grey(image: np.ndarray) -> np.ndarray:
    """A normalised picture as uint8, from 2.5 deviations below the mean to as many above."""
    return np.rint(np.clip((image + 2.5) / 5, 0, 1) * 255).astype(np.uint8)


def written(tile: np.ndarray, text: str) -> np.ndarray:
    """The tile with a name on a dark ground at its top."""
    tile = cv2.resize(tile, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
    tile[:16] = 30
    cv2.putText(tile, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * (3 if tile.ndim == 3 else 1), 1, cv2.LINE_AA)
    return cv2.copyMakeBorder(tile, 0, GAP_PX, 0, GAP_PX, cv2.BORDER_CONSTANT, value=(255,) * 4)


def patch_of(planes: np.ndarray) -> Patch:
    """A patch of planes, all labelled."""
    return Patch(planes[None].copy(), np.zeros(planes.shape, np.uint8))


def sheet(name: str) -> np.ndarray:
    """Every effect of a modality, at its usual strength, beside the picture itself."""
    volume = np.asarray(sample(name)[0].data)[SHOWN - 2 : SHOWN + 3, 60:204, 60:204]
    base = np.stack([Normalisation().apply(plane) for plane in volume])
    tiles = [written(grey(base[2]), name)]
    for effect in SHEETS[name]:
        entry, planes = AUGMENTATIONS.get(effect), base if AUGMENTATIONS.get(effect).dimensions == (3,) else base[2:3]
        drawn = [entry.function(patch_of(planes), np.random.default_rng(seed), entry.params.build(strength=1.0)).image[0] for seed in SEEDS]
        changes = [np.abs(image - planes).mean(axis=(1, 2)).max() for image in drawn]
        shown = drawn[int(np.argmax(changes))]  # the one of a dozen that shows most
        tiles.append(written(grey(shown[int(np.abs(shown - planes).mean(axis=(1, 2)).argmax())]), effect))
    across = 5 if len(tiles) > 5 else len(tiles)
    return np.vstack([np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)])


def patches() -> np.ndarray:
    """Patches with their labels over them, as cut and as the network sees them."""
    stack, truth = sample("em")
    found = preview_augmentation(
        stack, truth, labels_are="mask", count=5, seed=4, dimensions="2-D", augmentation="normal", elastic_px=6, patch_px=144, resolution="full", depth=3
    )
    rows = []
    for title, pick in (("before", lambda e: (e.before, e.labels_before)), ("after", lambda e: (e.image, e.labels))):
        tiles = []
        for example in found:
            image, labels = pick(example)
            tile = cv2.cvtColor(grey(image[0]), cv2.COLOR_GRAY2BGR)
            for value in (1, 2):
                blue_green_red = tuple(int(class_colour(value)[i : i + 2], 16) for i in (5, 3, 1))
                outlines, _ = cv2.findContours((labels == value).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
                cv2.drawContours(tile, outlines, -1, blue_green_red, 1)
            tiles.append(written(tile, title))
        rows.append(np.hstack(tiles))
    return np.vstack(rows)


def main() -> None:
    """Draw all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    pictures = {"patches": patches()} | {name: sheet(name) for name in SHEETS}
    for name, picture in pictures.items():
        cv2.imwrite(str(FOLDER / f"{name}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    main()
