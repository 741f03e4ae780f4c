"""Layer ↔ Stack, Labels, Paint: what a layer says about axes and spacing, and layers that lie where their image lies."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from napari.utils.colormaps import DirectLabelColormap

from napari_segtool.core.errors import AxesError
from napari_segtool.core.labels import OKABE_ITO, Labels, Paint, as_label_array, class_colour
from napari_segtool.core.planes import PlaneIndex, plane_axes
from napari_segtool.core.result import Segmentation, Step
from napari_segtool.core.stack import CHANNELS, SPATIAL, Stack

META = "segtool"
"""Key of ``layer.metadata`` under which everything of ours lies."""

_AXIS_WORDS = {
    "T": ("t", "time", "frame", "frames"),
    "Z": ("z", "depth", "plane", "planes", "slice", "section"),
    "C": ("c", "channel", "channels", "ch"),
    "Y": ("y", "row", "rows", "height"),
    "X": ("x", "column", "columns", "width"),
    "I": ("i", "page"),
    "Q": ("q", "pages"),
}
_LETTERS = {word: letter for letter, words in _AXIS_WORDS.items() for word in words}
_USUAL_AXES = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}
_CHECKSUM_LIMIT = 2**28
_MOST_NAMED_LABELS = 64


def notes_of(layer: Layer) -> dict[str, Any]:
    """Return our part of the layer's metadata; it may be written to."""
    return layer.metadata.setdefault(META, {})


def axes_of(layer: Layer) -> str:
    """Return the axes of the layer's data as letters, ``S`` last for RGB.

    The layer's axis labels count where they are letters or words we know; then what our reader noted; then the number of
    dimensions (``ZYX`` for three, ``TZYX`` for four).

    Raises
    ------
    AxesError
        If there are fewer than two or more than five dimensions.
    """
    colour = "S" if isinstance(layer, Image) and layer.rgb else ""
    letters = [_LETTERS.get(str(label).strip().lower(), "?") for label in layer.axis_labels]
    if "?" not in letters and len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters):
        return "".join(letters) + colour
    noted = str(layer.metadata.get(META, {}).get("axes", ""))
    if len(noted) == layer.ndim:
        return noted + colour
    if layer.ndim not in _USUAL_AXES:
        raise AxesError(f"The layer {layer.name!r} has {layer.ndim} dimensions; 2 to 5 can be worked on.", hint="Split it, or pick a part of it.")
    return _USUAL_AXES[layer.ndim] + colour


def spacing_of(layer: Layer, axes: str = "") -> tuple[float, ...]:
    """Return the layer's spacing along Z, Y, X in µm; ``()`` where its units are not lengths (napari's *pixel*)."""
    spacing = []
    for axis, scale, unit in zip(axes or axes_of(layer), layer.scale, layer.units, strict=False):
        if axis in SPATIAL:
            if "[length]" not in unit.dimensionality or len(unit.dimensionality) != 1:
                return ()
            spacing.append(abs(float(scale)) * float((1 * unit).to("micrometer").magnitude))
    return tuple(spacing)


def data_of(layer: Layer) -> Any:
    """Return the layer's array; the finest level of a multiscale layer."""
    return layer.data[0] if layer.multiscale else layer.data


def stack_of(layer: Layer) -> Stack:
    """Return the image layer as a `Stack`; the data are shared, not copied."""
    axes = axes_of(layer)
    return Stack(data_of(layer), axes, spacing_of(layer, axes), layer.name)


def paint_of(layer: LabelsLayer) -> Paint:
    """Return the labels layer as `Paint`: 0 is not labelled."""
    data, axes = _without_channels(layer)
    names = class_names_of(layer)
    return Paint(data, axes, tuple(names.get(value, f"class {value}") for value in range(1, max(names, default=0) + 1)))


def labels_of(layer: LabelsLayer) -> Labels:
    """Return the labels layer as `Labels`: 0 is background or the first class."""
    data, axes = _without_channels(layer)
    return Labels(data, axes, tuple(notes_of(layer).get("class_names", ())))


def segmentation_of(layer: LabelsLayer) -> Segmentation:
    """Return the labels layer with its spacing and the recipe that made it, ready to write."""
    labels = labels_of(layer)
    history = tuple(Step.from_dict(record) for record in notes_of(layer).get("history", ()))
    return Segmentation(Labels(as_label_array(labels.data), labels.axes, labels.class_names), spacing_of(layer), history, layer.name)


def class_names_of(layer: LabelsLayer) -> dict[int, str]:
    """Return the names of the classes painted in the layer, by label value; empty where none were given."""
    return {int(value): str(name) for value, name in notes_of(layer).get("classes", {}).items()}


def unpainted_is_background(layer: LabelsLayer) -> bool:
    """True if the user said that what is not painted is background, rather than *not labelled*."""
    return notes_of(layer).get("unpainted", "not labelled") == "background"


def _without_channels(layer: LabelsLayer) -> tuple[Any, str]:
    data, axes = data_of(layer), axes_of(layer)
    for position in reversed(range(len(axes))):
        if axes[position] in CHANNELS:
            if data.shape[position] != 1:
                raise AxesError(f"The labels {layer.name!r} have {data.shape[position]} channels; labels have none.", hint="Correct their axes, or split them.")
            data, axes = data[(slice(None),) * position + (0,)], axes[:position] + axes[position + 1 :]
    return data, axes


def visible_plane(viewer: Any, layer: Layer) -> PlaneIndex:
    """Return the index of the plane the viewer shows of the layer, clipped to what the layer has."""
    axes = axes_of(layer)
    if "S" in axes:
        axes = axes.replace("S", "")
    shape = data_of(layer).shape
    place = layer.world_to_data(tuple(viewer.dims.point))
    return tuple(int(np.clip(round(float(place[i])), 0, shape[i] - 1)) for i, axis in enumerate(axes) if axis not in "CYX")


def step_to_plane(viewer: Any, layer: Layer, index: PlaneIndex) -> None:
    """Make the viewer show plane ``index`` of the layer."""
    axes = axes_of(layer).replace("S", "")
    place = list(layer.world_to_data(tuple(viewer.dims.point)))
    positions = [i for i, axis in enumerate(axes) if axis not in "CYX"]
    for position, value in zip(positions, index, strict=True):
        place[position] = value
    world = layer.data_to_world(tuple(place))
    first = viewer.dims.ndim - layer.ndim
    for position in positions:
        viewer.dims.set_point(first + position, world[position])


def placement_of(like: Layer, axes: str | None = None) -> dict[str, Any]:
    """Return the keyword arguments that lay a layer without channels over ``like``.

    Scale, translate, rotate, shear, affine, units and axis labels are copied. A leading channel axis is dropped; one
    that stands elsewhere becomes a single sample as wide as all channels, since napari lines layers up by their last axes.
    """
    letters = (axes or axes_of(like)).replace("S", "")
    keep = [i for i, letter in enumerate(letters) if letter != "C" or i > 0]
    count = like.ndim
    scale, translate = np.array(like.scale), np.array(like.translate)
    wide = letters.find("C")
    if wide > 0:
        channels = data_of(like).shape[wide]
        translate[wide] += scale[wide] * (channels - 1) / 2
        scale[wide] *= channels
    shear = np.eye(count)
    shear[np.triu_indices(count, 1)] = np.asarray(like.shear)
    block = np.ix_(keep, keep)
    return {
        "scale": tuple(scale[keep]),
        "translate": tuple(translate[keep]),
        "rotate": np.asarray(like.rotate)[block],
        "shear": shear[block],
        "affine": np.asarray(like.affine.affine_matrix)[np.ix_([*keep, count], [*keep, count])],
        "units": tuple(like.units[i] for i in keep),
        "axis_labels": tuple(like.axis_labels[i] for i in keep),
    }


def label_shape_of(like: Layer, axes: str | None = None) -> tuple[int, ...]:
    """Return the shape of a labels layer laid over ``like`` by `placement_of`."""
    letters = (axes or axes_of(like)).replace("S", "")
    shape = data_of(like).shape
    return tuple(1 if letter == "C" else int(shape[i]) for i, letter in enumerate(letters) if letter != "C" or i > 0)


def arrange(data: Any, axes: str, like: Layer) -> np.ndarray:
    """Return ``data`` with axes ``axes`` in the order and with the dimensions of a layer laid over ``like``."""
    letters = axes_of(like).replace("S", "")
    wanted = [letter for i, letter in enumerate(letters) if letter != "C" or i > 0]
    plain = [letter for letter in wanted if letter != "C"]
    if sorted(plain) != sorted(axes):
        raise AxesError(f"A result with axes {axes} does not fit the layer {like.name!r} with axes {letters}.")
    array = np.asarray(data).transpose([axes.index(letter) for letter in plain])
    return np.expand_dims(array, wanted.index("C")) if "C" in wanted else array


def class_colormap(values: Iterable[int], hidden: Collection[int] = ()) -> DirectLabelColormap:
    """Return the colours of the classes ``values``: Okabe–Ito, the same as in lists and plots; others are grey, 0 is clear."""
    colours: dict[int | None, Any] = {None: "#999999", 0: "transparent"}
    for value in values:
        if value > 0:
            colours[int(value)] = "transparent" if value in hidden else class_colour(int(value))
    return DirectLabelColormap(color_dict=colours)


def add_labels(
    viewer: Any, segmentation: Segmentation, like: Layer, name: str, *, source: Layer | None = None, placement: dict[str, Any] | None = None
) -> LabelsLayer:
    """Show a segmentation over the layer ``like``; the same layer is updated when it runs again.

    ``placement`` is where it lies, for a part of the image; as `placement_of` for all of it.

    A layer of that name that the user has edited since is left alone and a new one is made. The recipe, class names and
    axes go into the layer's metadata, so that they are written with it.
    """
    data = as_label_array(arrange(segmentation.data, segmentation.axes, like))
    if not data.flags.writeable or not data.flags.c_contiguous:
        data = np.ascontiguousarray(data).copy()
    notes = {
        "role": "result",
        "axes": _layer_axes(like),
        "history": [step.as_dict() for step in segmentation.history],
        "class_names": list(segmentation.labels.class_names),
        "source": (source or like).name,
        "made_as": name,
    }
    largest = int(data.max()) if data.size else 0
    few = bool(segmentation.labels.class_names) or largest <= len(OKABE_ITO)
    layer, placement = _unedited(viewer, name), placement or placement_of(like)
    if layer is not None and layer.data.shape == data.shape and layer.data.dtype == data.dtype == np.uint8:
        layer.data = data
        _forget_undo(layer)
        for key, value in placement.items():
            setattr(layer, key, value)
    else:
        layer = _added(viewer, data, name, layer, metadata={META: notes}, **placement)
    if few and largest <= _MOST_NAMED_LABELS:
        layer.colormap = class_colormap(range(largest + 1))
    layer.metadata[META] = notes
    _mark_unedited(layer)
    return layer


def add_image_overlay(
    viewer: Any,
    data: Any,
    axes: str,
    like: Layer,
    name: str,
    *,
    colormap: str = "magma",
    contrast_limits: tuple[float, float] = (0.0, 1.0),
    opacity: float = 0.6,
    history: tuple[Step, ...] = (),
) -> Image:
    """Show a map (probabilities, uncertainty, saliency) over the layer ``like``; running again updates the same layer.

    Parameters
    ----------
    data, axes
        Array and its axes, without channels; one layer is made for each map.
    """
    array = arrange(data, axes, like)
    low, high = contrast_limits
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        low, high = 0.0, 1.0
    layer = next((layer for layer in viewer.layers if layer.name == name and isinstance(layer, Image) and META in layer.metadata), None)
    if layer is not None and layer.data.shape == array.shape:
        layer.data = array
        for key, value in placement_of(like).items():
            setattr(layer, key, value)
        layer.contrast_limits = (low, high)
    else:
        layer = viewer.add_image(
            array, name=name, colormap=colormap, contrast_limits=(low, high), opacity=opacity, blending="translucent_no_depth", **placement_of(like)
        )
    notes_of(layer).update({"role": "overlay", "axes": _layer_axes(like), "source": like.name, "history": [step.as_dict() for step in history]})
    return layer


def is_source_image(layer: Layer) -> bool:
    """True for an image a user may want to work on: not one of our overlays or previews."""
    return isinstance(layer, Image) and layer.metadata.get(META, {}).get("role") not in ("overlay", "preview")


def is_labels(layer: Layer) -> bool:
    """True for a labels layer that is not a preview of ours."""
    return isinstance(layer, LabelsLayer) and layer.metadata.get(META, {}).get("role") != "preview"


def is_paint_like(layer: Layer) -> bool:
    """True for labels that a user would go on painting: neither a result of ours nor the truth of a sample."""
    return is_labels(layer) and layer.metadata.get(META, {}).get("role") not in ("result", "truth")


def fits(labels: Layer, image: Layer) -> bool:
    """True if the labels layer has one pixel for each pixel of the image layer."""
    return tuple(data_of(labels).shape) == label_shape_of(image)


def plane_count(layer: Layer) -> int:
    """Return how many planes the layer has."""
    stack = stack_of(layer)
    return math.prod(n for axis, n in zip(stack.axes, stack.shape, strict=True) if axis in plane_axes(stack))


def was_edited(layer: LabelsLayer) -> bool:
    """True if the pixels of a result of ours are not those we wrote."""
    notes = notes_of(layer)
    return bool(notes.get("touched")) or ("checksum" in notes and notes["checksum"] != _checksum(layer.data))


def _unedited(viewer: Any, name: str) -> LabelsLayer | None:
    for layer in viewer.layers:
        ours = isinstance(layer, LabelsLayer) and layer.metadata.get(META, {}).get("made_as") == name
        if ours and layer.name.startswith(name) and not was_edited(layer):
            return layer
    return None


def _added(viewer: Any, data: np.ndarray, name: str, instead_of: LabelsLayer | None, **more: Any) -> LabelsLayer:
    """Add a labels layer, in the place and with the looks of another that it stands in for.

    Layers of 16 bit are replaced rather than given new pixels: once they have been, Mesa's software OpenGL crashes when they
    are removed and another labels layer is drawn.
    """
    if instead_of is None:
        return viewer.add_labels(data, name=name, **more)
    place = viewer.layers.index(instead_of)
    looks = {key: getattr(instead_of, key) for key in ("opacity", "blending", "visible")}
    viewer.layers.remove(instead_of)
    layer = viewer.add_labels(data, name=name, **looks, **more)
    layer.contour = instead_of.contour
    viewer.layers.move(viewer.layers.index(layer), place)
    return layer


def _mark_unedited(layer: LabelsLayer) -> None:
    notes_of(layer)["checksum"] = _checksum(layer.data)
    notes_of(layer)["touched"] = False
    layer.events.paint.connect(_touched)


def _touched(event: Any) -> None:
    notes_of(event.source)["touched"] = True


def _checksum(data: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(data).data) if isinstance(data, np.ndarray) and data.nbytes <= _CHECKSUM_LIMIT else 0


def _forget_undo(layer: LabelsLayer) -> None:
    # napari keeps the undo history when data are replaced, and undo would then write old pixels into the new result.
    layer._reset_history()


def _layer_axes(like: Layer) -> str:
    letters = axes_of(like).replace("S", "")
    return "".join(letter for i, letter in enumerate(letters) if letter != "C" or i > 0)
