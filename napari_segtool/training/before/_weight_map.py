"""The weights by which a training would multiply the loss of each pixel: to be looked at before. Imports torch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_segtool.core.progress import Steps, as_progress
from napari_segtool.core.stack import CHANNELS, Stack
from napari_segtool.training._plan import Plan
from napari_segtool.training.configure._proposal import Proposal
from napari_segtool.training.data._border import weigh_fields
from napari_segtool.training.data._holdout import Field, Picture, open_pictures, split_fields
from napari_segtool.training.data._patches import PatchSampler
from napari_segtool.training.losses._class_weights import class_weights, in_map
from napari_segtool.training.runs._pairs import IGNORED, Stored
from napari_segtool.training.runs._run import Run

USUAL_BORDER_WEIGHT = 10.0
"""As published with the U-Net of 2015."""
_PAINT = "Paint does not say where objects end: a border weight needs masks."


@dataclass(frozen=True, eq=False)
class WeightMap:
    """How much each pixel of an image counts.

    Parameters
    ----------
    weights
        float32, with the axes of labels; 0 where nothing is labelled. Pixels that are held out to judge by have the weight that they would be learned with.
    border_weight, border_sigma_px
        w₀ and σ of the map; a weight of 0 where it has no border term.
    why
        Why the training will not weigh borders; empty where it will.
    """

    weights: Stack
    border_weight: float
    border_sigma_px: float
    why: str = ""

    @property
    def preview(self) -> bool:
        """Whether the map weighs borders and the training would not."""
        return bool(self.why and self.border_weight)


def weight_map_steps(run: Run, plan: Plan, proposal: Proposal, *, most: int = 0, preview: bool = False) -> Steps[tuple[WeightMap, ...]]:
    """Weigh the pixels of a run's images as its training would: by class, by border, and by the weights that were given. The run is only read.

    Parameters
    ----------
    run
        Whose data and seed are taken.
    plan, proposal
        How it would train, and why.
    most
        Maps of so many images, from the first; 0 of all.
    preview
        Whether to show what the usual border weight would do with masks whose borders will not be weighed.

    Yields
    ------
    Progress
        As the images are weighed.
    """
    sparse = run.config["labels_are"] == "paint"
    why = _PAINT if sparse else "" if plan.border_weight else _why_not(proposal)
    w0 = 0.0 if sparse else plan.border_weight or (USUAL_BORDER_WEIGHT if preview else 0.0)
    pictures = open_pictures(run, plan.spatial)
    fields = split_fields(pictures, len(run.classes), sparse=sparse, seed=run.seed)
    pixels = PatchSampler(fields, len(run.classes), balance=plan.draw_balance, seed=run.seed).pixels
    per_class = in_map(class_weights(torch.from_numpy(pixels), plan.class_balance), plan.loss).tolist()
    shown = run.stored[: most or None]
    found = []
    for number, record in enumerate(shown):
        wanted = (*_whole(pictures[number]), *_parts(fields, pictures[number], number))
        with tempfile.TemporaryDirectory(prefix="segtool-trial-") as folder:
            work = weigh_fields(wanted, Path(folder), w0=w0, sigma_px=plan.border_sigma_px, class_weights=per_class, flat=plan.spatial == 2)
            weighed = yield from as_progress(work, number, len(shown), "weights")
            weights = _joined(weighed, pictures[number])
            del weighed, work  # their files are about to go
        found.append(WeightMap(_laid_out(weights, record), w0, plan.border_sigma_px, why))
    return tuple(found)


def _why_not(proposal: Proposal) -> str:
    return next((reason.why for reason in proposal.reasons if reason.setting == "border_weight"), "It is set to 0.")


def _whole(picture: Picture) -> list[Field]:
    """Every field of a picture with all its labels, those to be held out as well."""
    return [_field(picture, first, picture.marks[first : first + picture.depth]) for first in range(0, len(picture.marks), picture.depth)]


def _parts(fields: Sequence[Field], picture: Picture, number: int) -> list[Field]:
    """Those fields of a picture of which only a part is learned from: it is weighed without the objects in the rest."""
    split = [field for field in fields if field.picture == number and field.check is not None and field.learn.size]
    return [_field(picture, field.first, field.learn) for field in split]


def _field(picture: Picture, first: int, marks: NDArray[np.uint8]) -> Field:
    part = slice(first, first + picture.depth)
    weights = None if picture.weights is None else picture.weights[part]
    return Field(0, first, picture.image[part], marks, weights=weights, spacing_um=picture.spacing_um, zoom=picture.zoom)


def _joined(fields: Sequence[Field], picture: Picture) -> NDArray[np.float32]:
    """The weights of all fields, ``(P, Y, X)``; where two are of the same pixels those of the later."""
    joined = np.zeros(picture.marks.shape, np.float32)
    for field in fields:
        known = np.asarray(field.learn) != IGNORED
        if known.any():
            joined[field.first : field.first + picture.depth][known] = np.asarray(field.weights)[known]
    return joined


def _laid_out(weights: NDArray[np.float32], record: Stored) -> Stack:
    """Planes in the order of the run as a stack with the axes of the image."""
    axes = "".join(letter for letter in record.axes if letter not in CHANNELS)
    shaped = weights.reshape(*record.counts, *weights.shape[-2:])
    return Stack(shaped.transpose([(record.order + "YX").index(letter) for letter in axes]), axes, record.spacing_um, f"{record.name} weights")
