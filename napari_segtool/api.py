"""The public verbs, each twice: ``segment_steps`` yields progress, ``segment`` runs it in place.

A path is accepted wherever a `Stack` is. Libraries that are slow to load are loaded by the verb that needs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool import __version__
from napari_segtool.core.errors import DataError, ParameterError
from napari_segtool.core.labels import Labels, Paint, as_label_array
from napari_segtool.core.planes import PlaneRule, map_planes
from napari_segtool.core.progress import Steps, drain
from napari_segtool.core.registry import FILTERS, METHODS, SAMPLES, Entry
from napari_segtool.core.result import ModelBundle, Prediction, Probabilities, Scores, Segmentation, Step, data_sha
from napari_segtool.core.stack import Stack, cut, parse_slices
from napari_segtool.core.target import Target

Image = Stack | str | Path
Marks = Labels | Paint | Segmentation | Stack | NDArray[Any] | str | Path


def read(path: str | Path, *, axes: str = "", spacing_um: Sequence[float] = ()) -> Stack:
    """Read an image file, or a folder of numbered images, as a stack.

    Parameters
    ----------
    path
        TIFF of any flavour, PNG, JPEG or BMP, or a folder of numbered images.
    axes
        One letter for each dimension, in place of what the file says ("ZYX"); empty keeps it.
    spacing_um
        Size of one sample along each spatial axis in µm, in place of what the file says; empty keeps it.

    Returns
    -------
    Stack
        Values exactly as stored. ``spacing_um`` is ``()`` where neither file nor caller says it.

    Raises
    ------
    FormatError
        If the file is missing, damaged, or of a format that cannot be read.
    AxesError, SpacingError
        If ``axes`` or ``spacing_um`` do not fit the pixels.
    """
    from napari_segtool.io._read import read_stack

    return read_stack(path, axes=axes, spacing_um=tuple(spacing_um))


def write(result: Segmentation | Prediction | Probabilities | Stack, path: str | Path) -> None:
    """Write a result as TIFF that Fiji, napari and tifffile open with its axes and spacing, recipe inside.

    Labels become uint8, uint16 or uint32, the smallest that fits. The file appears whole or not at all.

    Raises
    ------
    StorageError
        If the file cannot be written; an older file of that name is left as it was.
    """
    from napari_segtool.io._write import write_result

    write_result(result, path)


def sample(name: str, **params: Any) -> tuple[Stack, Labels]:
    """Make a bundled sample: a stack and its truth.

    Parameters
    ----------
    name
        "em" or "ultrasound"; see ``segtool list samples``.
    """
    entry = SAMPLES.get(name)
    made: tuple[Stack, Labels] = entry.function(entry.params.build(**params))
    return made


def segment_rule_steps(stack: Stack, method: str, **params: Any) -> Steps[PlaneRule | NDArray[Any]]:
    """Learn from the whole stack what a method needs, and return its rule for one plane (or the finished volume).

    For previews: apply the rule to the visible plane only, see `core.planes.read_plane`.
    """
    entry = METHODS.get(method)
    values = entry.params.build(**params)
    _check_pixels(stack)
    outcome: PlaneRule | NDArray[Any] = yield from entry.function(stack, values)
    return outcome


def segment_steps(image: Image, method: str, *, slices: str = "", **params: Any) -> Steps[Segmentation]:
    """Generator form of `segment`."""
    stack = _stack(image, slices)
    outcome = yield from segment_rule_steps(stack, method, **params)
    labels = outcome if isinstance(outcome, np.ndarray) else (yield from map_planes(stack, outcome))
    step = _step("segment", METHODS.get(method), params, stack)
    return Segmentation(Labels(as_label_array(labels), stack.label_axes), stack.spacing_um, (step,), f"{stack.name} · {METHODS.get(method).title}".strip(" ·"))


def segment(image: Image, method: str, *, slices: str = "", **params: Any) -> Segmentation:
    """Segment a stack with a classical method.

    Parameters
    ----------
    image
        Stack or path.
    method
        Name from ``segtool list methods``.
    slices
        ``A:B`` along the first spatial axis; empty takes all.
    **params
        The method's parameters.

    Returns
    -------
    Segmentation
        ``labels.data`` is uint8, uint16 or uint32, of the stack's shape without channels.

    Examples
    --------
    >>> stack = Stack(np.repeat([[10, 200]], 4, axis=0).astype(np.uint8), "YX")
    >>> segment(stack, "otsu").labels.data[0].tolist()
    [0, 1]
    """
    return drain(segment_steps(image, method, slices=slices, **params))


def apply_filter_steps(image: Image, name: str, *, slices: str = "", **params: Any) -> Steps[Stack]:
    """Generator form of `apply_filter`."""
    stack, entry = _stack(image, slices), FILTERS.get(name)
    values = entry.params.build(**params)
    _check_pixels(stack)
    outcome = yield from entry.function(stack, values)
    data = outcome if isinstance(outcome, np.ndarray) else (yield from map_planes(stack, outcome))
    axes = stack.axes if data.ndim == len(stack.axes) else stack.label_axes
    return Stack(data, axes, stack.spacing_um, f"{stack.name} · {entry.title}".strip(" ·"))


def apply_filter(image: Image, name: str, *, slices: str = "", **params: Any) -> Stack:
    """Filter a stack; returns a stack of the same spacing.

    Parameters
    ----------
    image
        Stack or path.
    name
        Name from ``segtool list filters``.
    slices
        ``A:B`` along the first spatial axis; empty takes all.
    **params
        The filter's parameters.
    """
    return drain(apply_filter_steps(image, name, slices=slices, **params))


def train_steps(
    pairs: Iterable[tuple[Image, Marks]],
    learner: str,
    *,
    run: str | Path,
    labels_are: Literal["mask", "paint"],
    minutes: float = 0,
    steps: int = 0,
    seed: int = 0,
    device: str = "auto",
    slices: str = "",
    class_names: Sequence[str] = (),
    resume: bool = False,
    model: str | Path = "",
    threads: int = 0,
    **params: Any,
) -> Steps[ModelBundle]:
    """Generator form of `train`; yields a `Progress` with loss and scores."""
    from napari_segtool.core.registry import LEARNERS
    from napari_segtool.training._run import create_run, open_run

    if resume:
        opened = open_run(run)
        entry = LEARNERS.get(opened.learner)
    else:
        entry = LEARNERS.get(learner)
        values = entry.params.build(**params)
        loaded = [_pair(image, marks, labels_are, slices) for image, marks in pairs]
        opened = create_run(
            run,
            loaded,
            learner,
            values,
            labels_are=labels_are,
            minutes=minutes,
            steps=steps,
            seed=seed,
            device=device,
            class_names=tuple(class_names),
            threads=threads,
            start_from=model,
        )
    bundle: ModelBundle = yield from entry.function(opened)
    return bundle


def train(
    pairs: Iterable[tuple[Image, Marks]],
    learner: str,
    *,
    run: str | Path,
    labels_are: Literal["mask", "paint"],
    minutes: float = 0,
    steps: int = 0,
    seed: int = 0,
    device: str = "auto",
    **params: Any,
) -> ModelBundle:
    """Learn from paint or dense labels and return the model.

    Parameters
    ----------
    pairs
        ``(stack, labels)`` pairs, or paths; shapes may differ from pair to pair.
    learner
        Name from ``segtool list learners``.
    run
        Folder for the run: config, events, checkpoints and the model. It must be new or empty.
    labels_are
        ``"mask"``: every pixel is labelled, distinct values in increasing order become classes 0…K-1.
        ``"paint"``: 0 is not labelled, 1…K are classes.
    minutes, steps
        Budget; with both 0 the learner's own.
    seed
        Seed of all random numbers; with a budget of steps the run repeats exactly on the CPU.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    **params
        The learner's parameters, and ``slices="A:B"``, ``class_names=(…)``, ``resume=True``.

    Raises
    ------
    PaintError
        If there is nothing to learn: no paint, one class, or paint taken for a mask.
    """
    return drain(train_steps(pairs, learner, run=run, labels_are=labels_are, minutes=minutes, steps=steps, seed=seed, device=device, **params))


def predict_steps(
    model: ModelBundle | str | Path,
    image: Image,
    *,
    device: str = "auto",
    slices: str = "",
    probabilities: bool = True,
    uncertainty: bool = True,
    **options: Any,
) -> Steps[Prediction]:
    """Generator form of `predict`."""
    from napari_segtool.inference._predict import predict_steps as steps
    from napari_segtool.nets._bundle import open_bundle

    bundle = model if isinstance(model, ModelBundle) else open_bundle(model)
    stack = _stack(image, slices)
    _check_pixels(stack)
    prediction: Prediction = yield from steps(bundle, stack, device=device, probabilities=probabilities, uncertainty=uncertainty, **options)
    return prediction


def predict(
    model: ModelBundle | str | Path,
    image: Image,
    *,
    device: str = "auto",
    slices: str = "",
    probabilities: bool = True,
    uncertainty: bool = True,
    **options: Any,
) -> Prediction:
    """Say the class of every pixel of a stack.

    Parameters
    ----------
    model
        Bundle, its folder, or a run folder.
    image
        Stack or path.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    slices
        ``A:B`` along the first spatial axis; empty takes all.
    probabilities, uncertainty
        Whether to return them too; without them memory is bounded by the tile.

    Returns
    -------
    Prediction
        ``labels.data`` in the numbering of the training labels; ``probabilities.data`` float32, class axis first.
    """
    return drain(predict_steps(model, image, device=device, slices=slices, probabilities=probabilities, uncertainty=uncertainty, **options))


def explain_steps(model: ModelBundle | str | Path, image: Image, explainer: str, target: Target | int, *, device: str = "auto", **params: Any) -> Steps[Stack]:
    """Generator form of `explain`."""
    from napari_segtool.explain._question import explain_steps as steps
    from napari_segtool.nets._bundle import open_bundle

    bundle = model if isinstance(model, ModelBundle) else open_bundle(model)
    stack = _stack(image, "")
    _check_pixels(stack)
    asked = target if isinstance(target, Target) else Target(int(target))
    overlay: Stack = yield from steps(bundle, stack, explainer, asked, device=device, **params)
    return overlay


def explain(model: ModelBundle | str | Path, image: Image, explainer: str, target: Target | int, *, device: str = "auto", **params: Any) -> Stack:
    """Show which pixels made the model decide.

    Parameters
    ----------
    model
        Bundle, its folder, or a run folder.
    image
        Stack or path.
    explainer
        Name from ``segtool list explainers``.
    target
        Class value, or a `Target` with a pixel or a plane.

    Returns
    -------
    Stack
        float32 map of the explained plane.
    """
    return drain(explain_steps(model, image, explainer, target, device=device, **params))


def evaluate_steps(
    prediction: Prediction | Marks, truth: Marks, *, probabilities: Probabilities | NDArray[Any] | str | Path | None = None, slices: str = ""
) -> Steps[Scores]:
    """Generator form of `evaluate`."""
    from napari_segtool.evaluate._evaluate import evaluate_steps as steps
    from napari_segtool.evaluate._evaluate import make_case

    if probabilities is None and isinstance(prediction, Prediction):
        probabilities = prediction.probabilities
    guess, actual = _marks(prediction), _marks(truth)
    whole = guess.shape
    if slices:
        actual = cut(actual, *parse_slices(slices))
        if guess.shape != actual.shape:
            guess = cut(guess, *parse_slices(slices))
    if isinstance(probabilities, str | Path):
        probabilities = np.asarray(read(probabilities).data)
    if probabilities is not None and guess.shape != whole:
        data = np.asarray(probabilities)[(slice(None), *(slice(None),) * guess.slice_axis, slice(*parse_slices(slices)))]
        probabilities = replace(probabilities, data=data) if isinstance(probabilities, Probabilities) else data
    scores: Scores = yield from steps(make_case(guess, actual, probabilities))
    return scores


def evaluate(
    prediction: Prediction | Marks, truth: Marks, *, probabilities: Probabilities | NDArray[Any] | str | Path | None = None, slices: str = ""
) -> Scores:
    """Score a prediction against the truth.

    Parameters
    ----------
    prediction, truth
        Labels of equal shape, as objects, arrays or paths. Truth values 0/255 are taken as classes 0/1.
    probabilities
        Class axis first; with them V_Rand and V_Info are the best over thresholds, as in ISBI 2012.
    slices
        ``A:B`` of the truth (and of the prediction where it has as many slices).
    """
    return drain(evaluate_steps(prediction, truth, probabilities=probabilities, slices=slices))


def _stack(image: Image, slices: str) -> Stack:
    stack = image if isinstance(image, Stack) else read(image)
    return cut(stack, *parse_slices(slices)) if slices else stack


def _marks(marks: Prediction | Marks) -> Stack:
    """Return labels of any form as a stack of label values."""
    if isinstance(marks, str | Path):
        return read(marks)
    if isinstance(marks, Stack):
        return marks
    if isinstance(marks, Prediction):
        marks = marks.segmentation
    if isinstance(marks, Segmentation):
        return Stack(marks.labels.data, marks.labels.axes, marks.spacing_um, marks.name)
    if isinstance(marks, Labels | Paint):
        return Stack(marks.data, marks.axes)
    array = np.asarray(marks)
    if array.ndim not in (2, 3, 4):
        raise DataError(f"Labels need 2 to 4 dimensions, got an array of shape {array.shape}.")
    return Stack(array, "TZYX"[-array.ndim :])


def _pair(image: Image, marks: Marks, labels_are: str, slices: str) -> tuple[Stack, Labels | Paint]:
    if labels_are not in ("mask", "paint"):
        raise ParameterError(f"labels_are = {labels_are!r} is not known.", hint='Say "mask" (every pixel is labelled) or "paint" (0 is not labelled).')
    stack, marked = _stack(image, slices), _marks(marks)
    if slices and marked.shape[marked.slice_axis] != stack.label_shape[stack.label_axes.index(stack.axes[stack.slice_axis])]:
        marked = cut(marked, *parse_slices(slices))
    array = np.asarray(marked.data)
    if array.ndim == 3 and marked.axes.endswith("S") and (array == array[..., :1]).all():
        array, marked = array[..., 0], replace(marked, data=array[..., 0], axes=marked.axes[:-1])
    kind = Labels if labels_are == "mask" else Paint
    axes = stack.label_axes if array.ndim == len(stack.label_axes) else marked.axes
    return stack, kind(as_label_array(array), axes)


def _check_pixels(stack: Stack) -> None:
    if 0 in stack.shape:
        raise DataError(f"{stack.name or 'The image'} has no pixels: its shape is {stack.shape}.")
    if np.dtype(stack.data.dtype).kind not in "buif":
        raise DataError(
            f"{stack.name or 'The image'} holds {stack.data.dtype} values, wanted whole numbers or floats.", hint="Convert it to 8 or 16 bit, or 32-bit float."
        )


def _step(kind: str, entry: Entry, params: dict[str, Any], stack: Stack) -> Step:
    values = entry.params.build(**params).model_dump(mode="json")
    return Step(f"{kind}:{entry.name}", values, __version__, data_sha(stack.data), int(values.get("seed", -1)))
