"""Predictions as layers: labels with their recipe, probabilities, uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels as LabelsLayer
from napari.layers import Layer

from napari_segtool.core.result import Prediction
from napari_segtool.ui._bridge import META, add_image_overlay, add_labels, notes_of, was_edited
from napari_segtool.ui._plane_layer import kept_selection, maps_over, plane_placement, remove_layer, show_plane_labels, show_plane_map
from napari_segtool.ui._predict_steps import SliceReady, StackDone, plane_of

_PEEK = "preview"


def show_slice(viewer: Any, ready: SliceReady, like: Layer, names: dict[int, str]) -> None:
    """Show the visible slice while the rest is worked on."""
    show_plane_labels(viewer, ready.labels, ready.plane, like, f"{like.name} · {_PEEK}", names)


def show_prediction(viewer: Any, result: StackDone, like: Layer) -> tuple[str, ...]:
    """Show a prediction over its image and return the names of the layers, that of the labels first.

    Previews of the image are taken away. Running again updates the same layers, but never labels that the user has edited.
    """
    for layer in [layer for layer in viewer.layers if layer.name == f"{like.name} · {_PEEK}" and META in layer.metadata]:
        remove_layer(viewer, layer)
    names = _show_plane(viewer, result, like) if result.plane else _show_stack(viewer, result.prediction, like)
    for layer in maps_over(viewer, like):
        layer.visible = False  # maps cover the labels and each other
    return names


def _show_stack(viewer: Any, prediction: Prediction, like: Layer) -> tuple[str, ...]:
    title = prediction.name or f"{like.name} · prediction"
    old = next((layer for layer in viewer.layers if layer.name == f"{title} · slice" and META in layer.metadata), None)
    if isinstance(old, LabelsLayer) and not was_edited(old):
        remove_layer(viewer, old)  # the stack has that slice too
    names = []
    with kept_selection(viewer):
        layer = add_labels(viewer, prediction.segmentation, like, title)
        names.append(layer.name)
        chances = prediction.probabilities
        if chances is not None:
            for index, name in enumerate(chances.class_names):
                data = np.asarray(chances.data[index])
                overlay = add_image_overlay(viewer, data, chances.axes[1:], like, f"{title} · P({name})", history=prediction.history)
                notes_of(overlay).update({"probability_of": title, "class_index": index})
                names.append(overlay.name)
        if prediction.uncertainty is not None:
            doubt = prediction.uncertainty
            names.append(add_image_overlay(viewer, doubt.data, doubt.axes, like, f"{title} · uncertainty", history=prediction.history).name)
    return tuple(names)


def _show_plane(viewer: Any, result: StackDone, like: Layer) -> tuple[str, ...]:
    """One slice: layers one slice thick, which cost no copy of the stack."""
    prediction, plane = result.prediction, result.plane
    assert plane is not None
    title = f"{prediction.name or like.name} · slice"
    with kept_selection(viewer):
        names = [add_labels(viewer, prediction.segmentation, like, title, placement=plane_placement(like, plane)).name]
    looks = {"colormap": "magma", "contrast_limits": (0.0, 1.0), "opacity": 0.6, "blending": "translucent_no_depth"}
    history = {"history": [step.as_dict() for step in prediction.history]}
    chances = prediction.probabilities
    if chances is not None:
        for index, name in enumerate(chances.class_names):
            values = plane_of(chances.data[index], chances.axes[1:])
            overlay = show_plane_map(viewer, values, plane, like, f"{title} · P({name})", notes=history, **looks)
            names.append(overlay.name)
    if prediction.uncertainty is not None:
        values = plane_of(prediction.uncertainty.data, prediction.uncertainty.axes)
        names.append(show_plane_map(viewer, values, plane, like, f"{title} · uncertainty", notes=history, **looks).name)
    return tuple(names)
