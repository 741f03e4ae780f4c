"""Values of any of our kinds as JSON, with arrays in files beside: what the verbs that look inside a network are given and give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.inside import Layer, Patch, Place, ReceptiveField
from napari_segtool.core.result import Step
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.core.trust import Curve, Likeness, TrustParams, TrustReport, Verdict

INSIDE = ("layers", "filters", "activations", "patches", "receptive_field", "trust", "similar_places")
"""Verbs of ``api`` that the child runs for whoever looks inside a network."""
_KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (Curve, Layer, Likeness, Patch, Place, ReceptiveField, Region, Stack, Step, Target, TrustReport, Verdict)
}


def pack(value: Any, save: Callable[[NDArray[Any]], str]) -> Any:
    """Return a JSON-ready form.

    Parameters
    ----------
    save
        Writes an array to a file of its own and returns the file's name.

    Raises
    ------
    TypeError
        If it is of a kind that does not travel.

    Examples
    --------
    >>> unpack(pack(Place((1,), (2, 3), (0, 0, 4, 4), 0.5, 0.25), str), np.array).centre
    (2, 3)
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, TrustParams):
        return {"kind": "dict", "items": value.model_dump(mode="json")}
    if isinstance(value, list | tuple):
        return {"kind": type(value).__name__, "items": [pack(item, save) for item in value]}
    if isinstance(value, dict):
        return {"kind": "dict", "items": {str(name): pack(item, save) for name, item in value.items()}}
    if type(value).__name__ in _KINDS:
        return {"kind": type(value).__name__, "items": {field.name: pack(getattr(value, field.name), save) for field in fields(value)}}
    if hasattr(value, "__array__"):
        return {"kind": "array", "file": save(np.asarray(value))}
    raise TypeError(f"a {type(value).__name__} cannot be handed to another process")


def unpack(record: Any, load: Callable[[str], NDArray[Any]]) -> Any:
    """Return what `pack` described; ``load`` reads an array by its file's name."""
    if not isinstance(record, dict):
        return record
    kind = record["kind"]
    if kind == "array":
        return load(record["file"])
    items = record["items"]
    if kind == "dict":
        return {name: unpack(item, load) for name, item in items.items()}
    if kind in ("list", "tuple"):
        read = [unpack(item, load) for item in items]
        return tuple(read) if kind == "tuple" else read
    return _KINDS[kind](**{name: unpack(item, load) for name, item in items.items()})
