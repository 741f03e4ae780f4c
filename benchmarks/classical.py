"""Classical methods against the peers that most people use, in turn, in one process.

    python benchmarks/classical.py
    python benchmarks/classical.py --only otsu canny --rounds 7

The stack is 64×512×512: ISBI 2012 EM, tiled, where it lies beside the checkout (``../shared/data``, or ``SEGTOOL_TEST_DATA``), else smooth
noise. Peers and ours run in turn, round after round; the medians are compared as ratios, because seconds move from day to day: by the clock
and by processor time, which tells more where other programs run beside (ours works in several threads). Where there are several peers, the
fastest counts. k-means of the peer takes seconds, so it runs once. Memory is the peak above the loaded libraries and the loaded stack, each
side in a process of its own. "agree" says how near the results are to each other: the share of equal pixels; for Canny the share of either's
edge pixels with one of the other's within a pixel; for k-means the squared error as a multiple of the peer's. Ours is timed as a user meets
it: a fresh stack, learning included, to the label array.

A peer that is not installed (scikit-learn, SimpleITK, edt) is left out.
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
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
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
VOXEL = (0.05, 0.004, 0.004)


Work = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Peer:
    """What others do it with.

    Parameters
    ----------
    name
        As printed.
    work
        Does it.
    needs
        Package.
    """

    name: str
    work: Work
    needs: str = "skimage"


@dataclass(frozen=True)
class Race:
    """One task: the same work done by peers and by us."""

    peers: tuple[Peer, ...]
    ours: Work
    agree: Callable[[np.ndarray, np.ndarray, np.ndarray], str]
    dtype: str = "uint8"
    once: bool = False


@dataclass(frozen=True)
class Spent:
    """Seconds of one run, by the clock and by the processor, and its result."""

    clock: float
    processor: float
    result: np.ndarray


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


def ours(method: str, **params: Any) -> Work:
    """Segment a fresh stack with a method of ours."""

    def run(data: np.ndarray) -> np.ndarray:
        entry, stack = METHODS.get(method), Stack(data, "ZYX")
        outcome = drain(entry.function(stack, entry.params.build(**params)))
        return outcome if isinstance(outcome, np.ndarray) else drain(map_planes(stack, outcome))

    return run


def sklearn_kmeans(clusters: int) -> Peer:
    """k-means of every pixel."""

    def run(data: np.ndarray) -> np.ndarray:
        from sklearn.cluster import KMeans

        return KMeans(clusters, n_init=1, random_state=0).fit_predict(data.reshape(-1, 1).astype(np.float32)).reshape(data.shape).astype(np.uint8)

    return Peer("scikit-learn KMeans(n_init=1)", run, "sklearn")


def skimage_otsu(data: np.ndarray) -> np.ndarray:
    """Threshold of the whole stack."""
    from skimage.filters import threshold_otsu

    return (data > threshold_otsu(data)).astype(np.uint8)


def steepest(dtype: str) -> float:
    """Gradient that counts as 100 %: about the 99.9th percentile of that stack."""
    return 160.0 * (199 if dtype == "uint16" else 1)


def skimage_canny(data: np.ndarray) -> np.ndarray:
    """Edges of each slice, with the limits of ours (`steepest`, 20 and 40 %)."""
    from skimage.feature import canny

    full = steepest(str(data.dtype))
    return np.stack([canny(plane, sigma=2.0, low_threshold=0.2 * full, high_threshold=0.4 * full) for plane in data]).astype(np.uint8)


def span(data: np.ndarray) -> tuple[int, int]:
    """Smallest and largest grey value that counts as that of the seed."""
    reach, centre = (int(data.max()) - int(data.min())) // 10, int(data[SEED])
    return max(centre - reach, 0), centre + reach


def skimage_flood(data: np.ndarray) -> np.ndarray:
    """The connected pixels around the seed."""
    from skimage.segmentation import flood

    return flood(data, SEED, tolerance=span(data)[1] - int(data[SEED]), connectivity=1).astype(np.uint8)


def itk_grow(data: np.ndarray) -> np.ndarray:
    """The same with SimpleITK."""
    import SimpleITK

    return SimpleITK.GetArrayFromImage(SimpleITK.ConnectedThreshold(SimpleITK.GetImageFromArray(data), [SEED[::-1]], *map(float, span(data))))


def bright(data: np.ndarray) -> np.ndarray:
    """What is brighter than the mean: cells in EM, 60 % of the stack."""
    return data > data.mean()


def cc3d_parts(data: np.ndarray) -> np.ndarray:
    """Connected parts of what is bright."""
    import cc3d

    return cc3d.connected_components(bright(data), connectivity=6, binary_image=True)


def scipy_parts(data: np.ndarray) -> np.ndarray:
    """The same with SciPy."""
    from scipy.ndimage import label

    return label(bright(data))[0]


def our_parts(data: np.ndarray) -> np.ndarray:
    """The same as our methods number them."""
    from napari_segtool.methods._components import components_steps

    return finished(components_steps(bright(data)))


def edt_depth(data: np.ndarray) -> np.ndarray:
    """Distance to what is dark, in µm of an EM stack."""
    import edt

    return edt.edt(bright(data), anisotropy=VOXEL, parallel=os.cpu_count() or 1)


def scipy_depth(data: np.ndarray) -> np.ndarray:
    """The same with SciPy."""
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(bright(data), sampling=VOXEL)


def our_depth(data: np.ndarray) -> np.ndarray:
    """The same as our methods measure it."""
    from napari_segtool.methods._distance import distance_steps

    return finished(distance_steps(bright(data), VOXEL))


def finished(work: Generator[float, None, np.ndarray]) -> np.ndarray:
    """Do work that comes in parts."""
    try:
        while True:
            next(work)
    except StopIteration as stop:
        return stop.value


def equal(_: np.ndarray, peer: np.ndarray, our: np.ndarray) -> str:
    """Share of equal pixels."""
    return f"{100 * np.mean(peer == our):.2f} % equal"


def near(_: np.ndarray, peer: np.ndarray, our: np.ndarray) -> str:
    """Share of the peer's edge pixels with one of ours within a pixel, and of ours with one of the peer's."""
    import cv2

    def found(edges: np.ndarray, others: np.ndarray) -> float:
        grown = np.stack([cv2.dilate(plane, np.ones((3, 3), np.uint8)) for plane in others])
        return 100 * float(grown[edges > 0].mean())

    return f"{found(peer, our):.2f} and {found(our, peer):.2f} % within a pixel"


def alike(_: np.ndarray, peer: np.ndarray, our: np.ndarray) -> str:
    """Whether the same pixels have the same number as each other."""
    pairs = np.unique(peer.astype(np.uint64) << np.uint64(32) | our.astype(np.uint64))
    return f"{len(pairs) - 1} parts, the same" if len(pairs) == len(np.unique(peer)) == len(np.unique(our)) else "not the same parts"


def close(_: np.ndarray, peer: np.ndarray, our: np.ndarray) -> str:
    """Largest difference of two maps."""
    return f"differs by {float(np.abs(peer - our).max()):.1e} at most"


def tight(data: np.ndarray, peer: np.ndarray, our: np.ndarray) -> str:
    """Our squared error as a multiple of the peer's."""

    def error(labels: np.ndarray) -> float:
        values = data.ravel().astype(np.float64)
        counts, total, square = (np.bincount(labels.ravel(), weights) for weights in (None, values, values**2))
        return float((square - total**2 / np.maximum(counts, 1)).sum())

    return f"error {error(our) / error(peer):.6f} of the peer's"


FLOODS = (Peer("scikit-image flood", skimage_flood), Peer("SimpleITK ConnectedThreshold", itk_grow, "SimpleITK"))
OTSU, CANNY = (Peer("scikit-image threshold_otsu", skimage_otsu),), (Peer("scikit-image canny", skimage_canny),)
GROW = ours("region-growing", seeds=",".join(map(str, SEED)), grow_in="volume", smoothing_px=0.0)
RACES = {
    "kmeans-4": Race((sklearn_kmeans(4),), ours("kmeans", clusters=4), tight, once=True),
    "kmeans-8": Race((sklearn_kmeans(8),), ours("kmeans", clusters=8), tight, once=True),
    "kmeans-4-uint16": Race((sklearn_kmeans(4),), ours("kmeans", clusters=4), tight, "uint16", once=True),
    "kmeans-8-uint16": Race((sklearn_kmeans(8),), ours("kmeans", clusters=8), tight, "uint16", once=True),
    "otsu": Race(OTSU, ours("otsu"), equal),
    "otsu-uint16": Race(OTSU, ours("otsu"), equal, "uint16"),
    "canny": Race(CANNY, ours("canny", output="edges", strongest=steepest("uint8")), near),
    "canny-uint16": Race(CANNY, ours("canny", output="edges", strongest=steepest("uint16")), near, "uint16"),
    "growing": Race(FLOODS, GROW, equal),
    "growing-uint16": Race(FLOODS, GROW, equal, "uint16"),
    "components": Race((Peer("cc3d", cc3d_parts, "cc3d"), Peer("SciPy label", scipy_parts, "scipy")), our_parts, alike),
    "distance": Race((Peer("edt", edt_depth, "edt"), Peer("SciPy", scipy_depth, "scipy")), our_depth, close, once=True),
}


def spend(work: Work, data: np.ndarray) -> Spent:
    """Time one run."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work(data)
    return Spent(time.perf_counter() - clock, time.process_time() - processor, result)


def held_bytes(field: str) -> int:
    """Memory of this process: ``VmRSS`` now, ``VmHWM`` at its peak; 0 where the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))
    except OSError:
        return 0


def peak(name: str, side: int) -> None:
    """Print the peak memory of one peer, or of ours (-1), above the loaded libraries and stack; run in a process of its own."""
    race = RACES[name]
    work, data = race.ours if side < 0 else race.peers[side].work, picture(race.dtype)
    work(np.ascontiguousarray(data[:33, :256, :256]))  # loads the libraries
    before = held_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    work(data)
    print(json.dumps(held_bytes("VmHWM") - before))


def peak_of(name: str, side: int) -> float:
    """Peak memory of one side in MB; nan where it cannot be measured."""
    done = subprocess.run([sys.executable, __file__, "--peak", name, str(side)], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) / 1e6 if done.returncode == 0 else float("nan")


def compare(name: str, rounds: int, memory: bool) -> str:
    """Run one race and say how it went."""
    race = RACES[name]
    peers = [peer for peer in race.peers if importlib.util.find_spec(peer.needs) is not None]
    if not peers:
        return f"{name:16} left out: {race.peers[0].needs} is not installed"
    data = picture(race.dtype)
    works = [*(peer.work for peer in peers), race.ours]
    for work in works[-1:] if race.once else works:
        work(data[:33])  # loads the libraries
    spent: list[list[Spent]] = [[] for _ in works]
    for turn in range(rounds):
        for work, runs in zip(works, spent, strict=True):
            if turn == 0 or not race.once or work is race.ours:
                runs[:-1] = [replace(run, result=data[:0]) for run in runs[:-1]]  # the last result is enough
                runs.append(spend(work, data))
    clocks = [statistics.median(run.clock for run in runs) for runs in spent]
    best = min(range(len(peers)), key=clocks.__getitem__)
    processors = [statistics.median(run.processor for run in spent[side]) for side in (best, -1)]
    held = [peak_of(name, race.peers.index(peers[best])), peak_of(name, -1)] if memory else [float("nan")] * 2
    numbers = f"{clocks[best]:8.3f} s {clocks[-1]:8.4f} s {clocks[best] / clocks[-1]:7.1f}× {processors[0] / processors[1]:7.1f}×"
    others = ", ".join(f"{peer.name} {clock:.3f} s" for peer, clock in zip(peers, clocks, strict=False))
    return f"{name:16} {numbers} {held[0]:8.0f} MB {held[1]:6.0f} MB   {race.agree(data, spent[best][-1].result, spent[-1][-1].result)}   ({others})"


def main() -> None:
    """Race all, or those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(RACES), default=list(RACES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-memory", action="store_true", help="leave out the peak memory, which doubles the time")
    parser.add_argument("--peak", nargs=2, metavar=("RACE", "SIDE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(options.peak[0], int(options.peak[1]))
        return
    print(f"{'':16} {'peer':>10} {'ours':>10} {'by clock':>8} {'by work':>8} {'peer':>11} {'ours':>9}   agree   (load {os.getloadavg()[0]:.1f})")
    for name in options.only:
        print(compare(name, options.rounds, not options.no_memory), flush=True)


if __name__ == "__main__":
    main()
