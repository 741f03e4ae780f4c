"""Facts in the user's words: sizes, spacings, durations, counts. No Qt here."""

from __future__ import annotations

import math

from napari_segtool.core.progress import Progress
from napari_segtool.core.stack import CHANNELS, Stack

UNITS_UM = {"nm": 0.001, "µm": 1.0, "mm": 1000.0}


def size_text(stack: Stack) -> str:
    """Return the size along every axis, in the order of the axes ("20×512×512")."""
    return "×".join(str(n) for axis, n in zip(stack.axes, stack.shape, strict=True) if axis not in CHANNELS)


def spacing_text(spacing_um: tuple[float, ...]) -> str:
    """Return a spacing in the unit that suits it, X first, as microscopists write it.

    Examples
    --------
    >>> spacing_text((0.05, 0.004, 0.004))
    '4×4×50 nm'
    >>> spacing_text(())
    'spacing unknown'
    """
    if not spacing_um:
        return "spacing unknown"
    unit = natural_unit(spacing_um)
    return "×".join(f"{value / UNITS_UM[unit]:.4g}" for value in reversed(spacing_um)) + f" {unit}"


def natural_unit(spacing_um: tuple[float, ...]) -> str:
    """Return nm, µm or mm: the unit in which the smallest spacing is a comfortable number."""
    smallest = min(spacing_um, default=1.0)
    return "nm" if smallest < 0.1 else "µm" if smallest < 100 else "mm"


def stack_text(stack: Stack) -> str:
    """Return the facts line of an image ("20×512×512 · 4×4×50 nm")."""
    channels = stack.channel_axis
    extra = "" if channels < 0 else " · RGB" if stack.axes[channels] == "S" else f" · {stack.shape[channels]} channels"
    return f"{size_text(stack)}{extra} · {spacing_text(stack.spacing_um)}"


_AXIS_NAMES = {"T": "time points", "Z": "slices", "C": "channels", "Y": "rows", "X": "columns", "S": "colour samples", "I": "pages", "Q": "pages"}


def stack_details(stack: Stack) -> str:
    """Return one line for each axis, for the tooltip of the facts line."""
    lines = []
    for axis, count in zip(stack.axes, stack.shape, strict=True):
        step = f", {spacing_text((stack.spacing_of(axis),))} apart" if stack.spacing_um and axis in stack.spatial else ""
        lines.append(f"{axis}: {count} {_AXIS_NAMES[axis]}{step}")
    return "\n".join([*lines, f"Values: {stack.data.dtype}"])


def duration_text(seconds: float) -> str:
    """Return a duration as m:ss or h:mm:ss.

    Examples
    --------
    >>> duration_text(220.4)
    '3:40'
    """
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress_text(progress: Progress, seconds_left: float) -> str:
    """Return what is being done and how long it still takes ("slice 8 of 20 · 0:03 left")."""
    total = f" of {progress.total:g}" if progress.total > 0 and progress.label else ""
    words = f"{progress.label} {progress.done:g}{total}".strip() if progress.label and not progress.label[-1:].isdigit() else progress.label
    left = "" if math.isnan(seconds_left) else f"{duration_text(seconds_left)} left"
    return " · ".join(part for part in (words, left) if part)


def memory_text(megabytes: float) -> str:
    """Return an amount of memory, in GB where it is that large.

    Examples
    --------
    >>> memory_text(932.4), memory_text(1536)
    ('932 MB', '1.5 GB')
    """
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1000 else f"{max(1, round(megabytes))} MB"


def count_text(count: int) -> str:
    """Return a count with thin groups of thousands, so that a column of them can be read.

    Examples
    --------
    >>> count_text(1234567)
    '1 234 567'
    """
    return f"{count:,}".replace(",", " ")
