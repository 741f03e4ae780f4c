"""Classical methods against the peers that most people use, in turn, in one process.

    python benchmarks/classical.py
    python benchmarks/classical.py --only otsu canny --rounds 7

The stack is 64×512×512: ISBI 2012 EM, tiled, where it lies beside the checkout (``../shared/data``, or ``SEGTOOL_TEST_DATA``), else smooth
noise. Peer and ours run in turn, round after round; the medians are compared as ratios, because seconds move from day to day. k-means of
the peer takes seconds, so it runs once. Memory is the peak above the loaded libraries and the loaded stack, each side in a process of
its own. "agree" says how near the results are to each other: the share of equal pixels, and for k-means the squared error as a multiple of the peer's.
Ours is timed as a user meets it: a fresh stack, learning included, to the label array.

The peer of k-means is scikit-learn, which is no dependency: without it that line is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from napari_segtool.core.planes import map_planes
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack

DATA = Path(os.environ.get("SEGTOOL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
SEED = (32, 200, 200)


@dataclass(frozen=True)
class Race:
    """One task: the same work done by the peer and by us."""

    peer_name: str
    peer: Callable[[np.ndarray], np.ndarray]
    ours: Callable[[np.ndarray], np.ndarray]
    agree: Callable[[np.ndarray, np.ndarray, np.ndarray], str]
    dtype: str = "uint8"
    once: bool = False
    needs: str = "skimage"


def picture(dtype: str, planes: int = 64) -> np.ndarray:
    """The stack that all work on."""
    path = DATA / "isbi2012_em" / "image.tif"
    if path.is_file():
        import tifffile

        data = tifffile.imread(path)
        data = np.concatenate([np.roll(data, 37 * turn, axis=(1, 2)) for turn in range(-(-planes // len(data)))])[:planes]
    else:
        import cv2

        rng = np.random.default_rng(0)
        smooth = np.stack([cv2.GaussianBlur(rng.normal(size=(512, 512)), (0, 0), 4) for _ in range(planes)])
        data = np.clip(128 + 500 * smooth + rng.normal(0, 15, smooth.shape), 0, 255).astype(np.uint8)
    if dtype == "uint16":
        return data.astype(np.uint16) * 199 + np.random.default_rng(1).integers(0, 199, data.shape, dtype=np.uint16)
    return np.ascontiguousarray(data)


def ours(method: str, **params: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Segment a fresh stack with a method of ours."""

    def run(data: np.ndarray) -> np.ndarray:
        entry, stack = METHODS.get(method), Stack(data, "ZYX")
        outcome = drain(entry.function(stack, entry.params.build(**params)))
        return outcome if isinstance(outcome, np.ndarray) else drain(map_planes(stack, outcome))

    return run


def sklearn_kmeans(clusters: int) -> Callable[[np.ndarray], np.ndarray]:
    """k-means of every pixel."""

    def run(data: np.ndarray) -> np.ndarray:
        from sklearn.cluster import KMeans

        return KMeans(clusters, n_init=1, random_state=0).fit_predict(data.reshape(-1, 1).astype(np.float32)).reshape(data.shape).astype(np.uint8)

    return run


def skimage_otsu(data: np.ndarray) -> np.ndarray:
    """Threshold of the whole stack."""
    from skimage.filters import threshold_otsu

    return (data > threshold_otsu(data)).astype(np.uint8)


def skimage_canny(data: np.ndarray) -> np.ndarray:
    """Edges of each slice."""
    from skimage.feature import canny

    return np.stack([canny(plane, sigma=2.0, low_threshold=0.02, high_threshold=0.06) for plane in data]).astype(np.uint8)


def skimage_flood(data: np.ndarray) -> np.ndarray:
    """The connected pixels around the seed."""
    from skimage.segmentation import flood

    tolerance = int(0.1 * (int(data.max()) - int(data.min())))
    return flood(data, SEED, tolerance=tolerance, connectivity=1).astype(np.uint8)


def equal(_: np.ndarray, peer: np.ndarray, our: np.ndarray) -> str:
    """Share of equal pixels."""
    return f"{100 * np.mean(peer == our):.2f} % equal"


def near(_: np.ndarray, peer: np.ndarray, our: np.ndarray) -> str:
    """Share of the peer's edges with one of ours within a pixel; the thresholds are scaled differently, so the counts differ."""
    import cv2

    found = [cv2.dilate(plane, np.ones((3, 3), np.uint8))[edges > 0].mean() for plane, edges in zip(our[:8], peer[:8], strict=True)]
    return f"{100 * float(np.mean(found)):.1f} % within a pixel"


def tight(data: np.ndarray, peer: np.ndarray, our: np.ndarray) -> str:
    """Our squared error as a multiple of the peer's."""

    def error(labels: np.ndarray) -> float:
        values = data.ravel().astype(np.float64)
        counts, total, square = (np.bincount(labels.ravel(), weights) for weights in (None, values, values**2))
        return float((square - total**2 / np.maximum(counts, 1)).sum())

    return f"error {error(our) / error(peer):.6f} of the peer's"


RACES = {
    "kmeans-4": Race("scikit-learn KMeans(n_init=1)", sklearn_kmeans(4), ours("kmeans", clusters=4), tight, once=True, needs="sklearn"),
    "kmeans-8": Race("scikit-learn KMeans(n_init=1)", sklearn_kmeans(8), ours("kmeans", clusters=8), tight, once=True, needs="sklearn"),
    "kmeans-4-uint16": Race("scikit-learn KMeans(n_init=1)", sklearn_kmeans(4), ours("kmeans", clusters=4), tight, "uint16", once=True, needs="sklearn"),
    "otsu": Race("scikit-image threshold_otsu", skimage_otsu, ours("otsu"), equal),
    "canny": Race("scikit-image canny", skimage_canny, ours("canny", output="edges", low=10, high=20), near),
    "region-growing": Race("scikit-image flood", skimage_flood, ours("region-growing", seeds="32,200,200", grow_in="volume", smoothing_px=0.0), equal),
}


def seconds(work: Callable[[np.ndarray], np.ndarray], data: np.ndarray) -> tuple[float, np.ndarray]:
    """Wall time of one run, and its result."""
    start = time.perf_counter()
    result = work(data)
    return time.perf_counter() - start, result


def held_bytes(field: str) -> int:
    """Memory of this process: ``VmRSS`` now, ``VmHWM`` at its peak; 0 where the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
    except OSError:
        return 0


def peak(name: str, side: str) -> None:
    """Print the peak memory of one side above the loaded libraries and stack; run in a process of its own."""
    race = RACES[name]
    work, data = getattr(race, side), picture(race.dtype)
    work(np.ascontiguousarray(data[:33, :256, :256]))  # loads the libraries
    before = held_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work(data)
    print(json.dumps(held_bytes("VmHWM") - before))


def peak_of(name: str, side: str) -> float:
    """Peak memory of one side in MB; nan where it cannot be measured."""
    done = subprocess.run([sys.executable, __file__, "--peak", name, side], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) / 1e6 if done.returncode == 0 else float("nan")


def compare(name: str, rounds: int) -> str:
    """Run one race and say how it went."""
    race = RACES[name]
    if importlib.util.find_spec(race.needs) is None:
        return f"{name:17} left out: {race.needs} is not installed"
    data = picture(race.dtype)
    for work in (race.ours,) if race.once else (race.peer, race.ours):
        work(data[:33])  # loads the libraries
    times: dict[str, list[float]] = {"peer": [], "ours": []}
    for turn in range(rounds):
        if turn == 0 or not race.once:
            spent, theirs = seconds(race.peer, data)
            times["peer"].append(spent)
        spent, found = seconds(race.ours, data)
        times["ours"].append(spent)
    peer, our = (statistics.median(times[side]) for side in ("peer", "ours"))
    memory = [peak_of(name, side) for side in ("peer", "ours")]
    numbers = f"{peer:8.3f} s {our:8.4f} s {peer / our:7.1f}× {memory[0]:8.0f} MB {memory[1]:6.0f} MB"
    return f"{name:17} {numbers}   {race.agree(data, theirs, found)}   ({race.peer_name})"


def main() -> None:
    """Race all, or those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(RACES), default=list(RACES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak", nargs=2, metavar=("RACE", "SIDE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(*options.peak)
        return
    print(f"{'':17} {'peer':>10} {'ours':>10} {'ratio':>8} {'peer':>11} {'ours':>9}   agree")
    for name in options.only:
        print(compare(name, options.rounds), flush=True)


if __name__ == "__main__":
    main()
