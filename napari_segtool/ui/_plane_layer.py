"""Layers one plane thick, lying where their plane of an image lies: previews and overlays that cost no copy of the stack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer

from napari_segtool.core.planes import PlaneIndex
from napari_segtool.ui._bridge import META, arrange, axes_of, class_colormap, notes_of, placement_of


def plane_data(data: np.ndarray, like: Layer) -> np.ndarray:
    """Return a ``(Y, X)`` array with the dimensions of a layer one plane thick over ``like``."""
    across = "".join(axis for axis in axes_of(like) if axis not in "CSYX")
    return np.ascontiguousarray(arrange(np.asarray(data)[(None,) * len(across)], across + "YX", like))


def plane_placement(like: Layer, plane: PlaneIndex) -> dict[str, Any]:
    """Return the keyword arguments that lay a layer one plane thick over plane ``plane`` of ``like``."""
    placement = placement_of(like)
    letters = axes_of(like).replace("S", "")
    kept = [letter for i, letter in enumerate(letters) if letter != "C" or i > 0]
    positions = dict(zip([letter for letter in letters if letter not in "CYX"], plane, strict=True))
    offset = np.array([positions.get(letter, 0) for letter in kept], float) * np.asarray(placement["scale"])
    placement["translate"] = tuple(np.asarray(placement["translate"]) + np.asarray(placement["rotate"]) @ np.asarray(placement["shear"]) @ offset)
    return placement


def show_plane_labels(viewer: Any, labels: np.ndarray, plane: PlaneIndex, like: Layer, name: str, class_names: dict[int, str]) -> LabelsLayer:
    """Show the classes of one plane over ``like``, just above it and so below the paint; running again updates the same layer."""
    data = plane_data(labels, like)
    layer = _ours(viewer, name, LabelsLayer)
    if layer is not None and layer.data.shape == data.shape:
        layer.data = data
        _place(layer, like, plane)
    else:
        if layer is not None:
            remove_layer(viewer, layer)
        layer = LabelsLayer(
            data,
            name=name,
            opacity=0.4,
            colormap=class_colormap(sorted({*class_names, *np.unique(data).tolist()})),
            metadata={META: {"role": "preview", "source": like.name}},
            **plane_placement(like, plane),
        )
        layer.editable = False
        add_above(viewer, layer, like)
    return layer


def show_plane_map(viewer: Any, values: np.ndarray, plane: PlaneIndex, like: Layer, name: str, *, notes: dict[str, Any], **looks: Any) -> Image:
    """Show a map of one plane over ``like``, on top; running again updates the same layer."""
    data = plane_data(values, like)
    layer = _ours(viewer, name, Image)
    if layer is not None and layer.data.shape == data.shape:
        layer.data = data
        _place(layer, like, plane)
        for key, value in looks.items():
            setattr(layer, key, value)
    else:
        if layer is not None:
            remove_layer(viewer, layer)
        layer = Image(data, name=name, metadata={META: {"role": "overlay", "source": like.name}}, **looks, **plane_placement(like, plane))
        with kept_selection(viewer):
            viewer.add_layer(layer)
    notes_of(layer).update(notes)
    return layer


def maps_over(viewer: Any, like: Layer) -> list[Image]:
    """Return the maps of ours that lie over ``like``."""
    notes = [(layer, layer.metadata.get(META, {})) for layer in viewer.layers]
    return [layer for layer, its in notes if its.get("role") == "overlay" and its.get("source") == like.name]


def add_above(viewer: Any, layer: Layer, like: Layer) -> None:
    """Put a layer just above ``like``, without taking the selection from the layer that is painted on."""
    with kept_selection(viewer):
        viewer.layers.insert(viewer.layers.index(like) + 1, layer)


def remove_layer(viewer: Any, layer: Layer | None) -> None:
    """Take a layer of ours away, if the user has not done so."""
    if layer is not None and layer in viewer.layers:
        with kept_selection(viewer):
            viewer.layers.remove(layer)


@contextmanager
def kept_selection(viewer: Any) -> Iterator[None]:
    """Leave the selected layers as they are, whatever is added or removed meanwhile."""
    active, selected = viewer.layers.selection.active, set(viewer.layers.selection)
    yield
    left = {layer for layer in selected if layer in viewer.layers}
    if left:
        viewer.layers.selection.clear()
        viewer.layers.selection.update(left)
        if active in viewer.layers:
            viewer.layers.selection.active = active


def _ours(viewer: Any, name: str, kind: type[Layer]) -> Any:
    return next((layer for layer in viewer.layers if layer.name == name and isinstance(layer, kind) and META in layer.metadata), None)


def _place(layer: Layer, like: Layer, plane: PlaneIndex) -> None:
    for key, value in plane_placement(like, plane).items():
        if not np.array_equal(np.asarray(getattr(layer, key), dtype=object), np.asarray(value, dtype=object)):
            setattr(layer, key, value)
