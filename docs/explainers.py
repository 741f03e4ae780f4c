"""Make the pictures of the guide to explanations: every explainer on a slice of tissue and on ultrasound.

    python docs/explainers.py                                 trains a small U-Net on each sample for half a minute
    python docs/explainers.py --em RUN --ultrasound RUN       takes runs or models that are there
    python docs/explainers.py gradient gradcam                draws these anew

Each picture has three panels: the slice with what is asked about, why all its pixels of that colour got their class, and why the pixel under the
cross did. Colours are those of the window: magma for strength; red for, blue against.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_segtool.api import explain, predict, sample, train
from napari_segtool.api._thumbnail import Backdrop
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.nets._bundle import open_bundle
from napari_segtool.ui._explain_look import limits_of, overlay_colormap

FOLDER = Path(__file__).parent / "images" / "explain"
PANEL_PX, GAP_PX, LARGEST_BYTES = 176, 4, 24_000
SHOWN = 5
CLASS = {"em": 2, "ultrasound": 2}
SETTINGS = {"integrated-gradients": {"smoothing_px": 1.5}}
CROPS = {"em": (slice(40, 216), slice(60, 236)), "ultrasound": (slice(16, 304), slice(48, 336))}
TRAINING = {"base_channels": 16, "depth": 3, "patch_px": 128, "batch": 4}


@dataclass(frozen=True, eq=False)
class Scene:
    """One sample, the model that looks at it, and what is asked about."""

    name: str
    stack: Stack
    model: ModelBundle
    predicted: np.ndarray
    pixel: tuple[int, int]

    @property
    def crop(self) -> tuple[slice, slice]:
        """The part that is shown."""
        return CROPS[self.name]


def scene(name: str, run: str, minutes: float, kept: Path) -> Scene:
    """Return a sample with its model, which is trained into the folder ``kept`` if there is no run."""
    stack, truth = sample(name)
    model = open_bundle(run) if run else train([(stack, truth)], "unet", run=kept / name, labels_are="mask", minutes=minutes, seed=1, **TRAINING)
    plane = Stack(np.ascontiguousarray(np.asarray(stack.data)[SHOWN]), "YX", stack.spacing_um[1:], name)
    predicted = np.asarray(predict(model, plane, probabilities=False, uncertainty=False).labels.data)
    return Scene(name, plane, model, predicted, middle_of(predicted == CLASS[name], CROPS[name]))


def middle_of(mask: np.ndarray, crop: tuple[slice, slice]) -> tuple[int, int]:
    """Return the pixel of a mask that lies deepest inside it, near the middle of what is shown."""
    import cv2

    depth = cv2.distanceTransform(mask[crop].astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]]
    depth = depth * np.exp(-(((y - depth.shape[0] / 2) ** 2 + (x - depth.shape[1] / 2) ** 2) / (2 * (depth.shape[0] / 5) ** 2)))
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row) + crop[0].start, int(column) + crop[1].start


def draw(where: Scene, explainer: str) -> np.ndarray:
    """Return the picture of an explainer: uint8, ``(height, width, 3)``."""
    import cv2

    value = CLASS[where.name]
    calm = cv2.GaussianBlur(np.asarray(where.stack.data)[where.crop], (0, 0), 0.8)  # grain makes large files
    backdrop = Backdrop.of(Stack(calm, "YX"), (), (0.0, 255.0), PANEL_PX)
    asked = np.ascontiguousarray((where.predicted == value)[where.crop].astype(np.uint8))
    panels = [with_cross(backdrop.with_labels(asked), where)]
    for target in (Target(value), Target(value, point=where.pixel)):
        values = np.asarray(explain(where.model, where.stack, explainer, target, device="cpu", **SETTINGS.get(explainer, {})).data)
        panels.append(overlaid(backdrop.picture, values, where))
    panels[-1] = with_cross(panels[-1], where)
    gap = np.full((PANEL_PX, GAP_PX, 3), 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)


def overlaid(picture: np.ndarray, values: np.ndarray, where: Scene) -> np.ndarray:
    """Lay a map over the picture, as the window does."""
    import cv2

    signed, (low, high) = limits_of(values)
    small = cv2.resize(np.ascontiguousarray(values[where.crop]), (PANEL_PX, PANEL_PX), interpolation=cv2.INTER_AREA)
    colours = np.asarray(overlay_colormap(signed, 0.05).map(((small - low) / (high - low)).clip(0, 1).ravel())).reshape(PANEL_PX, PANEL_PX, 4)
    alpha = 0.9 * colours[..., 3:]
    return (alpha * 255 * colours[..., :3] + (1 - alpha) * picture).astype(np.uint8)


def with_cross(panel: np.ndarray, where: Scene) -> np.ndarray:
    """Mark the pixel that is asked about."""
    import cv2

    panel, scale = np.ascontiguousarray(panel), PANEL_PX / (where.crop[0].stop - where.crop[0].start)
    place = (round((where.pixel[1] - where.crop[1].start) * scale), round((where.pixel[0] - where.crop[0].start) * scale))
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.drawMarker(panel, place, colour, cv2.MARKER_CROSS, 11, width)
    return panel


def save(picture: np.ndarray, path: Path) -> int:
    """Write a PNG of at most `LARGEST_BYTES`: of as many greys and colours as that allows, chosen apart, since few pixels have a colour."""
    from PIL import Image

    vivid = np.ptp(picture, axis=2) > 30
    for greys, colours in ((40, 64), (28, 56), (20, 48), (16, 40), (12, 32), (8, 24)):
        ramp = np.repeat(np.linspace(0, 255, greys).astype(np.uint8)[:, None], 3, axis=1)
        few = Image.fromarray(picture[vivid][None]).quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=3).getpalette() if vivid.any() else []
        palette = Image.new("P", (1, 1))
        palette.putpalette([*ramp.ravel().tolist(), *few[: 3 * colours]])
        buffer = io.BytesIO()
        Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= LARGEST_BYTES:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return buffer.tell()


def main() -> None:
    """Draw all explainers, or those asked for, on both samples."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", help="explainers to draw; all where none is named")
    options.add_argument("--em", default="", metavar="RUN", help="run or model to explain on tissue")
    options.add_argument("--ultrasound", default="", metavar="RUN", help="run or model to explain on ultrasound")
    options.add_argument("--minutes", type=float, default=0.5, help="minutes to train on each sample where no run is given")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        for name in CROPS:
            where = scene(name, getattr(chosen, name), chosen.minutes, Path(kept))
            for explainer in chosen.names or EXPLAINERS.names():
                begun = time.perf_counter()
                path = FOLDER / f"{name}-{explainer.replace('+', 'p')}.png"
                size = save(draw(where, explainer), path)
                print(f"{path.name}: {size / 1000:.0f} KB, {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
