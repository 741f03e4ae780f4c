"""What the Explain panel lays over the picture beside its maps: outlines, boxes, activations; and the way to a place."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Layer, Shapes
from numpy.typing import NDArray

from napari_segtool.core.inside import ReceptiveField
from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region
from napari_segtool.ui._bridge import META, arrange, axes_of, notes_of, placement_of, step_to_plane
from napari_segtool.ui._plane_layer import kept_selection, maps_over, plane_placement, remove_layer

Box = tuple[int, int, int, int]
BLUE, ORANGE = "#56B4E9", "#E69F00"
_MOST_LINES, _MOST_CORNERS, _MANY = 30, 1500, 60
"""More corners would hold up the window, and could not be told apart."""
_AROUND = 5.0
"""A place is shown with so many times its own size around it."""
_LEAST_PX = 64


def show_outline(viewer: Any, image: Image, plane: PlaneIndex, region: Region, axes: str) -> Shapes | None:
    """Draw a line around the pixels of a region on a slice; None where it does not reach the slice."""
    flat, name = region.mask if region.mask.ndim == 2 else _cut(region, plane, axes), f"{image.name} · explained"
    if flat is None:
        remove_layer(viewer, _named(viewer, name))
        return None
    start = region.start if region.mask.ndim == 2 else tuple(at for at, axis in zip(region.start, axes, strict=True) if axis in "YX")
    if axes.index("Y") > axes.index("X"):
        flat, start = flat.T, start[::-1]
    lines = [line + np.asarray(start) for line in outlines_around(flat)]
    return _draw(viewer, image, plane, lines, [BLUE] * len(lines), name)


def outlines_around(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return closed lines around the pieces of a mask and its holes, the longest first, in pixels ``(y, x)``.

    Examples
    --------
    >>> (line,) = outlines_around(np.ones((3, 4), bool))
    >>> line.min(0).tolist(), line.max(0).tolist()
    ([0.0, 0.0], [2.0, 3.0])
    """
    import cv2

    found, _ = cv2.findContours(np.ascontiguousarray(mask, np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    longest = sorted(found, key=lambda line: cv2.arcLength(line, True), reverse=True)[:_MOST_LINES]
    lines, left = [], _MOST_CORNERS
    for line in longest:
        corners = cv2.approxPolyDP(line, 0.0 if len(line) < _MANY else 1.0, True)[:, 0, ::-1].astype(float)  # OpenCV gives (x, y)
        if len(corners) < 3:  # a path needs an inside
            corners = _corners((*corners.min(0), *(corners.max(0) + 1)))[:4]
        if len(corners) > left:
            break
        left -= len(corners)
        lines.append(np.concatenate([corners, corners[:1]]))
    return lines


def show_boxes(viewer: Any, image: Image, plane: PlaneIndex, boxes: list[Box], name: str) -> Shapes:
    """Draw boxes on a slice; the layer of that name is drawn anew."""
    return _draw(viewer, image, plane, [_corners(box) for box in boxes], [ORANGE] * len(boxes), name)


def show_field(viewer: Any, image: Image, plane: PlaneIndex, field: ReceptiveField, name: str) -> Shapes:
    """Draw the effective receptive field of a pixel as a line, and what the network can see at all as a box."""
    outline = np.asarray(field.outline, float)
    closed = np.concatenate([outline, outline[:1]]) if len(outline) > 1 else outline
    lines, colours = [_corners(field.box)], [BLUE]
    if len(closed) > 2:
        lines, colours = [closed, *lines], [ORANGE, *colours]
    return _draw(viewer, image, plane, lines, colours, name)


def show_activations(viewer: Any, image: Image, seen: Stack, limits: tuple[float, float], name: str) -> Image:
    """Lay a layer's feature maps over the image, one behind the other along a new first axis.

    Parameters
    ----------
    seen
        As `api.activations` returns it.
    limits
        Values shown dark and bright, see `limits_of_maps`.
    """
    data = np.stack([arrange(one, seen.axes[1:], image) for one in np.asarray(seen.data)])
    placement = plane_placement(image, tuple(seen.memo["plane"]))
    count = len(placement["scale"])
    letters = [letter for i, letter in enumerate(axes_of(image).replace("S", "")) if letter != "C" or i > 0]
    scale, corner = np.array(placement["scale"], float), np.zeros(count)
    for axis, step, offset in zip("YX", seen.memo["scale_px"], seen.memo["offset_px"], strict=True):
        corner[letters.index(axis)] = offset * scale[letters.index(axis)]
        scale[letters.index(axis)] *= step
    turn, shear, affine = np.eye(count + 1), np.eye(count + 1), np.eye(count + 2)
    turn[1:, 1:], shear[1:, 1:], affine[1:, 1:] = placement["rotate"], placement["shear"], placement["affine"]
    moved = np.asarray(placement["translate"]) + np.asarray(placement["rotate"]) @ np.asarray(placement["shear"]) @ corner
    remove_layer(viewer, _named(viewer, name))
    for other in maps_over(viewer, image):
        other.visible = False  # maps cover each other
    layer = Image(
        data,
        name=name,
        colormap="magma",
        contrast_limits=limits,
        opacity=0.8,
        blending="translucent_no_depth",
        scale=(1.0, *scale),
        translate=(0.0, *moved),
        rotate=turn,
        shear=shear,
        affine=affine,
        units=("pixel", *placement["units"]),
        axis_labels=("feature", *placement["axis_labels"]),
        metadata={META: {"role": "overlay", "source": image.name}},
    )
    notes_of(layer).update({"history": [step.as_dict() for step in seen.memo["history"]]})
    with kept_selection(viewer):
        viewer.add_layer(layer)
    return layer


def limits_of_maps(data: NDArray[np.float32]) -> tuple[float, float]:
    """Return the lowest value and the one that few exceed, from a part of all pixels; for a job's thread."""
    few = data[..., :: max(1, data.shape[-2] // 128), :: max(1, data.shape[-1] // 128)]
    finite = few[np.isfinite(few)]
    low, high = (float(value) for value in np.quantile(finite, (0.0, 0.995))) if finite.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0


def go_to_place(viewer: Any, image: Image, plane: PlaneIndex, centre: tuple[int, int], box: Box) -> None:
    """Show a place: its slice, in the middle of the canvas, as large as it can be well seen."""
    step_to_plane(viewer, image, plane)
    letters = axes_of(image).replace("S", "")
    place = np.zeros(len(letters))
    place[[letters.index("Y"), letters.index("X")]] = centre
    world = np.asarray(image.data_to_world(place), float)
    camera = viewer.scene.camera
    middle = np.array(camera.center, float)
    for i, letter in enumerate(letters):
        axis = viewer.dims.ndim - len(letters) + i
        if letter in "YX" and axis in viewer.dims.displayed:
            middle[len(middle) - len(viewer.dims.displayed) + viewer.dims.displayed.index(axis)] = world[i]
    camera.center = tuple(middle)
    side_px = max(_LEAST_PX, _AROUND * max(box[2] - box[0], box[3] - box[1]))
    step = abs(float(image.scale[letters.index("Y")]))
    camera.zoom = max(camera.zoom, min(viewer.canvas.size) / (side_px * step))


def _draw(viewer: Any, image: Image, plane: PlaneIndex, lines: list[NDArray[np.float64]], colours: list[str], name: str) -> Shapes:
    letters = [letter for i, letter in enumerate(axes_of(image).replace("S", "")) if letter != "C" or i > 0]
    fixed = dict(zip([letter for letter in letters if letter not in "CYX"], plane, strict=True))
    paths = []
    for line in lines:
        path = np.zeros((len(line), len(letters)))
        for i, letter in enumerate(letters):
            path[:, i] = line[:, "YX".index(letter)] if letter in "YX" else fixed.get(letter, 0)
        paths.append(path)
    old = _named(viewer, name)
    if isinstance(old, Shapes) and len(lines) == 1 and old.nshapes == 1 and old.ndim == len(letters):
        old.data = [(paths[0], "path")]  # quicker than another layer
        old.visible = True
        return old
    remove_layer(viewer, old)
    layer = Shapes(
        paths,
        shape_type="path",
        edge_color=colours,
        face_color="transparent",
        edge_width=float(np.clip(np.ptp(np.concatenate(lines), axis=0).max() / 24, 0.4, 2)),
        name=name,
        metadata={META: {"role": "preview", "source": image.name}},
        **placement_of(image),
    )
    layer.editable = False
    with kept_selection(viewer):
        viewer.add_layer(layer)
    return layer


def _corners(box: Box) -> NDArray[np.float64]:
    """The line around a box, which runs between pixels."""
    top, left, bottom, right = box[0] - 0.5, box[1] - 0.5, box[2] - 0.5, box[3] - 0.5
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left), (top, left)])


def _cut(region: Region, plane: PlaneIndex, axes: str) -> NDArray[np.bool_] | None:
    fixed = dict(zip([axis for axis in axes if axis not in "YX"], plane, strict=True))
    key: list[Any] = []
    for axis, first, n in zip(axes, region.start, region.mask.shape, strict=True):
        if axis not in "YX" and not 0 <= fixed[axis] - first < n:
            return None
        key.append(slice(None) if axis in "YX" else fixed[axis] - first)
    return region.mask[tuple(key)]


def _named(viewer: Any, name: str) -> Layer | None:
    return next((layer for layer in viewer.layers if layer.name == name and META in layer.metadata), None)
