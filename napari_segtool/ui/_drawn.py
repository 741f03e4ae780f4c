"""Outlines drawn in a shapes layer, as labels on the slices they lie on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Shapes
from numpy.typing import NDArray

from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import META, axes_of, placement_of

WITH_AREA = ("rectangle", "ellipse", "polygon")
_CORNERS_OF_AN_ELLIPSE = 100
_IN_PLANE = 0.5
ROLE = "region"


@dataclass(frozen=True, eq=False)
class Outline:
    """One closed outline over a stack.

    Parameters
    ----------
    vertices
        ``(V, 2)``: y and x of each corner, in pixels.
    place
        Its place along each plane axis by letter; an axis that is not named is crossed as a whole.
    label
        Label of what lies inside.
    """

    vertices: NDArray[np.float64]
    place: dict[str, int]
    label: int


def outlines_of(shapes: Shapes, image: Image) -> tuple[Outline, ...]:
    """Return the outlines of a shapes layer over an image, those on top last.

    Shapes without an area (lines, paths) and those that lie across slices are left out. Each is labelled by its place in the layer, from 1.
    """
    letters = axes_of(image).replace("S", "")
    matrix, offset, known = _into_pixels(shapes, image)
    outlines = []
    for number in np.argsort(shapes.z_index, kind="stable"):
        if shapes.shape_type[number] not in WITH_AREA:
            continue
        places = _corners(np.asarray(shapes.data[number], np.float64), shapes.shape_type[number]) @ matrix + offset
        columns = {letter: places[:, i] for i, letter in enumerate(letters) if i >= len(letters) - known}
        across = {letter: values for letter, values in columns.items() if letter not in "CYX"}
        if any(np.ptp(values) > _IN_PLANE for values in across.values()):
            continue
        place = {letter: round(float(values[0])) for letter, values in across.items()}
        outlines.append(Outline(np.stack([columns["Y"], columns["X"]], axis=1), place, int(number) + 1))
    return tuple(outlines)


def filled(outlines: tuple[Outline, ...], stack: Stack) -> NDArray[Any]:
    """Return labels of `Stack.label_shape`: 0 outside all outlines, where several overlap that on top."""
    from skimage.draw import polygon

    sizes = dict(zip(stack.label_axes, stack.label_shape, strict=True))
    labels = np.zeros(stack.label_shape, smallest_dtype(max((outline.label for outline in outlines), default=0)))
    flip = stack.label_axes.index("Y") > stack.label_axes.index("X")
    for outline in outlines:
        rows, columns = polygon(outline.vertices[:, 0], outline.vertices[:, 1], (sizes["Y"], sizes["X"]))
        if any(not 0 <= index < sizes[axis] for axis, index in outline.place.items()):
            continue
        planes = labels[tuple(outline.place.get(axis, slice(None)) for axis in stack.label_axes)]
        planes[(..., columns, rows) if flip else (..., rows, columns)] = outline.label
    return labels


def new_region_layer(viewer: Any, image: Image) -> Shapes:
    """Return the shapes layer of ours over ``image``, made if there is none, ready for a polygon to be drawn."""
    layer = next((one for one in viewer.layers if isinstance(one, Shapes) and one.metadata.get(META, {}).get("region_of") == image.name), None)
    if layer is None:
        placement = placement_of(image)
        layer = viewer.add_shapes(
            ndim=len(placement["scale"]),
            name=f"{image.name} · region",
            face_color="#56B4E933",
            edge_color="#56B4E9",
            metadata={META: {"role": ROLE, "region_of": image.name}},
            **placement,
        )
    viewer.layers.selection.active = layer
    layer.visible = True
    layer.mode = "add_polygon"
    return layer


def _corners(data: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    if kind != "ellipse":
        return data
    centre = data.mean(axis=0)
    angle = np.linspace(0, 2 * np.pi, _CORNERS_OF_AN_ELLIPSE, endpoint=False)[:, None]
    return centre + np.cos(angle) * (data[1] - data[0]) / 2 + np.sin(angle) * (data[3] - data[0]) / 2


def _into_pixels(shapes: Shapes, image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Return matrix and offset from data of the shapes to pixels of the image, and how many of its last axes the shapes know of."""
    known = min(shapes.ndim, image.ndim)
    places = []
    for point in (np.zeros(shapes.ndim), *np.eye(shapes.ndim)):  # all transforms of layers are affine, and one point at a time is slow
        world = np.zeros(image.ndim)
        world[image.ndim - known :] = np.asarray(shapes.data_to_world(point))[shapes.ndim - known :]
        places.append(np.asarray(image.world_to_data(world), np.float64))
    return np.array(places[1:]) - places[0], places[0], known
