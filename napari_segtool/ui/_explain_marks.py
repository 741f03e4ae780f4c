"""Labels and shapes over one slice of an image: where objects and regions are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Shapes
from napari.layers import Labels as LabelsLayer
from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneIndex, label_key
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import axes_of, class_names_of, data_of, fits, is_labels, label_shape_of, labels_of, notes_of
from napari_segtool.ui._drawn import Outline, filled, outlines_of


def holds_objects(layer: Layer, image: Image) -> bool:
    """True for labels that lie over the image, or over one slice of it."""
    return is_labels(layer) and (fits(layer, image) or is_thin(layer, image))


def holds_region(layer: Layer, image: Image) -> bool:
    """True for shapes, and for labels that lie over the image or one slice of it."""
    return isinstance(layer, Shapes) or holds_objects(layer, image)


def numbers_classes(layer: Layer) -> bool:
    """True where the numbers of a labels layer are classes, so that several objects share one."""
    return isinstance(layer, LabelsLayer) and bool(notes_of(layer).get("class_names") or class_names_of(layer))


def is_thin(layer: Layer, image: Image) -> bool:
    """True for a layer one slice thick over the image, as a prediction of one slice is."""
    letters = _axes_over(image)
    wanted = tuple(n if axis in "YX" else 1 for axis, n in zip(letters, label_shape_of(image), strict=True))
    return tuple(data_of(layer).shape) == wanted != label_shape_of(image)


def plane_under(layer: Layer, image: Image) -> PlaneIndex:
    """Return the slice that a layer one slice thick lies on."""
    world = np.zeros(image.ndim)
    world[image.ndim - layer.ndim :] = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    place = image.world_to_data(world)
    return tuple(round(float(place[i])) for i, axis in enumerate(axes_of(image).replace("S", "")) if axis not in "CYX")


def marks_on(layer: Layer, image: Image, stack: Stack, plane: PlaneIndex) -> Callable[[], NDArray[Any]] | None:
    """Return what reads the labels of one slice, ``(Y, X)``, off the GUI thread; None for a layer that lies on another slice."""
    if isinstance(layer, Shapes):
        at_plane = dict(zip((axis for axis in stack.label_axes if axis not in "YX"), plane, strict=True))
        here = tuple(replace(outline, place={}) for outline in outlines_of(layer, image) if all(at_plane.get(axis) == at for axis, at in outline.place.items()))
        sides = dict(zip(stack.axes, stack.shape, strict=True))
        return partial(_drawn, here, (sides["Y"], sides["X"]))
    if is_thin(layer, image):
        if plane_under(layer, image) != plane:
            return None
        return partial(_slice_of, labels_of(layer).data, tuple(slice(None) if axis in "YX" else 0 for axis in stack.label_axes), _lies(stack))
    return partial(_slice_of, labels_of(layer).data, label_key(stack, plane), _lies(stack))


def _axes_over(image: Image) -> str:
    return "".join(axis for i, axis in enumerate(axes_of(image).replace("S", "")) if axis != "C" or i > 0)


def _drawn(outlines: tuple[Outline, ...], size: tuple[int, int]) -> NDArray[Any]:
    return filled(outlines, Stack(np.broadcast_to(np.uint8(0), size), "YX"))


def _slice_of(labels: Any, key: tuple[int | slice, ...], lying: bool) -> NDArray[Any]:
    marks = np.array(labels[key])
    return marks.T if lying else marks


def _lies(stack: Stack) -> bool:
    return stack.label_axes.index("Y") > stack.label_axes.index("X")
