"""What the checks of an explanation say, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_segtool.core.trust import Check, Curve, Likeness, Verdict

SAME, PARTLY = 0.7, 0.4
"""Rank correlation from which a map counts as unchanged, and as hardly changed."""
_GAIN = 0.02
"""Part of the curve's range by which the map's order must beat a random one."""
_LEAST = 0.05
"""Part of the largest score by which covering everything must lower it."""
_STEADY, _EXACT = 0.6, 1e-3


def on_randomisation(cascading: Sequence[Likeness]) -> Verdict:
    """Judge by the likeness to the map of the network that has forgotten everything."""
    last = cascading[-1]
    known = [value for value in (last.rank, last.signed_rank) if not math.isnan(value)]
    if not known:
        return Verdict("randomisation", None, "The map is empty or too small: whether it depends on what the network learned cannot be said.")
    alike = max(known)
    number = f"(rank correlation {alike:.2f})"
    if alike >= SAME:
        return Verdict("randomisation", False, f"This map does not change when the network's weights are randomised: don't read it {number}.")
    if alike >= PARTLY:
        return Verdict(
            "randomisation",
            True,
            f"This map changes only in part when the network's weights are randomised {number}: much of it is the picture alone.",
        )
    return Verdict("randomisation", True, f"This map changes when the network's weights are randomised {number}: it shows what the network learned.")


def on_curve(check: Check, curve: Curve, chance: Curve) -> Verdict:
    """Judge a deletion or insertion curve by a random order's."""
    deletion = check == "deletion"
    doing, way = ("Covering", "lowers") if deletion else ("Showing", "raises")
    span = (curve.scores[0] - curve.scores[-1]) * (1 if deletion else -1)
    if not span > _LEAST * max(map(abs, curve.scores)):
        return Verdict(
            check, None, f"{doing} the whole picture hardly {way} the score, so there is nothing to measure: the class is not what the model sees here."
        )
    gain = (chance.area - curve.area if deletion else curve.area - chance.area) / span
    numbers = f"(area {curve.area:.2f} against {chance.area:.2f})"
    if gain > _GAIN:
        words = f"{doing} what the map calls important first {way} the score faster than a random order {numbers}: the map points at what the model uses."
        return Verdict(check, True, words)
    words = f"{doing} what the map calls important first {way} the score no faster than a random order {numbers}: the map misses what the model uses."
    return Verdict(check, False, words)


def on_repeatability(difference: float, steadiness: float, noise: float) -> Verdict:
    """Judge by two answers to the same question, and by those under noise."""
    if math.isnan(difference) or math.isnan(steadiness):
        return Verdict("repeatability", None, "The map is empty: whether it can be repeated cannot be said.")
    if difference > _EXACT:
        return Verdict("repeatability", False, f"Asked twice, the map differs by up to {difference:.0%} of its largest value: average several.")
    numbers = f"of {noise:.0%} of the contrast (rank correlation {steadiness:.2f})"
    if steadiness >= _STEADY:
        return Verdict("repeatability", True, f"The map comes out the same twice and stays much the same under noise {numbers}.")
    words = f"The map comes out the same twice but falls apart under noise {numbers}: read its large features only, or a smoothed map."
    return Verdict("repeatability", False, words)
