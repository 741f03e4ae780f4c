"""Make the pictures of the reference, one for each method and filter: what went in, and what came out.

    python docs/gallery.py            those that are missing
    python docs/gallery.py --all      all of them
    python docs/gallery.py otsu frangi

An entry's family and its test picture decide what it is shown on, its traits what it is given; the samples are made by code. For the few entries
that would show nothing there, `docs/gallery.json` names another sample or other settings.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_segtool.annotate.strokes import simulated_strokes
from napari_segtool.api import apply_filter, sample, segment
from napari_segtool.api._thumbnail import Backdrop
from napari_segtool.core.labels import class_colour
from napari_segtool.core.params import describe
from napari_segtool.core.registry import FILTERS, METHODS, Entry
from napari_segtool.core.stack import Stack

DOCS = Path(__file__).parent
KINDS = {"method": METHODS, "filter": FILTERS}
SHOWN = 5
PANEL_PX = 144
GAP_PX = 4
LARGEST_BYTES = 25_000
ON_ULTRASOUND = {"clustering", "contours", "speckle"}
UNEVEN, DIM = {"shading", "shaded"}, {"ramp", "faint"}
CROPS = {"em": (slice(40, 184), slice(60, 204)), "ultrasound": (slice(16, 304), slice(48, 336))}


@dataclass(frozen=True, eq=False)
class Scene:
    """One slice of a sample with its truth, and the part of it that is shown."""

    stack: Stack
    truth: np.ndarray
    crop: tuple[slice, slice]


@cache
def scene(name: str) -> Scene:
    """Return slice `SHOWN` of a sample; "em-uneven" is lit from the right, "em-dim" hardly at all."""
    origin, _, light = name.partition("-")
    stack, truth = sample(origin)
    plane = np.asarray(stack.data)[SHOWN].astype(float)
    if light == "uneven":
        plane *= np.linspace(0.25, 1.1, plane.shape[1])
    elif light == "dim":
        plane = 40 + 0.25 * plane
    data = plane.clip(0, 255).astype(np.uint8)
    return Scene(Stack(data, "YX", stack.spacing_um[1:], name), np.asarray(truth.data)[SHOWN], CROPS[origin])


def picture_of(kind: str, entry: Entry) -> Path:
    """Return where the picture of an entry lies."""
    return DOCS / "images" / "gallery" / f"{kind}-{entry.name}.png"


def wish_of(kind: str, entry: Entry) -> dict[str, Any]:
    """Return the ``sample`` and the ``settings`` of the picture, where they are not the usual ones."""
    wish: dict[str, Any] = json.loads((DOCS / "gallery.json").read_text(encoding="utf-8")).get(f"{kind}-{entry.name}", {})
    return wish


def usual_sample(entry: Entry) -> str:
    """Return the sample that suits an entry."""
    if entry.phantom in UNEVEN:
        return "em-uneven"
    if entry.phantom in DIM:
        return "em-dim"
    return "ultrasound" if entry.family in ON_ULTRASOUND else "em"


def draw(kind: str, entry: Entry) -> np.ndarray:
    """Return the picture of an entry, input at the left and result at the right: uint8, ``(height, width, 3)``."""
    wish = wish_of(kind, entry)
    where, settings = scene(wish.get("sample", usual_sample(entry))), wish.get("settings", {})
    if kind == "filter":
        result = np.asarray(apply_filter(where.stack, entry.name, **settings).data)
        limits = (0.0, 255.0) if "keeps-type" in entry.traits else tuple(np.nanpercentile(result, (1, 99)))
        return joined(shown(where, where.stack.data), shown(where, result, limits))
    given = given_for(entry, where)
    seeds = {field.name: seeds_in(where) for field in describe(entry.params) if field.kind == "points"}
    labels = np.asarray(segment(where.stack, entry.name, **{**seeds, **given, **settings}).data)
    marks = given.get("paint", given.get("labels"))
    left = shown(where, where.stack.data, marks=marks)
    for text in seeds.values():
        left = with_seeds(left, text, where)
    return joined(left, shown(where, where.stack.data, marks=labels))


def given_for(entry: Entry, where: Scene) -> dict[str, Any]:
    """Return what an entry must be given beside the picture."""
    if "paint" in entry.traits:
        return {"paint": simulated_strokes(where.truth[None], (0,), fraction=0.03)[0]}
    if entry.phantom == "drawn":
        return {"labels": drawn_shape(where.truth)}
    if "labels" in entry.traits or {"takes-labels", "takes-probabilities"} <= entry.traits:
        return {"labels": np.asarray(segment(where.stack, "otsu").data)}
    return {}


def drawn_shape(truth: np.ndarray) -> np.ndarray:
    """Return a rough outline of the second largest piece of the last class (the largest lies in a shadow), as somebody might draw it."""
    import cv2

    _, pieces, facts, _ = cv2.connectedComponentsWithStats((truth == truth.max()).astype(np.uint8))
    second = 1 + int(np.argsort(-facts[1:, cv2.CC_STAT_AREA])[1])
    return cv2.dilate((pieces == second).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17)))


def seeds_in(where: Scene) -> str:
    """Return a seed in the middle of each of the three largest pieces of class 1 that are shown."""
    import cv2

    top, left = (part.start for part in where.crop)
    depth = cv2.distanceTransform((where.truth[where.crop] == 1).astype(np.uint8), cv2.DIST_L2, 5)
    _, pieces, facts, _ = cv2.connectedComponentsWithStats((depth > 2).astype(np.uint8))
    places = []
    for label, piece in enumerate(1 + np.argsort(-facts[1:, cv2.CC_STAT_AREA])[:3], start=1):
        y, x = np.unravel_index(int(np.where(pieces == piece, depth, 0).argmax()), depth.shape)
        places.append(f"{y + top},{x + left}:{label}")
    return "; ".join(places)


def shown(where: Scene, values: np.ndarray, limits: tuple[float, float] = (0.0, 255.0), marks: np.ndarray | None = None) -> np.ndarray:
    """Return one panel: the part of a slice that is shown, with labels over it."""
    part = Stack(np.ascontiguousarray(values[where.crop]), "YX", where.stack.spacing_um)
    backdrop = Backdrop.of(part, (), limits, PANEL_PX)
    return backdrop.picture if marks is None else backdrop.with_labels(np.ascontiguousarray(marks[where.crop]))


def with_seeds(panel: np.ndarray, text: str, where: Scene) -> np.ndarray:
    """Draw seeds as discs in the colours of their labels."""
    import cv2

    panel = np.ascontiguousarray(panel)
    scale = PANEL_PX / (where.crop[0].stop - where.crop[0].start)
    for seed in text.split("; "):
        place, _, label = seed.partition(":")
        y, x = (int(number) for number in place.split(","))
        centre = (round((x - where.crop[1].start) * scale), round((y - where.crop[0].start) * scale))
        colour = tuple(int(class_colour(int(label))[i : i + 2], 16) for i in (1, 3, 5))
        cv2.circle(panel, centre, 4, colour, -1)
        cv2.circle(panel, centre, 4, (255, 255, 255), 1)
    return panel


def joined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Put two panels side by side on white."""
    gap = np.full((left.shape[0], GAP_PX, 3), 255, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def save(picture: np.ndarray, path: Path) -> int:
    """Write a PNG of at most `LARGEST_BYTES`: of as many colours as that allows."""
    from PIL import Image

    for colours in (128, 96, 64, 48, 32, 24, 16):
        buffer = io.BytesIO()
        Image.fromarray(picture).quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= LARGEST_BYTES:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return buffer.tell()


def main() -> None:
    """Make what is missing, or what is asked for."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", help="entries to draw anew")
    options.add_argument("--all", action="store_true", help="draw every entry anew")
    chosen = options.parse_args()
    for kind, registry in KINDS.items():
        for entry in registry:
            path = picture_of(kind, entry)
            wanted = entry.name in chosen.names if chosen.names else chosen.all or not path.exists()
            if wanted:
                begun = time.perf_counter()
                size = save(draw(kind, entry), path)
                print(f"{path.name}: {size / 1000:.0f} KB, {time.perf_counter() - begun:.1f} s")
    known = {picture_of(kind, entry) for kind, registry in KINDS.items() for entry in registry}
    for path in sorted(set((DOCS / "images" / "gallery").glob("*.png")) - known):
        path.unlink()
        print(f"{path.name}: removed, no such entry")


if __name__ == "__main__":
    main()
