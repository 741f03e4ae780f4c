"""How a training scales grey values: each plane by itself, or all by what its planes have together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from napari_segtool.nets._normalise import Normalisation
from napari_segtool.training.data._holdout import Field


def normalisation_of(kind: Literal["plane", "fixed"], fields: Sequence[Field]) -> Normalisation:
    """Return the normalisation that a plan names, for the planes of the fields."""
    return fixed_normalisation(fields) if kind == "fixed" else Normalisation()


def fixed_normalisation(fields: Sequence[Field]) -> Normalisation:
    """Return the mean and deviation of all planes together; NaN and infinite pixels do not count."""
    count, total, squares = np.zeros(1, np.int64), 0.0, 0.0
    for field in fields:
        for plane in field.image:
            values = np.asarray(plane, dtype=np.float64).reshape(plane.shape[0], -1)
            known = np.isfinite(values)
            values = np.where(known, values, 0)
            count = count + known.sum(axis=1)
            total, squares = total + values.sum(axis=1), squares + (values**2).sum(axis=1)
    mean = np.atleast_1d(total / np.maximum(count, 1))
    deviation = np.sqrt(np.maximum(np.atleast_1d(squares / np.maximum(count, 1)) - mean**2, 0))
    return Normalisation("fixed", tuple(float(v) for v in mean), tuple(float(v) for v in deviation))
