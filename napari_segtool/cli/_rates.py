"""What a learning-rate range test has found, as lines or as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_segtool.training.before._range_test import RateRange

_ROWS, _WIDTH = 20, 50


def tell_rates(found: RateRange, *, as_json: bool) -> None:
    """Write the result to standard output."""
    sys.stdout.write((json.dumps(found.record()) if as_json else "\n".join(rate_lines(found))) + "\n")
    sys.stdout.flush()


def rate_lines(found: RateRange) -> Iterator[str]:
    """Yield the smoothed losses as a curve of lines, the rate growing downwards, and the suggestion."""
    some = range(0, len(found.rates), max(1, len(found.rates) // _ROWS))
    shown = [found.smoothed[number] for number in some]
    low, high = min(shown, default=0.0), max(shown, default=1.0)
    for number in some:
        place = round((found.smoothed[number] - low) / ((high - low) or 1) * _WIDTH)
        yield f"{found.rates[number]:9.1e}  {found.smoothed[number]:8.4f}  {' ' * place}●"
    if not math.isnan(found.diverged):
        yield f"The loss broke at a rate of {found.diverged:.1e}."
    if math.isnan(found.suggestion):
        yield "The loss did not fall at any rate: look at the labels, or begin at another lowest rate."
    else:
        yield f"Suggestion: --set learning_rate={found.suggestion:g}"
