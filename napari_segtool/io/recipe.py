"""The recipe inside a result: JSON that says how it was made, and its exact axes and spacing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import napari_segtool
from napari_segtool.core.result import Step

KEY = "napari-segtool"
"""First key of the JSON; its value is the version that wrote it."""


@dataclass(frozen=True)
class Record:
    """What our files say about themselves.

    Parameters
    ----------
    axes, shape
        Of the array as it was written, axes of length one included.
    spacing_um
        As `Stack.spacing_um`, exactly.
    class_names
        Names of classes, where there are any.
    classes
        Label value of each entry of the class axis, for probabilities.
    history
        Steps that made it, first to last.
    """

    axes: str
    shape: tuple[int, ...]
    spacing_um: tuple[float, ...] = ()
    class_names: tuple[str, ...] = ()
    classes: tuple[int, ...] = ()
    history: tuple[Step, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            KEY: napari_segtool.__version__,
            "axes": self.axes,
            "shape": list(self.shape),
            "spacing_um": list(self.spacing_um),
            "class_names": list(self.class_names),
            "classes": [int(value) for value in self.classes],
            "recipe": [step.as_dict() for step in self.history],
        }

    def as_json(self) -> str:
        """Pure ASCII, so that it survives every program that copies it."""
        return json.dumps(self.as_dict(), default=_plain)

    @classmethod
    def from_text(cls, text: str) -> Record | None:
        """Read what `as_json` wrote, also with other words before or after; ``None`` where there is no such thing.

        Examples
        --------
        >>> record = Record("YX", (2, 3), (0.5, 0.5))
        >>> Record.from_text("note\\n" + record.as_json()) == record
        True
        >>> Record.from_text("ImageJ=1.54f") is None
        True
        """
        start = text.find("{")
        if start < 0 or KEY not in text:
            return None
        try:
            return cls.from_dict(json.JSONDecoder().raw_decode(text[start:])[0])
        except ValueError:
            return None

    @classmethod
    def from_dict(cls, record: Any) -> Record | None:
        """Read what `as_dict` wrote; ``None`` where it is something else."""
        try:
            if KEY not in record:
                return None
            return cls(
                axes=str(record["axes"]),
                shape=tuple(int(n) for n in record["shape"]),
                spacing_um=tuple(float(size) for size in record["spacing_um"]),
                class_names=tuple(str(name) for name in record["class_names"]),
                classes=tuple(int(value) for value in record["classes"]),
                history=tuple(Step.from_dict(step) for step in record["recipe"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


def _plain(value: Any) -> Any:
    """Numbers of numpy as numbers, whatever else as text."""
    return value.item() if hasattr(value, "item") else str(value)


def read_record(path: str | Path) -> Record | None:
    """Return what a file of ours says about itself; ``None`` for a file of others.

    Raises
    ------
    FormatError
        If the file is missing or damaged.
    """
    if Path(path).suffix.lower() == ".png":
        from napari_segtool.io._pictures import png_record

        return png_record(Path(path))
    from napari_segtool.io.tiff import tiff_facts

    return tiff_facts(path).record


def read_history(path: str | Path) -> tuple[Step, ...]:
    """Return the recipe inside a result, first step to last; ``()`` where there is none.

    Raises
    ------
    FormatError
        If the file is missing or damaged.
    """
    record = read_record(path)
    return record.history if record else ()
