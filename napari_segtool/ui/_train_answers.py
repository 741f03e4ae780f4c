"""What is asked before a training, answered in a process of its own, which may load torch; neither Qt nor napari here.

The images lie in files, what is heard meanwhile goes into another as JSON lines, and the answer is pickled.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.progress import Progress, Steps, drain
from napari_segtool.core.stack import Stack
from napari_segtool.ui._train_pictured import Pictured, pictured

_NICENESS = 5


@dataclass(frozen=True)
class Handed:
    """An image or labels in a file.

    Parameters
    ----------
    file
        ``.npy``.
    axes, spacing_um, name
        As in `Stack`.
    """

    file: str
    axes: str
    spacing_um: tuple[float, ...] = ()
    name: str = ""

    @property
    def data(self) -> NDArray[Any]:
        """The pixels, mapped into memory."""
        return np.load(self.file, mmap_mode="r")

    def opened(self) -> Stack:
        """Return it as a stack, mapped into memory."""
        return Stack(self.data, self.axes, self.spacing_um, self.name)


@dataclass(frozen=True)
class Question:
    """What a training would be, as a process of its own is told.

    Parameters
    ----------
    pairs
        Images with their labels, and how much each pixel counts.
    labels_are, learner, params, minutes, steps, seed, device, threads
        As for `api.train`.
    told
        File for what is heard meanwhile.
    model
        To go on from; empty for a new network.
    extra
        What else the question wants to know.
    """

    pairs: tuple[tuple[Handed, Handed, Handed | None], ...]
    labels_are: str
    learner: str
    params: Mapping[str, Any]
    minutes: float
    steps: int
    seed: int
    device: str
    threads: int
    told: str
    model: str
    extra: Mapping[str, Any]

    def opened(self) -> list[tuple[Stack, Labels | Paint, Stack | None]]:
        """Return the pairs around their pixels."""
        kind = Labels if self.labels_are == "mask" else Paint
        return [(image.opened(), kind(marks.data, marks.axes), weights.opened() if weights else None) for image, marks, weights in self.pairs]


@dataclass(frozen=True, eq=False)
class Weighed:
    """A map of weights, and what it was made with.

    Parameters
    ----------
    file, axes
        Where it lies, and its axes.
    border_weight, border_sigma_px, why, preview
        As of `training.before._weight_map.WeightMap`.
    highest
        Largest weight.
    """

    file: str
    axes: str
    border_weight: float
    border_sigma_px: float
    highest: float
    why: str = ""
    preview: bool = False


def answer(what: str, question: Question) -> Any:
    """Answer one question: ``"proposal"``, ``"network"``, ``"rates"``, ``"weights"`` or ``"examples"``; called in a process of its own."""
    folder = str(Path(question.told).parent)
    tempfile.tempdir = folder  # whoever asked clears it away, also when this process is ended in the middle
    if hasattr(os, "nice") and os.nice(0) < _NICENESS:
        os.nice(_NICENESS - os.nice(0))
    with open(question.told, "a", encoding="utf-8", buffering=1) as told:

        def tell(progress: Progress) -> None:
            record = {"kind": "progress", "done": progress.done, "total": progress.total, "label": progress.label, "metrics": dict(progress.metrics)}
            told.write(json.dumps(record) + "\n")

        return drain(_ANSWERS[what](question), tell)


def _proposal(question: Question) -> Steps[Any]:
    from napari_segtool import api

    return (
        yield from api.propose_steps(
            question.opened(),
            question.learner,
            labels_are=question.labels_are,  # type: ignore[arg-type]
            minutes=question.minutes,
            steps=question.steps,
            device=question.device,
            threads=question.threads,
            model=question.model,
            timing=bool(question.extra.get("timing", True)),
            **question.params,
        )
    )


def _network(question: Question) -> Steps[Any]:
    from napari_segtool import api

    return (
        yield from api.planned_network_steps(
            question.opened(),
            question.learner,
            labels_are=question.labels_are,  # type: ignore[arg-type]
            device=question.device,
            model=question.model,
            **question.params,
        )
    )


def _rates(question: Question) -> Steps[Any]:
    from napari_segtool import api

    found = yield from api.rate_range_steps(
        question.opened(),
        question.learner,
        labels_are=question.labels_are,  # type: ignore[arg-type]
        seed=question.seed,
        device=question.device,
        threads=question.threads,
        model=question.model,
        steps=int(question.extra.get("count", 100)),
        **question.params,
    )
    return found.record()


def _weights(question: Question) -> Steps[Weighed]:
    from napari_segtool import api

    (found,) = yield from api.weight_map_steps(
        question.opened(),
        question.learner,
        labels_are=question.labels_are,  # type: ignore[arg-type]
        most=1,
        preview=True,
        seed=question.seed,
        device=question.device,
        model=question.model,
        **question.params,
    )
    file = f"{question.told}.weights.npy"
    np.save(file, found.weights.data)
    return Weighed(file, found.weights.axes, found.border_weight, found.border_sigma_px, float(found.weights.data.max()), found.why, found.preview)


def _examples(question: Question) -> Steps[tuple[Pictured, ...]]:
    from napari_segtool import api

    (stack, marks, _), *others = question.opened()
    examples = yield from api.preview_augmentation_steps(
        stack,
        marks,
        labels_are=question.labels_are,  # type: ignore[arg-type]
        learner=question.learner,
        count=int(question.extra["count"]),
        seed=int(question.extra["drawn"]),
        device=question.device,
        others=others,
        model=question.model,
        **question.params,
    )
    return pictured(examples, painted=question.labels_are == "paint")


_ANSWERS: Mapping[str, Callable[[Question], Steps[Any]]] = {
    "proposal": _proposal,
    "network": _network,
    "rates": _rates,
    "weights": _weights,
    "examples": _examples,
}
