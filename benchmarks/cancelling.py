"""How soon every method and filter can be left, on a stack of 512×512×512.

    python benchmarks/cancelling.py
    python benchmarks/cancelling.py --only watershed graph-cut --seconds 60

Long work is a generator; a cancel is heard where it yields. Each entry runs in a process of its own, in slices and, where it can, as a
volume, for so many seconds or to its end. Printed are the longest stretch between two yields, the time that closing takes in the middle of
the work, and the memory that is still held after closing, above what was held before the start. Libraries are loaded before, on a small
stack. The stack is ISBI 2012 EM, tiled, where it lies beside the checkout (``../shared/data``, or ``SEGTOOL_TEST_DATA``), else smooth noise.
Wanted: a second at most, and the memory given back.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from classical import picture

from napari_segtool.api import apply_filter_steps, segment_steps
from napari_segtool.core.params import describe
from napari_segtool.core.registry import FILTERS, METHODS, Entry
from napari_segtool.core.stack import Stack

SIDE = 512
VOXEL = (0.008, 0.004, 0.004)


def settings(entry: Entry, data: np.ndarray, volume: bool) -> dict[str, Any]:
    """What an entry needs to start: seeds, paint, labels; and whether it works through the slices."""
    side = data.shape[0]
    fields = {field.name: field for field in describe(entry.params)}
    chosen: dict[str, Any] = {
        name: f"{side // 2},{side // 3},{side // 3}:1;{side // 2},{side // 2},{side // 2}:2" for name, field in fields.items() if field.kind == "points"
    }
    if volume:
        chosen |= {"grow_in": "volume"} if "grow_in" in fields else {"volume": True}
    if "paint" in entry.traits:
        paint = np.zeros(data.shape, np.uint8)
        paint[::8, side // 4 : side // 4 + 3, side // 8 : -side // 8] = 1
        paint[::8, side // 2 : side // 2 + 3, side // 8 : -side // 8] = 2
        chosen["paint"] = paint
    if "labels" in entry.traits or entry.family == "refine":
        chosen["labels"] = (data > 128).astype(np.uint8) if entry.name in ("crf", "dense-crf", "potts") else objects(data)
    return chosen


def objects(data: np.ndarray) -> np.ndarray:
    """Numbered pieces of what is bright, slab by slab: many objects of all sizes."""
    import cc3d

    labels, most = np.zeros(data.shape, np.uint32), 0
    for start in range(0, len(data), 32):
        found = cc3d.connected_components(data[start : start + 32] > 140, connectivity=6).astype(np.uint32)
        labels[start : start + 32] = np.where(found > 0, found + np.uint32(most), 0)
        most += int(found.max())
    return labels


def steps_of(kind: str, entry: Entry, data: np.ndarray, volume: bool) -> Generator[Any, None, Any]:
    """The work, not begun."""
    stack = Stack(data, "ZYX", VOXEL, name="cube")
    if kind == "filter":
        return apply_filter_steps(stack, entry.name, **settings(entry, data, volume))
    return segment_steps(stack, entry.name, **settings(entry, data, volume))


def held() -> float:
    """Memory of this process in MB; 0 where the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
    except OSError:
        return 0.0


def measure(kind: str, name: str, volume: bool, seconds: float) -> dict[str, Any]:
    """Run one entry for a while, leave it, and say how that went."""
    entry = (FILTERS if kind == "filter" else METHODS).get(name)
    small = picture("uint8", 32)[:, :32, :32].copy()
    try:
        for _ in steps_of(kind, entry, small, volume):
            pass
    except Exception as error:  # a small corner may hold nothing; what matters here is that the libraries are loaded
        print(f"({type(error).__name__} on the small stack)", file=sys.stderr)
    data = picture("uint8", SIDE)
    work = steps_of(kind, entry, data, volume)
    gc.collect()
    before, begun = held(), time.perf_counter()
    last, longest, where, ended = begun, 0.0, "", True
    for progress in work:
        now = time.perf_counter()
        if now - last > longest:
            longest, where = now - last, f"{getattr(progress, 'label', '')} {getattr(progress, 'fraction', 0):.2f}"
        last = time.perf_counter()
        if last - begun > seconds:
            ended = False
            break
    now = time.perf_counter()
    if ended and now - last > longest:
        longest, where = now - last, "at the end"
    work.close()
    closing = time.perf_counter() - now
    del work
    gc.collect()
    return {"longest_s": longest, "where": where, "closing_s": closing, "left_mb": held() - before, "ended": ended, "seconds": now - begun}


def main() -> None:
    """Measure all entries, or some."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        kind, name, volume = chosen.one
        print(json.dumps(measure(kind, name, volume == "volume", chosen.seconds)))
        return
    print(f"{'':34} {'longest stretch':>15} {'closing':>9} {'left':>8}   after")
    for kind, registry in (("filter", FILTERS), ("method", METHODS)):
        for entry in registry:
            if chosen.only and entry.name not in chosen.only:
                continue
            names = {field.name for field in describe(entry.params)}
            for how in ["slices"] + ["volume"] * bool(names & {"volume", "grow_in"}):
                command = [sys.executable, __file__, "--one", kind, entry.name, how, "--seconds", str(chosen.seconds)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{entry.name:24} {how:9} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
                    continue
                found = json.loads(done.stdout.strip().splitlines()[-1])
                late = "  <-- " + found["where"] if max(found["longest_s"], found["closing_s"]) > 1 else ""
                after = f"{found['seconds']:.0f} s" + (", done" if found["ended"] else "")
                print(
                    f"{entry.name:24} {how:9} {found['longest_s']:13.2f} s {found['closing_s']:7.2f} s {found['left_mb']:5.0f} MB   {after}{late}", flush=True
                )


if __name__ == "__main__":
    main()
