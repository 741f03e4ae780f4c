"""``segtool predict MODEL IMAGE -o OUT``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_segtool.cli._options import Axes, Device, JsonProgress, Output, Slices, Spacing, check_labels_fit, check_map_fits, check_outputs, load
from napari_segtool.cli._report import follow, say
from napari_segtool.core.settings import read_settings
from napari_segtool.nets._pixel_size import told_of


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("predict", help="Say the class of every pixel with a trained model.")(predict)


def predict(
    model: Annotated[Path, typer.Argument(help="Run folder or model.")],
    image: Annotated[Path, typer.Argument(help="Image, or folder of numbered images.")],
    output: Output,
    probabilities: Annotated[
        Path | None, typer.Option("--probabilities", help="Also write the probabilities here (float32, class axis first).", show_default=False)
    ] = None,
    uncertainty: Annotated[
        Path | None, typer.Option("--uncertainty", help="Also write the uncertainty here (0 certain, 1 undecided).", show_default=False)
    ] = None,
    mirror: Annotated[
        str, typer.Option("--mirror", help="on: average over mirrored and turned images, eight times the work. auto: as the model was made for.")
    ] = "auto",
    close_gaps: Annotated[
        bool, typer.Option("--close-gaps/--keep-gaps", help="Draw faint boundaries on, where training found that this parts touching objects better.")
    ] = True,
    resample: Annotated[
        str, typer.Option("--resample", help="auto: show planes of another pixel size at the one the model learned at, where both are known. off: as they are.")
    ] = "auto",
    device: Device = "auto",
    slices: Slices = "",
    axes: Axes = "",
    spacing: Spacing = "",
    json_progress: JsonProgress = False,
) -> None:
    """Say the class of every pixel with a trained model."""
    from napari_segtool import api
    from napari_segtool.io._write import write_results

    check_outputs(output, probabilities, uncertainty)
    settings = read_settings()
    stack = load(image, axes=axes, spacing=spacing)
    check_labels_fit(output, stack)
    for target, classes in ((probabilities, True), (uncertainty, False)):
        if target is not None:
            check_map_fits(target, stack, classes)
    work = api.predict_steps(
        model,
        stack,
        slices=slices,
        device=settings.device if device == "auto" else device,
        precision=settings.precision,
        threads=settings.threads,
        probabilities=probabilities is not None,
        uncertainty=uncertainty is not None,
        mirror=mirror,
        close_gaps=close_gaps,
        resample=resample,
    )
    result = follow(work, as_json=json_progress, title="Predicting")
    made = ((result, output), (result.probabilities, probabilities), (result.uncertainty, uncertainty))
    write_results([(each, path) for each, path in made if each is not None and path is not None])
    told, text = told_of(result.history[-1].params), f"{output}: {result.labels.axes} {result.labels.shape}"
    say(f"{text}\n{told}" if told else text, as_json=json_progress, output=str(output), **({"message": told} if told else {}))
