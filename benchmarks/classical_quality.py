"""How far classical methods get on real data, untrained and with one fixed setting for all images of a task.

    python benchmarks/classical_quality.py                          the pipelines below, as tables in Markdown
    python benchmarks/classical_quality.py nuclei cells             some of the tasks
    python benchmarks/classical_quality.py nuclei --try "gaussian:sigma_px=1 > [split-objects:per_slice=true,neck=5] > remove-small:smallest_px=40"

A pipeline is written as links parted by ">", with the method in brackets: filters before it, post-processing after it.

Tasks
-----
membranes
    ISBI 2012 EM, 20 slices: V_Rand and V_Info of the challenge. Cells are label 1 (or objects, parted where labels meet).
nuclei
    Data Science Bowl 2018, all 52 fluorescence images: F1 of objects at an IoU of 0.5, over all objects, and the mean over images.
cells
    Phase-contrast cells (Usiigaci), 4 images: F1 of objects at an IoU of 0.5, Dice of the foreground.
vessels
    Ultrasound, 60 frames: Dice of vessels over all pixels, untrained, and from one click or a rough outline for each structure.
nerves
    The same frames, nerves.

The data lie beside the checkout (``../shared/data``) or where ``SEGTOOL_TEST_DATA`` says; nothing of them is shipped, pictures neither.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_segtool.api import segment
from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.params import describe
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.evaluate._matching import ObjectMatches, holds_objects, match_objects
from napari_segtool.evaluate.isbi import v_info, v_rand

DATA = Path(os.environ.get("SEGTOOL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
DARK_AND_ROUND = "gaussian:sigma_px=3 > [hysteresis:low=3,high=12,objects=dark] > clear-border > size-and-shape:smallest_px=400,solidity_from=0.8"
HINTED = (
    "gaussian:sigma_px=3 > [confidence-connected:multiplier=2]",
    "gaussian:sigma_px=3 > [region-growing:tolerance=4]",
    "gaussian:sigma_px=3 > [random-walker:beta=1000]",
    "[graph-cut]",
    "[chan-vese:iterations=20]",
    "[snake]",
    "gaussian:sigma_px=3 > [geodesic-contour:balloon=shrink,iterations=20]",
)
PIPELINES = {
    "membranes": (
        "[otsu]",
        "[watershed:surface=dark,smoothing_px=3,depth=15]",
        "gaussian:sigma_px=2 > [sauvola:k=0.1]",
        "gaussian:sigma_px=2 > [gaussian-mixture:clusters=2]",
        "gaussian:sigma_px=2 > [otsu]",
        "total-variation > [otsu]",
        "total-variation > [otsu] > remove-small:smallest_px=200",
    ),
    "nuclei": (
        "[otsu]",
        "[otsu:per_slice=true]",
        "[split-objects:per_slice=true]",
        "[split-objects:per_slice=true,foreground=around]",
    ),
    "cells": (
        "[otsu]",
        "[canny]",
        "sobel > gaussian:sigma_px=3 > [li:per_slice=true] > fill-holes > morphology > remove-small:smallest_px=300",
        "sobel > gaussian:sigma_px=3 > [split-objects:per_slice=true,smallest_px=300]",
        "sobel > gaussian:sigma_px=5 > [otsu:per_slice=true] > fill-holes > remove-small:smallest_px=300",
    ),
    "vessels": (DARK_AND_ROUND, *HINTED),
    "nerves": HINTED,
}


@dataclass(frozen=True)
class Pipeline:
    """Filters, a method, and post-processing."""

    text: str
    filters: tuple[str, ...]
    method: str
    params: dict[str, Any]
    then: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Pipeline:
        """Read ``filter > [method:key=value] > refining``."""
        links = [link.strip() for link in text.split(">")]
        places = [i for i, link in enumerate(links) if link.startswith("[")]
        if len(places) != 1:
            raise SystemExit(f"{text!r}: write the method, and it alone, in brackets.")
        name, _, rest = links[places[0]].strip("[]").partition(":")
        params = dict(word.split("=", 1) for word in rest.split(",") if word)
        return cls(text, tuple(links[: places[0]]), name, params, tuple(links[places[0] + 1 :]))

    def run(self, stack: Stack, **given: Any) -> np.ndarray:
        """Return the labels of a stack."""
        return np.asarray(segment(stack, self.method, filters=self.filters, then=self.then, **self.params, **given).data)


def membranes(pipeline: Pipeline) -> dict[str, float]:
    """Score on the ISBI stack."""
    image, truth = read("isbi2012_em")
    labels = pipeline.run(Stack(image, "ZYX", (0.05, 0.004, 0.004), "isbi"))
    cells = np.stack([parted(plane) for plane in labels])
    return {"V_Rand": v_rand(cells, truth).score, "V_Info": v_info(cells, truth).score}


def nuclei(pipeline: Pipeline) -> dict[str, float]:
    """Score on all fluorescence images of the bowl."""
    total, each = ObjectMatches(0, 0, 0), []
    for group in ("256", "360", "520x696"):
        image, truth = read("dsb2018_nuclei", f"image_{group}.tif", f"labels_{group}_instances.tif")
        labels = pipeline.run(Stack(image, "IYX", name=group))
        for guess, actual in zip(labels, truth, strict=True):
            matches = match_objects(numbered(guess), actual)
            total, each = total + matches, [*each, matches.f1]
    return {"F1": total.f1, "F1, mean of images": float(np.nanmean(each))}


def cells(pipeline: Pipeline) -> dict[str, float]:
    """Score on the phase-contrast cells."""
    image, truth = read("usiigaci_phase_cells", labels="labels_instances.tif")
    labels = pipeline.run(Stack(image, "IYX", name="cells"))
    total = ObjectMatches(0, 0, 0)
    for guess, actual in zip(labels, truth, strict=True):
        total += match_objects(numbered(guess), actual)
    return {"F1": total.f1, "Dice": dice(labels > 0, truth > 0)}


def ultrasound(value: int) -> Callable[[Pipeline], dict[str, float]]:
    """Return the task of finding one class of the ultrasound frames."""

    def score(pipeline: Pipeline) -> dict[str, float]:
        image, truth = read("usgra_nerve_vessel_us")
        entry, found = METHODS.get(pipeline.method), []
        points = {field.name for field in describe(entry.params) if field.kind == "points"}
        for frame, actual in zip(image, truth == value, strict=True):
            if actual.any():
                given = hints(entry.traits, points, actual)
                labels = pipeline.run(Stack(frame, "YX", name="ultrasound"), **given)
                found.append((labels == 2 if "paint" in given else labels > 0, actual, given.get("labels", np.zeros_like(labels)) > 0))
        guesses, wanted, starts = (np.stack([one[i] for one in found]) for i in range(3))
        each = [dice(guess, actual) for guess, actual, _ in found]
        return {"Dice": dice(guesses, wanted), "mean of frames": float(np.mean(each)), "of the outline given": dice(starts, wanted) or float("nan")}

    return score


def hints(traits: frozenset[str], points: set[str], wanted: np.ndarray) -> dict[str, Any]:
    """Return what a user would give a method that is not automatic: a click in each structure, strokes, or a rough outline."""
    import cv2

    count, pieces, _, _ = cv2.connectedComponentsWithStats(wanted.astype(np.uint8))
    middles = []
    for piece in range(1, count):
        depth = cv2.distanceTransform((pieces == piece).astype(np.uint8), cv2.DIST_L2, 5)
        middles.append(np.unravel_index(int(depth.argmax()), depth.shape))
    given: dict[str, Any] = {name: "; ".join(f"{y},{x}:1" for y, x in middles) for name in points}
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25))
    rough = cv2.dilate(wanted.astype(np.uint8), disc)
    if "paint" in traits:  # 1: a line around; 2: a dab in the middle of each
        paint = np.zeros(wanted.shape, np.uint8)
        outer = cv2.dilate(rough, disc)
        paint[(outer > 0) & (cv2.erode(outer, np.ones((5, 5), np.uint8)) == 0)] = 1
        for y, x in middles:
            cv2.circle(paint, (int(x), int(y)), 3, 2, -1)
        given["paint"] = paint
    elif "labels" in traits or "takes-labels" in traits:
        given["labels"] = rough
    return given


TASKS: dict[str, Callable[[Pipeline], dict[str, float]]] = {
    "membranes": membranes,
    "nuclei": nuclei,
    "cells": cells,
    "vessels": ultrasound(2),
    "nerves": ultrasound(1),
}


def read(folder: str, image: str = "image.tif", labels: str = "labels.tif") -> tuple[np.ndarray, np.ndarray]:
    """Image and labels of a data set."""
    return tifffile.imread(DATA / folder / image), tifffile.imread(DATA / folder / labels)


def numbered(plane: np.ndarray) -> np.ndarray:
    """Return objects of a plane: its labels, or the connected pieces of what is not 0 where they are classes."""
    import cv2

    if holds_objects(plane):
        return plane
    return np.asarray(cv2.connectedComponents((plane > 0).astype(np.uint8), connectivity=8)[1])


def parted(plane: np.ndarray) -> np.ndarray:
    """Return cells as 1 and what parts them as 0, also where objects touch without a gap."""
    if not holds_objects(plane):
        return (plane == plane.max()).astype(np.uint8)
    meet = np.zeros(plane.shape, bool)
    meet[:, 1:] |= plane[:, 1:] != plane[:, :-1]
    meet[1:] |= plane[1:] != plane[:-1]
    return ((plane > 0) & ~meet).astype(np.uint8)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice overlap of two masks."""
    return float(2 * (first & second).sum() / max(1, first.sum() + second.sum()))


def rows(task: str, pipelines: Iterator[Pipeline]) -> Iterator[str]:
    """Score pipelines, and write a row of a table for each."""
    for number, pipeline in enumerate(pipelines):
        begun = time.perf_counter()
        scores = TASKS[task](pipeline)
        if not number:
            yield f"| {task} | {' | '.join(scores)} | s |\n|---|{'---|' * (len(scores) + 1)}"
        yield f"| `{pipeline.text}` | {' | '.join(f'{score:.3f}' for score in scores.values())} | {time.perf_counter() - begun:.0f} |"


def main() -> None:
    """Score what is asked for."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("tasks", nargs="*", metavar="task", help=", ".join(TASKS))
    options.add_argument("--try", dest="tried", action="append", default=[], help="a pipeline to score instead of the usual ones")
    chosen = options.parse_args()
    unknown = [task for task in chosen.tasks if not re.fullmatch("|".join(TASKS), task)]
    if unknown:
        options.error(f"there is no task {unknown[0]!r}; choose from {', '.join(TASKS)}")
    for task in chosen.tasks or TASKS:
        try:
            for row in rows(task, map(Pipeline.parse, chosen.tried or PIPELINES[task])):
                print(row, flush=True)
        except SegtoolError as error:
            raise SystemExit(str(error)) from None
        print(flush=True)


if __name__ == "__main__":
    main()
