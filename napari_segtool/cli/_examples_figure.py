"""Patches as the network would be shown them, in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.cli._figures import _figure, _show
from napari_segtool.cli._report import follow, say
from napari_segtool.core.labels import class_colour
from napari_segtool.io._atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_segtool.training.before._examples import Example

_INCHES = 1.7
_SHOWN_PERCENT = (0.5, 99.5)
_DIM, _CLEAR = 1 / 3, 0.45


def write_examples(path: Path, pairs: Sequence[Sequence[Any]], learner: str, order: Mapping[str, Any], *, as_json: bool) -> None:
    """Cut and vary patches of the first image as a training would, draw them, and say so."""
    from napari_segtool import api

    (stack, labels, *_), *others = pairs
    cutting = api.preview_augmentation_steps(stack, labels, learner=learner, others=others, **order)
    examples = follow(cutting, as_json=as_json, title="Cutting patches")
    draw_examples(examples, path, painted=order["labels_are"] == "paint")
    more = f" Only the first of {len(pairs)} images is shown." if others else ""
    say(f"{path}: {len(examples)} patches.{more}", as_json=as_json, output=str(path), patches=len(examples))


def draw_examples(examples: Sequence[Example], path: Path, *, painted: bool) -> None:
    """Draw a column for each patch: as it is cut, as the network sees it, and that with its labels; of masks, what is not learned from is dark."""
    figure = _figure(_INCHES * len(examples), 3 * _INCHES + 0.5)
    rows = figure.subplots(3, len(examples), squeeze=False)
    for number, example in enumerate(examples):
        limits = np.percentile(example.before, _SHOWN_PERCENT)
        cut, varied = (_picture(image, limits) for image in (example.before, example.image))
        learned = varied if painted else np.where(example.labelled[..., None], varied, _DIM * varied)
        titles = ("as cut", "as the network sees it", "with labels") if number == 0 else ("", "", "")
        for row, (picture, title) in enumerate(zip((cut, varied, learned), titles, strict=True)):
            _show(rows[row, number], picture, title, marks=example.labels if row == 2 else None, alpha=_CLEAR)
    _name_colours(figure, examples)
    with replacing(path) as file:
        figure.savefig(file, format="png")


def _picture(image: NDArray[np.float32], limits: NDArray[np.floating]) -> NDArray[np.float32]:
    """A normalised patch ``(C, Y, X)`` in red, green and blue, 0 to 1."""
    shown = np.moveaxis(image, 0, -1) if len(image) == 3 else np.repeat(image.mean(axis=0)[..., None], 3, axis=-1)
    low, high = limits
    picture: NDArray[np.float32] = np.clip((shown - low) / ((high - low) or 1.0), 0, 1)
    return picture


def _name_colours(figure: Figure, examples: Sequence[Example]) -> None:
    from matplotlib.patches import Patch

    values = sorted({int(value) for example in examples for value in np.unique(example.labels)} - {0})
    if values:
        handles = [Patch(color=class_colour(value), label=f"class {value}") for value in values]
        figure.legend(handles=handles, loc="outside lower left", ncols=min(len(handles), 8), frameon=False, fontsize=8)
