"""How pixel values become network input: the same in training and in prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ModelError, ShapeError

KINDS = ("plane", "fixed")


@dataclass(frozen=True)
class Normalisation:
    """Shift and scale of pixel values.

    Parameters
    ----------
    kind
        ``"plane"``: every plane by its own mean and standard deviation within its margins (see `within_margins`), so that bit depth and exposure do not
        matter.
        ``"fixed"``: all planes by the values below, for images whose grey levels mean the same everywhere.
    mean, deviation
        For each channel, for ``"fixed"``; the training images' values.
    """

    kind: Literal["plane", "fixed"] = "plane"
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Normalisation:
        """Read what `record` wrote, or raise `ModelError`."""
        try:
            kind = record["kind"]
            mean, deviation = tuple(float(v) for v in record.get("mean", ())), tuple(float(v) for v in record.get("deviation", ()))
        except (KeyError, TypeError, ValueError):
            raise ModelError(
                f"The model's normalisation {record!r} cannot be read.", hint="The model card is damaged; train or copy the model again."
            ) from None
        if kind not in KINDS or len(mean) != len(deviation) or (kind == "fixed" and not mean):
            raise ModelError(f"The model's normalisation {dict(record)!r} is not known.", hint="The model may come from a newer version of napari-segtool.")
        return cls(kind, mean, deviation)

    def record(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"kind": self.kind, "mean": list(self.mean), "deviation": list(self.deviation)}

    def scale(self, plane: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the mean and the deviation, each of shape ``(C,)``, that apply to a whole plane ``(C, Y, X)``.

        NaN and infinite pixels do not count, nor margins of one value. The deviation is 1 where a plane is constant.
        """
        if self.kind == "fixed":
            if len(self.mean) != plane.shape[0]:
                raise ShapeError(f"The plane has {plane.shape[0]} channel(s), but the model was trained on {len(self.mean)}.")
            mean, deviation = np.asarray(self.mean), np.asarray(self.deviation)
        else:
            values = [_finite(channel) for channel in within_margins(plane)]
            mean = np.array([v.mean(dtype=np.float64) if v.size else 0.0 for v in values])
            deviation = np.array([v.std(dtype=np.float64) if v.size else 0.0 for v in values])
        floor = 1e-6 * np.maximum(np.abs(mean), 1e-6)
        return mean.astype(np.float32), np.where(deviation > floor, deviation, 1.0).astype(np.float32)

    def apply(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        """Return a whole plane as network input.

        Parameters
        ----------
        plane
            ``(Y, X)`` or ``(C, Y, X)``, any real dtype; NaN and infinite pixels become the plane's median.

        Returns
        -------
        ndarray
            float32, of the same shape.

        Examples
        --------
        >>> Normalisation().apply(np.array([[10, 30]], np.uint8)).tolist()
        [[-1.0, 1.0]]
        """
        whole = plane[None] if plane.ndim == 2 else plane
        mean, deviation = self.scale(whole)
        out = whole.astype(np.float32)
        if whole.dtype.kind == "f":
            out = fill_gaps(out)
        out -= mean[:, None, None]
        out /= deviation[:, None, None]
        return out.reshape(plane.shape)


def within_margins(plane: NDArray[Any]) -> NDArray[Any]:
    """Return a plane without the rows and columns along its edges in which nothing varies; the whole plane where nothing does at all.

    Black bars around an image say nothing of what is in it, but would darken its mean: on ultrasound they fill up to half of it. As in nnU-Net
    (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z), what lies in them does not count.

    Parameters
    ----------
    plane
        ``(C, Y, X)``; a row counts as margin if it is of one value in every channel.

    Examples
    --------
    >>> plane = np.zeros((1, 4, 5))
    >>> plane[0, 1:3, 2:4] = [[1, 2], [3, 4]]
    >>> within_margins(plane).tolist()
    [[[1.0, 2.0], [3.0, 4.0]]]
    """
    rows = _varied(plane.transpose(1, 0, 2)) if plane.size else None
    if rows is None:
        return plane
    columns = _varied(plane[:, rows].transpose(2, 0, 1))
    return plane if columns is None else plane[:, rows, columns]


def _varied(lines: NDArray[Any]) -> slice | None:
    """From the first to the last of the lines ``(L, C, N)`` in which something varies; looked for from both ends, so that it is quick where no margin is."""

    def varies(number: int) -> bool:
        line = lines[number]
        return bool((line.max(1) != line.min(1)).any())

    first = next(filter(varies, range(len(lines))), None)
    if first is None:
        return None
    return slice(first, next(filter(varies, reversed(range(len(lines))))) + 1)


def fill_gaps(plane: NDArray[Any]) -> NDArray[Any]:
    """Return a plane ``(C, Y, X)`` with NaN and infinite pixels replaced by `gap_values`."""
    bad = ~np.isfinite(plane)  # none in whole numbers
    return np.where(bad, gap_values(plane)[:, None, None], plane) if bad.any() else plane


def gap_values(plane: NDArray[Any]) -> NDArray[Any]:
    """Return what NaN and infinite pixels of each channel become, ``(C,)``: the median of its others, 0 where there are none; NaN where none are to be filled.

    Examples
    --------
    >>> gap_values(np.array([[[1, 2, 6, np.nan]], [[1, 2, 3, 4]]], np.float32)).tolist()
    [2.0, nan]
    """
    floats = plane.dtype.kind == "f"
    values = np.full(len(plane), np.nan, plane.dtype if floats else np.float32)
    for number, channel in enumerate(plane if floats else ()):
        others = _finite(channel)
        if others.size < channel.size:
            values[number] = np.median(others) if others.size else 0
    return values


def _finite(channel: NDArray[Any]) -> NDArray[Any]:
    return channel[np.isfinite(channel)] if channel.dtype.kind == "f" else channel
