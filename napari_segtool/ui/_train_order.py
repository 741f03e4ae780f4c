"""What a training is to learn from and how: as the panel shows it now, complete or not, and as a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from napari.layers import Labels as LabelsLayer

from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.params import Params
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack
from napari_segtool.training.augment._text import parse_effects
from napari_segtool.training.losses._text import parse_loss
from napari_segtool.ui._bridge import axes_of, data_of, fits, labels_of, paint_of
from napari_segtool.ui._session import Session
from napari_segtool.ui._train_folder import delete_run, fresh_title, new_run_folder, rename_run
from napari_segtool.ui._train_marks import LabelsAre, missing_class, names_for
from napari_segtool.ui._train_settings import TrainSettings


@dataclass(frozen=True, eq=False)
class Order:
    """What a new training is to be: everything that `training.runs._run.create_run` wants."""

    pairs: tuple[tuple[Stack, Labels | Paint, Stack | None], ...]
    """Image, labels, and how much each pixel counts."""
    layers: tuple[Image, ...]
    learner: str
    params: Params
    labels_are: LabelsAre
    class_names: Mapping[int, str] = field(default_factory=dict)
    minutes: float = 0
    steps: int = 0
    seed: int = 0
    device: str = "auto"
    model: Path | None = None
    """To go on from; None starts anew."""


@dataclass(frozen=True)
class Missing:
    """Why nothing can be learned yet; ``paint`` where painting mends it."""

    text: str
    paint: bool = False


def order_of(session: Session, settings: TrainSettings) -> Order | Missing:
    """Return what the panel shows as an order, or what is missing.

    Raises
    ------
    SegtoolError
        If a setting is not allowed, or the axes of a layer are not understood.
    """
    image, labels = session.image, session.labels
    if image is None:
        return Missing("Open an image first.")
    if labels is None:
        return Missing("There is nothing to learn from yet. Paint a few strokes of each class.", True)
    if not fits(labels, image):
        return Missing(f"The labels “{labels.name}” do not fit the image: they have another size. Choose those that were painted on it.", True)
    labels_are = settings.labels_are
    lacking = "" if session.paint.busy else missing_class(labels, session.paint.counts, labels_are)
    if lacking:
        return Missing(lacking, True)
    params = settings.params()
    if params is None:
        return Missing("There is nothing that could learn: no learner is installed.")
    _check_texts(params)
    marks: Callable[[LabelsLayer], Labels | Paint] = paint_of if labels_are == "paint" else labels_of
    layers: list[tuple[Image, LabelsLayer]] = [(image, labels), *settings.others.pairs()]
    weights = settings.weights.layer()
    weighing = None if weights is None else Stack(data_of(weights), axes_of(labels), name=weights.name)
    return Order(
        pairs=tuple((session.stack(each), marks(its_labels), weighing if number == 0 else None) for number, (each, its_labels) in enumerate(layers)),
        layers=tuple(each for each, _ in layers),
        learner=settings.learner_name,
        params=params,
        labels_are=labels_are,
        class_names=names_for(labels, labels_are),
        minutes=settings.budget.minutes,
        steps=settings.budget.steps,
        seed=settings.seed.value(),
        device=settings.device.device(),
        model=settings.start.model,
    )


def _check_texts(params: Params) -> None:
    """Tell a slip of the pen here, not when the training begins."""
    loss = str(getattr(params, "loss", "auto"))
    if loss != "auto":
        parse_loss(loss)
    parse_effects(str(getattr(params, "effects", "auto")))


def make_run(order: Order, root: Path, threads: int) -> Steps[Path]:
    """Make the run folder of an order and copy the images into it; left early, nothing stays behind."""
    from napari_segtool.training.runs._run import create_run

    yield Progress(0, 0, "copying the images")
    folder = new_run_folder(root, order.pairs[0][0].name, order.learner)
    pairs = [(stack, type(marks)(_settled(marks.data), marks.axes, marks.class_names), weights) for stack, marks, weights in order.pairs]
    run = create_run(
        folder,
        pairs,
        order.learner,
        order.params,
        labels_are=order.labels_are,
        minutes=order.minutes,
        steps=order.steps,
        seed=order.seed,
        device=order.device,
        threads=threads,
        class_names=_names(order, [marks.data for _, marks, _ in pairs]),
        start_from=order.model or "",
    )
    wanted = False
    try:
        rename_run(run.folder, fresh_title(root, f"{order.pairs[0][0].name} · {time.strftime('%d %b %H:%M')}"))
        import pyqtgraph  # noqa: F401  here, so that the curves do not stall the window when they first appear

        yield Progress(1, 1, "ready")
        wanted = True
        return run.folder
    finally:
        if not wanted:
            delete_run(run.folder)


def _names(order: Order, marked: Sequence[Any]) -> tuple[str, ...]:
    """One name for each value that occurs; none where one of them has no name."""
    values = sorted({int(value) for data in marked for index in range(len(data)) for value in np.unique(data[index])})
    wanted = [value for value in values if value or order.labels_are == "mask"]
    return tuple(order.class_names[value] for value in wanted) if all(value in order.class_names for value in wanted) else ()


def _settled(data: Any) -> Any:
    """A copy, so that a stroke painted while the labels are read and counted does not make them contradict themselves."""
    return data.copy() if isinstance(data, np.ndarray) else data
