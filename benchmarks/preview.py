"""How often the live preview can follow a slider: updates a second on one slice of 1024×1024, for every classical method.

    python benchmarks/preview.py
    python benchmarks/preview.py --only otsu canny --dtype uint16 --slices 16

What the Segment panel does between a slider and its picture, without a window: `ui._segment_steps.preview_steps`, with the histogram for methods
that draw one. Every setting that is a number and not folded away is moved in turn, each time to a value not seen before; the slowest is what counts.
Rates are those by the clock and by processor time, which tells more where other programs run beside. Wanted: 20 a second for thresholds and
k-means, 10 for region growing, Canny and watershed. Methods that need paint, labels or probabilities are left out. The picture is ISBI 2012 EM,
four slices side by side, where it lies beside the checkout, else smooth noise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from classical import picture

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.given import INPUTS
from napari_segtool.core.params import FieldInfo, describe
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import METHODS, Entry
from napari_segtool.core.stack import Stack
from napari_segtool.ui._segment_steps import Bench, Plan, preview_steps

WANTED = {"threshold": 20, "kmeans": 20, "region-growing": 10, "canny": 10, "watershed": 10}  # by method or family
FAMILIES = ("threshold", "clustering", "edges", "regions", "watershed", "contours", "objects", "refine")
DRAWN = ("threshold", "clustering")
MOST_S = 3.0  # for one setting


@dataclass(frozen=True)
class Rate:
    """Updates a second while one setting is moved."""

    setting: str
    clock: float
    processor: float


def large(dtype: str, slices: int) -> Stack:
    """The stack: each slice is four of the benchmark's, side by side."""
    planes = picture(dtype, 4 * slices).reshape(slices, 2, 2, 512, 512)
    return Stack(np.ascontiguousarray(planes.transpose(0, 1, 3, 2, 4).reshape(slices, 1024, 1024)), "ZYX")


def moved(field: FieldInfo, step: int) -> Any:
    """A value near the usual one, another at every step."""
    low, high = (field.minimum, field.maximum)
    if field.kind == "int":
        values = [value for away in range(64) for value in (field.default + away, field.default - away)]
        allowed = list(dict.fromkeys(value for value in values if (low is None or value >= low) and (high is None or value <= high)))
        return allowed[(step + 1) % len(allowed)]
    room = [abs(field.default - end) for end in (low, high) if end is not None and end != field.default]
    width = min([*room, abs(field.default) or 1.0])
    away = 0.03 * width * (step + 1)
    return field.default + away if high is None or field.default + away <= high else field.default - away


def rate(entry: Entry, stack: Stack, field: FieldInfo, updates: int) -> Rate:
    """Move one setting and see how often a second the preview is there."""
    bench, index = Bench(), (stack.slices // 2,)
    fixed = {other.name: ",".join(str(n // 2) for n in stack.label_shape) for other in describe(entry.params) if other.kind == "points"}

    def preview(params: dict[str, Any]) -> None:
        drain(preview_steps(bench, stack, Plan(entry.name, {**fixed, **params}), index, histogram=entry.family in DRAWN))

    preview({})
    clocks, processors = [], []
    begun = time.perf_counter()
    for step in range(updates):
        clock, processor = time.perf_counter(), time.process_time()
        preview({field.name: moved(field, step)})
        clocks.append(time.perf_counter() - clock)
        processors.append(time.process_time() - processor)
        if time.perf_counter() - begun > MOST_S and step >= 2:
            break
    return Rate(field.name, 1 / statistics.median(clocks), 1 / max(1e-6, statistics.median(processors)))


def line(entry: Entry, stack: Stack, updates: int) -> str:
    """Say how quick one method is, and whether that is what is wanted."""
    needed = [name for name in INPUTS if name in entry.traits]
    if needed:
        return f"{entry.family:10} {entry.name:22} left out: needs {', '.join(needed)}"
    fields = [field for field in describe(entry.params) if field.kind in ("int", "float") and not field.advanced]
    try:
        rates = [rate(entry, stack, field, updates) for field in fields]
    except SegtoolError as error:
        return f"{entry.family:10} {entry.name:22} left out: {error}"
    if not rates:
        return f"{entry.family:10} {entry.name:22} left out: no setting to move"
    slowest, wanted = min(rates, key=lambda rate: rate.clock), WANTED.get(entry.name, WANTED.get(entry.family, 0))
    verdict = "" if not wanted else f"wanted {wanted}" if slowest.clock >= wanted else f"wanted {wanted}: MISSED"
    each = ", ".join(f"{rate.setting} {rate.clock:.0f}/{rate.processor:.0f}" for rate in rates)
    return f"{entry.family:10} {entry.name:22} {slowest.clock:6.1f} {min(rate.processor for rate in rates):6.1f}   {verdict:18} ({each})"


def main() -> None:
    """Measure all, or those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=METHODS.names(), default=METHODS.names())
    parser.add_argument("--updates", type=int, default=8, help="for each setting")
    parser.add_argument("--dtype", choices=("uint8", "uint16", "float32"), default="uint8")
    parser.add_argument("--slices", type=int, default=1, help="of the stack that the method learns from")
    options = parser.parse_args()
    stack = large("uint16" if options.dtype == "uint16" else "uint8", options.slices)
    if options.dtype == "float32":
        stack = Stack((stack.data / 255).astype(np.float32), "ZYX")
    print(f"updates a second, {options.slices}×1024×1024 {options.dtype}, load {os.getloadavg()[0]:.1f}")
    print(f"{'family':10} {'method':22} {'clock':>6} {'work':>6}   {'':18} (each setting, by clock/work)")
    for entry in sorted((METHODS.get(name) for name in options.only), key=lambda entry: list(WANTED).index(entry.family) if entry.family in WANTED else 9):
        print(line(entry, stack, options.updates), flush=True)


if __name__ == "__main__":
    main()
