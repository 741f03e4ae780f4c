"""``segtool demo``: the whole loop headless, with pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from napari_segtool.cli._options import JsonProgress
from napari_segtool.cli._report import follow, say
from napari_segtool.core.errors import ParameterError, ShapeError, StorageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_segtool.core.stack import Stack


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo", help="Run the whole loop without a window: paint, segment, train, predict, explain, evaluate, export; with pictures.")(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; made if missing.")] = Path("segtool-demo"),
    image: Annotated[Path | None, typer.Option("--image", help="Your own stack; a bundled sample without.", show_default=False)] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="Its true labels.", show_default=False)] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0.05, help="Time to train.")] = 2.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random numbers.")] = 0,
    json_progress: JsonProgress = False,
) -> None:
    """Run the whole loop without a window."""
    from napari_segtool import api
    from napari_segtool.annotate.strokes import simulated_strokes
    from napari_segtool.cli import _figures
    from napari_segtool.core.labels import Labels, Paint
    from napari_segtool.core.result import Segmentation
    from napari_segtool.core.target import Target
    from napari_segtool.io._write import write_text

    if (image is None) != (labels is None):
        raise ParameterError("Only one of --image and --labels was given.", hint="Give both, or neither for the bundled sample.")
    if image is None or labels is None:
        stack, made = api.sample("em")
        truth = np.asarray(made.data)
    else:
        stack, truth = api.read(image), np.asarray(api.read(labels).data)
    if truth.shape != stack.label_shape or truth.ndim != 3:
        raise ShapeError(
            f"The demo needs a stack of slices and labels of its shape, got {stack.label_shape} and {truth.shape}.", hint="Give a (Z, Y, X) stack."
        )
    run = out / "run"
    if run.exists() and any(run.iterdir()):
        raise StorageError(f"{out} already holds a demo.", hint="Choose another folder with --out, or delete it.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {out} cannot be made: {error.strerror}.", hint="Choose another with --out.") from None

    painted, shown = _painted_slices(stack.slices)
    paint = simulated_strokes(truth, painted, seed=seed)
    api.write(Segmentation(Labels(paint, stack.label_axes), stack.spacing_um, (), "paint"), out / "paint.tif")
    api.write(stack, out / "image.tif")
    classical = {}
    methods: dict[str, dict[str, Any]] = {"otsu": {}, "kmeans": {"clusters": 3}}
    for name, params in methods.items():
        classical[name] = follow(api.segment_steps(stack, name, **params), as_json=json_progress, title=name)
        api.write(classical[name], out / f"{name}.tif")
    bundle = follow(
        api.train_steps([(stack, Paint(paint, stack.label_axes))], "unet", run=run, labels_are="paint", minutes=minutes, seed=seed),
        as_json=json_progress,
        title="Training",
    )
    prediction = follow(api.predict_steps(bundle, stack, probabilities=True, uncertainty=True), as_json=json_progress, title="Predicting")
    api.write(prediction, out / "labels.tif")
    if prediction.probabilities is not None:
        api.write(prediction.probabilities, out / "probabilities.tif")
    unseen = [index for index in range(stack.slices) if index not in painted]
    scores = api.evaluate(np.asarray(prediction.labels.data)[unseen], _as_paint(truth)[unseen])
    write_text(json.dumps(scores.as_dict(), indent=2) + "\n", out / "scores.json")
    maps: dict[str, Stack] = {}
    for explainer in ("gradient", "gradcam"):
        maps[explainer] = follow(api.explain_steps(bundle, stack, explainer, Target(1, plane=(shown,))), as_json=json_progress, title=explainer)
        api.write(maps[explainer], out / f"{explainer}.tif")
    _figures.overview(stack, paint, truth, classical, prediction, maps, painted[0], shown, out / "overview.png")
    _figures.curves(run, out / "curves.png")
    dice = ", ".join(f"{name} {values['dice']:.2f}" for name, values in scores.classes.items())
    say(
        f"{out}: painted {100 * float((paint[painted] > 0).mean()):.1f} % of {len(painted)} slices, trained {minutes:g} min.\n"
        f"Dice on the {len(unseen)} unpainted slices: {dice}. V_Rand {scores.overall['v_rand']:.3f}.\n"
        f"Look at {out / 'overview.png'} and {out / 'curves.png'}; open {out / 'labels.tif'} in Fiji or napari.",
        as_json=json_progress,
        output=str(out),
        scores=scores.as_dict(),
    )


def _painted_slices(count: int) -> tuple[list[int], int]:
    """Choose up to three slices to paint, spread over the stack, and one unpainted slice to show."""
    painted = sorted({count // 6, count // 2, (5 * count) // 6}) if count > 3 else [0]
    return painted, next((index for index in range(count // 3, count) if index not in painted), 0)


def _as_paint(truth: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Number the classes of the truth 1…K, as paint does."""
    return (np.searchsorted(np.unique(truth), truth) + 1).astype(np.uint8)
