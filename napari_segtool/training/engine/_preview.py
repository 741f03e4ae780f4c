"""Previews of a training: the plane that someone looks at, as the network sees it by now. Imports torch; imported only by the engine."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import smallest_dtype
from napari_segtool.training.data._holdout import Field, Picture
from napari_segtool.training.runs._events import EventLog, write_atomically
from napari_segtool.training.runs._run import Run

if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST_PAUSE_S = 4.0
_SHARE = 20
"""Between two previews passes this many times as long as one takes."""


class Previews:
    """Answers the request that lies in a run folder.

    Parameters
    ----------
    run, pictures, log
        Of the training.
    """

    def __init__(self, run: Run, pictures: tuple[Picture, ...], log: EventLog) -> None:
        self._run, self._pictures, self._log = run, pictures, log
        self._folder: Path = run.folder / "preview"
        self._due = 0.0
        self._request: Mapping[str, Any] = {}

    def wanted(self) -> bool:
        """Tell whether a preview is asked for and it is time for one."""
        path = self._folder / "request.json"
        try:
            request = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError):
            return False
        if request != self._request:
            self._request = request
            return bool(request)
        return bool(request) and time.monotonic() >= self._due

    def make(self, step: int, predict: Callable[[Field, int], Iterator[NDArray[np.uint8]]]) -> Iterator[None]:
        """Predict the plane and put it where the viewer looks; yields between tiles.

        Parameters
        ----------
        step
            Of the training.
        predict
            See `predict_plane`: the class indices of a plane of a field, as they are filled in.
        """
        begun = time.monotonic()
        found = self._place()
        if found is None:
            self._log.write("message", text=f"The preview asked for, {dict(self._request)}, is not in this run.")
            self._due = float("inf")
            return
        values = np.array([int(entry["value"]) for entry in self._run.classes])
        classes = np.zeros((0, 0), np.uint8)
        for canvas in predict(*found):
            classes = canvas
            yield
        name = f"preview-{step:08d}.npy"
        try:
            write_atomically(self._folder / name, _npy(values[classes].astype(smallest_dtype(int(values.max())))))
        except OSError:
            return
        self._log.write("preview", path=f"preview/{name}", step=step, **self._request)
        for old in sorted(self._folder.glob("preview-*.npy"))[:-2]:
            old.unlink(missing_ok=True)
        self._due = time.monotonic() + max(_LEAST_PAUSE_S, _SHARE * (time.monotonic() - begun))

    def _place(self) -> tuple[Field, int] | None:
        """The field and the plane in it that the request names."""
        request = self._request
        try:
            number, plane = int(request["image"]), [int(n) for n in request["plane"]]
            record, picture = self._run.stored[number], self._pictures[number]
            stored_letters = [letter for letter in record.axes if letter in record.order]
            index = tuple(plane[stored_letters.index(letter)] for letter in record.order)
            flat = int(np.ravel_multi_index(index, record.counts)) if record.counts else 0
        except (KeyError, IndexError, TypeError, ValueError):
            return None
        first = flat // picture.depth * picture.depth
        part = slice(first, first + picture.depth)
        section = first % picture.sections
        around = picture.image[first - section : first - section + picture.sections] if picture.sections > 1 else None
        return Field(number, first, picture.image[part], picture.marks[part], around=around, section=section, zoom=picture.zoom), flat - first


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
