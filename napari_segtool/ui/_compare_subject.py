"""What is compared, and the work of comparing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image
from napari.layers import Labels as LabelsLayer

from napari_segtool.api import Candidate
from napari_segtool.api._thumbnail import Backdrop
from napari_segtool.core.chain import Chain, Link
from napari_segtool.core.given import Given
from napari_segtool.core.labels import Labels
from napari_segtool.core.planes import PlaneIndex, plane_axes, plane_shape
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.result import Segmentation
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import add_labels
from napari_segtool.ui._compare_grid import LARGEST_PX
from napari_segtool.ui._plane_layer import plane_placement
from napari_segtool.ui._segment_steps import MASK, Taken, part_key, part_of


@dataclass(frozen=True, eq=False)
class Subject:
    """What is compared: a slice, and everything the panel would do to it beside the method.

    Parameters
    ----------
    image
        The image layer.
    stack
        Its stack.
    index
        The slice.
    values
        Settings of each method, by its name; what is left out has its default.
    filters, then
        As for `api.segment`.
    beside
        What lies over the image, by name: ``mask``, and ``paint`` or ``labels`` for the methods that start from them.
    only
        Work on this slice as if it were the whole stack, as in `Plan`.
    seeds
        Places clicked, ``z,y,x:label; …``.
    """

    image: Image
    stack: Stack
    index: PlaneIndex
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    filters: Chain = ()
    then: Chain = ()
    beside: Mapping[str, Taken] = field(default_factory=dict)
    only: PlaneIndex | None = None
    seeds: str = ""


def subject_of(panel: Any) -> Subject | None:
    """Return what the Segment panel works on now; None without an image."""
    image, settings, memory = panel.image, panel.settings, panel.session.memory
    if image is None:
        return None
    stack, made = panel.session.stack(image), settings.forms.values()
    beside = {MASK: settings.within.taken(), "paint": _paint_taken(panel), **settings.inputs.taken(settings.entry)}
    return Subject(
        image,
        stack,
        panel.plane,
        {entry.name: {**memory.recall(f"{panel.name}.{entry.name}"), **made.get(entry.name, {})} for entry in METHODS},
        settings.prepare.links(),
        settings.then.links(),
        {name: taken for name, taken in beside.items() if taken is not None},
        panel.plane if settings.output.one_slice else None,
        settings.seeds.text(stack),
    )


def _paint_taken(panel: Any) -> Taken | None:
    """Return the paint that lies over the image, whatever method is chosen; None while nothing is painted."""
    row, watch = panel.settings.inputs.rows["paint"], panel.session.paint
    return None if watch.layer is row.layer and not watch.counts.planes() else row.taken()


def comparison_steps(
    subject: Subject, entries: list[Link], truth: np.ndarray | None, limits: tuple[float, ...], tell: Callable[[str, object], object]
) -> Steps[tuple[Candidate, ...]]:
    """Make the small picture of the slice, then run the methods; ``tell`` hears of each thing as soon as it is there."""
    from napari_segtool import api

    backdrop = Backdrop.of(subject.stack, subject.index, (limits[0], limits[1]), LARGEST_PX)
    tell("backdrop", (backdrop, truth))
    yield Progress(0, len(entries), METHODS.get(entries[0].name).title)
    key = part_key(subject.stack, subject.only)
    beside = {name: taken.part(key) for name, taken in subject.beside.items()}
    mask = beside.pop(MASK, None)
    return (
        yield from api.compare_slice_steps(
            part_of(subject.stack, subject.only),
            entries,
            subject.index if subject.only is None else (0,) * len(subject.index),
            truth,
            filters=subject.filters,
            then=subject.then,
            mask=mask,
            given=Given(**beside),
            found=partial(tell, "candidate"),
        )
    )


def keep_candidate(viewer: Any, candidate: Candidate, subject: Subject) -> LabelsLayer:
    """Add the labels of a candidate as a layer one slice thick, with the recipe that made them."""
    assert candidate.labels is not None
    stack = subject.stack
    shape = tuple(n if axis in "YX" else 1 for axis, n in zip(stack.label_axes, stack.label_shape, strict=True))
    lying = candidate.labels.T if stack.label_axes.index("Y") > stack.label_axes.index("X") else candidate.labels
    segmentation = Segmentation(Labels(lying.reshape(shape), stack.label_axes), stack.spacing_um, candidate.history)
    name = f"{subject.image.name} · {candidate.title}{place_text(subject)}"
    return add_labels(viewer, segmentation, subject.image, name, placement=plane_placement(subject.image, subject.index))


def place_text(subject: Subject) -> str:
    """Say which slice it is, counted as the viewer's sliders do."""
    counts = plane_shape(subject.stack)
    many = [(axis, i) for axis, i, n in zip(plane_axes(subject.stack), subject.index, counts, strict=True) if n > 1]
    if not many:
        return ""
    return f", slice {many[0][1]}" if len(many) == 1 else ", " + ", ".join(f"{axis} {i}" for axis, i in many)
