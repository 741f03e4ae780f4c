"""Patches as a training will see them, before there is one: what augmentation makes of an image and its labels. Without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import Labels, Paint, smallest_dtype
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.spread import spread_evenly
from napari_segtool.core.stack import Stack
from napari_segtool.training._plan import Plan
from napari_segtool.training.data._augment import STILL, Augmentation
from napari_segtool.training.data._holdout import Field, spacing_zyx
from napari_segtool.training.data._loader import Batch, BatchMaker
from napari_segtool.training.data._normalisation import normalisation_of
from napari_segtool.training.data._patches import PatchSampler
from napari_segtool.training.data._spacing import common_spacing, zoom_of
from napari_segtool.training.runs._pairs import IGNORED, check_pair
from napari_segtool.training.survey._evidence import Evidence

_MOST_PLANES, _MOST_VOLUMES = 8, 2


@dataclass(frozen=True, eq=False)
class Example:
    """One patch, as it was cut and as the network would see it.

    Parameters
    ----------
    before, image
        ``(C, Y, X)`` float32, normalised, without and with variation; of a volume its section with most labels, in 2.5-D the middle one.
    labels_before, labels
        ``(Y, X)`` in the numbering of the model; 0 also where nothing is labelled.
    labelled
        ``(Y, X)`` bool: where the varied patch is labelled; not in a rim that the network sees and does not learn from.
    """

    before: NDArray[np.float32]
    image: NDArray[np.float32]
    labels_before: NDArray[np.unsignedinteger]
    labels: NDArray[np.unsignedinteger]
    labelled: NDArray[np.bool_]


def example_steps(stack: Stack, labels: Labels | Paint, evidence: Evidence, plan: Plan, *, count: int, seed: int) -> Steps[tuple[Example, ...]]:
    """Draw patches of an image and vary them as a training would.

    Only a few labelled planes are read: at most eight, or the surroundings of two where patches are volumes.

    Parameters
    ----------
    stack, labels
        Image and labels.
    evidence
        Of all images that would be learned from, this one first.
    plan
        How it would train.
    count
        How many.
    seed
        Of all randomness.

    Yields
    ------
    Progress
        After each patch.

    Raises
    ------
    PaintError
        If nothing of this image is labelled.
    """
    pair, values = check_pair(stack, labels, stack.name or "The image"), evidence.values
    table = np.zeros(IGNORED + 1, smallest_dtype(max(values)))
    table[: len(values)] = values if evidence.painted else range(len(values))
    painted = [number for number, plane in enumerate(pair.label_planes()) if not evidence.painted or np.any(plane)]
    fields = _fields(evidence, painted, plan)
    sampler = PatchSampler(fields, len(values), balance=plan.draw_balance, seed=seed)
    varied, still = (_maker(fields, sampler, plan, settings, seed) for settings in (plan.augmentation, STILL))
    found = []
    for number in range(count):
        found.append(_example(still.make(number), varied.make(number), table, plan))
        yield Progress(number + 1, count, "patch")
    return tuple(found)


def _fields(evidence: Evidence, painted: Sequence[int], plan: Plan) -> tuple[Field, ...]:
    """A few labelled planes of the first image, spread evenly, with the sections around them that patches may reach."""
    subject, volumes = evidence.subjects[0], plan.spatial == 3
    spacings = [spacing_zyx(each.axes, each.spacing_um) for each in evidence.subjects]
    zoom = zoom_of(spacings[0], common_spacing(spacings))
    sections = subject.counts[-1] if subject.counts else 1
    reach = plan.patch_px[0] - 1 if volumes else plan.neighbours
    fields = []
    for plane in spread_evenly(painted, _MOST_VOLUMES if volumes else _MOST_PLANES):
        section = plane % sections
        first, last = max(0, section - reach), min(sections, section + reach + 1)
        parts = [subject.read(plane - section + place) for place in range(first, last)]
        image, marks = np.stack([part for part, _ in parts]), np.stack([part for _, part in parts])
        if volumes:
            fields.append(Field(0, plane - section + first, image, marks, spacing_um=spacings[0], zoom=zoom))
        else:
            inner = slice(section - first, section - first + 1)
            fields.append(Field(0, plane, image[inner], marks[inner], around=image, section=section - first, spacing_um=spacings[0], zoom=zoom))
    return tuple(fields)


def _maker(fields: tuple[Field, ...], sampler: PatchSampler, plan: Plan, augmentation: Augmentation, seed: int) -> BatchMaker:
    return BatchMaker(
        fields,
        sampler,
        normalisation_of(plan.normalisation, fields),
        augmentation,
        patch=plan.patch_px,
        count=1,
        seed=seed,
        flat=plan.spatial == 2,
        neighbours=plan.neighbours,
        rim_px=plan.rim_px,
    )


def _example(before: Batch, after: Batch, table: NDArray[np.unsignedinteger], plan: Plan) -> Example:
    """Both batches of one patch as pictures."""
    if plan.spatial == 2:
        shown = slice(plan.neighbours, None, 2 * plan.neighbours + 1)
        pictures = [(batch.images[0, shown], np.pad(batch.classes[0], plan.rim_px, constant_values=IGNORED)) for batch in (before, after)]
    else:
        pictures = []
        for batch in (before, after):
            z = int((batch.classes[0] != IGNORED).sum(axis=(1, 2)).argmax())
            pictures.append((batch.images[0, :, z], batch.classes[0, z]))
    (first, first_marks), (last, last_marks) = pictures
    return Example(first, last, table[first_marks], table[last_marks], last_marks != IGNORED)
