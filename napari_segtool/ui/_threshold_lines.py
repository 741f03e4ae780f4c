"""Which settings of a method are the lines in the histogram, and how grey values become settings and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_segtool.core.params import describe
from napari_segtool.core.registry import Entry
from napari_segtool.ui._bars import Bars

_PAIRS = (("lower", "upper"), ("low", "high"))
_EXACT = "grey_values"
_LOCAL = "window_px"


def shows_histogram(entry: Entry) -> bool:
    """True for methods that work on the grey values alone."""
    return entry.family in ("threshold", "clustering")


def finds_thresholds(entry: Entry) -> bool:
    """True for methods whose classes may be ranges of grey values; a local threshold is another one at each pixel."""
    return shows_histogram(entry) and _LOCAL not in entry.params.model_fields


def line_fields(entry: Entry) -> tuple[str, str] | None:
    """Return the two settings, in percent of the range of grey values, that can be dragged as lines."""
    percent = {info.name for info in describe(entry.params) if info.unit == "%"}
    return next((pair for pair in _PAIRS if set(pair) <= percent), None)


def ends_of(entry: Entry, values: Mapping[str, Any], bars: Bars) -> tuple[float, float] | None:
    """Return the grey values of the two lines; None where they differ from slice to slice, or there are none."""
    fields = line_fields(entry)
    if fields is None or values.get("per_slice"):
        return None
    exact = _written(str(values.get(_EXACT, "")), bars)
    span = bars.highest - bars.lowest
    return exact or (bars.lowest + span * values[fields[0]] / 100, bars.lowest + span * values[fields[1]] / 100)


def dragged(entry: Entry, values: Mapping[str, Any], bars: Bars, low: float, high: float) -> dict[str, Any]:
    """Return the settings of which ``low`` and ``high`` are the grey values."""
    fields = line_fields(entry)
    assert fields is not None
    if str(values.get(_EXACT, "")).strip():
        return {_EXACT: f"{low:.6g}:{high:.6g}"}
    span = bars.highest - bars.lowest
    return {fields[0]: 100 * (low - bars.lowest) / span, fields[1]: 100 * (high - bars.lowest) / span}


def _written(text: str, bars: Bars) -> tuple[float, float] | None:
    """Read ``lower:upper`` as the user types it; an open end is that of the scale, and what is no range yet is none."""
    low, colon, high = text.partition(":")
    try:
        return (float(low or bars.lowest), float(high or bars.highest)) if colon else None
    except ValueError:
        return None
