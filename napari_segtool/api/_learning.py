"""Training, prediction and explanation. torch is loaded by the verb that needs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from napari_segtool.api._pairs import Weights, pairs_of
from napari_segtool.api._sources import Image, Marks, check_pixels, planes_of, stack_of
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import Steps, drain
from napari_segtool.core.result import ModelBundle, Prediction
from napari_segtool.core.stack import Stack, cut, parse_slices
from napari_segtool.core.target import Target


def train_steps(
    pairs: Iterable[tuple[Image, Marks] | tuple[Image, Marks, Weights]],
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
    from napari_segtool.nets._forward import resolve_device
    from napari_segtool.training.runs._refused import gone_if_refused
    from napari_segtool.training.runs._resume import resume_run
    from napari_segtool.training.runs._run import create_run

    bundle: ModelBundle
    if resume:
        opened = resume_run(run, params, minutes=minutes, steps=steps, seed=seed, device=device, threads=threads, model=model)
        bundle = yield from LEARNERS.get(opened.learner).function(opened)
        return bundle
    entry = LEARNERS.get(learner)
    values = entry.params.build(**params)
    resolve_device(device)  # before images are read and copied
    loaded = pairs_of(pairs, labels_are, slices)
    with gone_if_refused(run):
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
        bundle = yield from entry.function(opened)
        return bundle


def train(
    pairs: Iterable[tuple[Image, Marks] | tuple[Image, Marks, Weights]],
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
        ``(stack, labels)`` pairs, or paths; shapes may differ from pair to pair. ``(stack, labels, weights)`` says how much each pixel counts, by where
        its label comes from or how sure you are: real numbers of the labels' shape, or a path; 2 counts twice, 0 not at all.
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
        The learner's parameters, and ``slices="A:B"``, ``class_names=(…)``, and ``model=…`` to begin with the weights of a trained model: what of the
        network is on its default is then built as that model's. ``resume=True`` goes on with ``run`` and its own copies of the images, ``pairs`` are not
        looked at; only device, threads and budget may be other ones, the budget that of the whole run.

    Raises
    ------
    PaintError
        If there is nothing to learn: no paint, one class, or paint taken for a mask.
    ModelError
        If the model to go on from is damaged, or does not fit.
    ParameterError
        If a run that is resumed is to change what it cannot.
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
    stack = stack_of(image, "")
    if slices and "planes" in options:
        raise ParameterError("Both slices and planes are asked for.", hint="Give one of them.")
    if slices and stack.slices > 1:
        options["planes"] = planes_of(stack, slices)
    elif slices:
        stack = cut(stack, *parse_slices(slices))
    check_pixels(stack)
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
        ``A:B`` along the first spatial axis; empty takes all. They are predicted as parts of the whole stack: a model of neighbouring slices or of
        volumes sees what lies beside them. Only they and what the model looks at beside them is read.
    probabilities, uncertainty
        Whether to return them too; without them memory is bounded by the tile, or where gaps are closed by the probabilities of a plane.
    **options
        ``mirror`` ("auto", "on", "off"), ``close_gaps`` (True), ``resample`` ("auto", "off": planes of another pixel size are shown at the model's, or as they
        are), ``precision``, ``threads``, ``planes``, ``allocate``: see `inference._predict.predict_steps`.

    Returns
    -------
    Prediction
        ``labels.data`` in the numbering of the training labels; ``probabilities.data`` float32, class axis first.
    """
    return drain(predict_steps(model, image, device=device, slices=slices, probabilities=probabilities, uncertainty=uncertainty, **options))


def explain_steps(model: ModelBundle | str | Path, image: Image, explainer: str, target: Target | int, *, device: str = "auto", **params: Any) -> Steps[Stack]:
    """Generator form of `explain`."""
    from napari_segtool.explain._explain import explain_steps as steps
    from napari_segtool.nets._bundle import open_bundle

    bundle = model if isinstance(model, ModelBundle) else open_bundle(model)
    stack = stack_of(image, "")
    check_pixels(stack)
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
        Class value, or a `Target` with a pixel, a region, an object or a plane, and another class it is compared with.

    Returns
    -------
    Stack
        float32 map of the explained plane.
    """
    return drain(explain_steps(model, image, explainer, target, device=device, **params))
