"""napari's reader, writer and samples of ours: unlike napari's own they keep axes, spacing, units and the recipe.

napari's built-in reader opens TIFF too, without any of these, so on a dropped TIFF napari asks once which reader to use and
can remember the answer. From code name ours: ``viewer.open(path, plugin="napari-segtool")``. The panels' own Open button, files
dropped on a panel, and ``segtool gui FILE`` always use it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_segtool.core.labels import Labels, as_label_array
from napari_segtool.core.stack import SPATIAL, Stack
from napari_segtool.ui._bridge import META, class_colormap

LayerData = tuple[Any, dict[str, Any], str]
SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return our reader if it reads ``path``: a TIFF, a picture, or a folder of numbered pictures."""
    paths = [path] if isinstance(path, str) else list(path)
    return read_paths if paths and all(_readable(Path(one)) for one in paths) else None


def read_paths(path: str | list[str]) -> list[LayerData]:
    """Read files into layers with their axes, spacing and units.

    Raises
    ------
    FormatError
        If a file is corrupt, truncated or of an unknown format; napari shows it.
    """
    from napari_segtool import api

    layers = []
    for one in [path] if isinstance(path, str) else path:
        stack = api.read(one)
        layers.append(layer_of_stack(stack))
    return layers


def layer_of_stack(stack: Stack) -> LayerData:
    """Return a stack as layer data; channels stay one layer with a slider, moved to the front."""
    axes, data = stack.axes, stack.data
    colour = axes[stack.channel_axis] == "S" and stack.shape[stack.channel_axis] in (3, 4) if stack.channel_axis >= 0 else False
    if stack.channel_axis >= 0:
        target = len(axes) - 1 if colour else 0
        data = np.moveaxis(np.asarray(data), stack.channel_axis, target)
        rest = axes.replace(axes[stack.channel_axis], "")
        axes = rest if colour else "C" + rest
    meta = {"name": stack.name or "image", "rgb": colour, **_calibration(axes, stack.spacing_um), "metadata": {META: {"axes": axes}}}
    return data, meta, "image"


def layer_of_labels(labels: Labels, stack: Stack) -> LayerData:
    """Return the labels of a stack as layer data in the colours of their classes."""
    data = as_label_array(labels.data)
    notes = {"role": "truth", "axes": labels.axes, "class_names": list(labels.class_names), "source": stack.name}
    meta = {"name": f"{stack.name} · truth", **_calibration(labels.axes, stack.spacing_um), "metadata": {META: notes}}
    if labels.class_names:
        meta["colormap"] = class_colormap(range(len(labels.class_names)))
    return data, meta, "labels"


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as a label TIFF with axes, spacing and recipe (File > Save Selected Layers)."""
    return [_write(path, data, meta)]


def sample_em() -> list[LayerData]:
    """Return the EM sample with its true labels."""
    return _sample("em")


def sample_us() -> list[LayerData]:
    """Return the ultrasound sample with its true labels."""
    return _sample("ultrasound")


def _sample(name: str) -> list[LayerData]:
    from napari_segtool import api

    stack, labels = api.sample(name)
    return [layer_of_stack(stack), layer_of_labels(labels, stack)]


def _write(path: str, data: Any, meta: dict[str, Any]) -> str:
    from napari.layers import Labels as LabelsLayer

    from napari_segtool.io._write import write_result
    from napari_segtool.ui._export_plan import frozen_result

    known = {key: meta[key] for key in ("name", "scale", "translate", "units", "axis_labels", "metadata") if key in meta}
    target = path if path.lower().endswith((".tif", ".tiff")) else f"{path}.tif"
    result, spacing_um, history = frozen_result(LabelsLayer(data, **known), recipe=True)
    write_result(result, target, spacing_um=spacing_um, history=history)
    return target


def _calibration(axes: str, spacing_um: tuple[float, ...]) -> dict[str, Any]:
    spacing = iter(spacing_um)
    return {
        "scale": [next(spacing) if spacing_um and axis in SPATIAL else 1.0 for axis in axes],
        "units": ["micrometer" if spacing_um and axis in SPATIAL else "pixel" for axis in axes],
        "axis_labels": [axis.lower() for axis in axes],
    }


def _readable(path: Path) -> bool:
    if path.is_dir():
        return any(entry.suffix.lower() in SUFFIXES for entry in path.iterdir())
    return path.suffix.lower() in SUFFIXES
