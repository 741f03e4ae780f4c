"""``segtool train``: learn from paint or labels, into a run folder."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_segtool.cli._examples_figure import write_examples
from napari_segtool.cli._looks import check_new, look_wanted
from napari_segtool.cli._options import Axes, JsonProgress, Settings, Slices, Spacing, load, parse_settings
from napari_segtool.cli._proposal import tell_proposal
from napari_segtool.cli._rates import tell_rates
from napari_segtool.cli._report import follow, say
from napari_segtool.cli._weight_maps import map_files, write_weight_maps
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.settings import read_settings


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("train", help="Learn a model from paint or labels. Ctrl-C keeps the last checkpoint: go on with --resume.")(train)


def train(
    image: Annotated[list[Path], typer.Option("-i", "--image", help="Image; may be repeated, one for each -l.", show_default=False)] = [],  # noqa: B006
    labels: Annotated[list[Path], typer.Option("-l", "--labels", help="Its labels or paint.", show_default=False)] = [],  # noqa: B006
    weights: Annotated[
        list[Path], typer.Option("-w", "--weights", help="How much each pixel counts: an image of numbers. None, or one for each -i.", show_default=False)
    ] = [],  # noqa: B006
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Run folder; new or empty, unless --resume.", show_default=False)] = None,
    learner: Annotated[str, typer.Option("--learner", help="See: segtool list learners.")] = "unet",
    labels_are: Annotated[str, typer.Option("--labels-are", help="mask: every pixel is labelled. paint: 0 is not labelled.")] = "mask",
    minutes: Annotated[float, typer.Option("--minutes", min=0, help="Time to train; 0 leaves it to --steps, or to the learner.")] = 0,
    steps: Annotated[int, typer.Option("--steps", min=0, help="Steps to train; 0 leaves it to --minutes.")] = 0,
    settings: Settings = [],  # noqa: B006
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps; auto asks the settings.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random numbers.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last good checkpoint of the run folder.")] = False,
    again: Annotated[
        Path | None, typer.Option("--again", help="Train once more what this run trained: its images, settings and seed.", show_default=False)
    ] = None,
    start_from: Annotated[Path | None, typer.Option("--from", help="Start from the weights of this model.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and why, with memory and time, and do not train.")] = False,
    find_rate: Annotated[bool, typer.Option("--find-rate", help="Find a learning rate by a short test (about 100 steps), and do not train.")] = False,
    weight_map: Annotated[
        Path | None,
        typer.Option(
            "--weight-map", help="Write how much each pixel counts into this TIFF (map-1.tif, … for several images); do not train.", show_default=False
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option("--examples", help="Draw patches of the first image as the network sees them into this PNG; do not train.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="With --dry-run or --find-rate: as JSON.")] = False,
    threads: Annotated[int, typer.Option("--threads", min=0, help="Processor cores to train with; 0 takes all.")] = 0,
    slices: Slices = "",
    axes: Axes = "",
    spacing: Spacing = "",
    json_progress: JsonProgress = False,
) -> None:
    """Learn a model from paint or labels."""
    from napari_segtool import api

    look = look_wanted({"--dry-run": dry_run, "--find-rate": find_rate, "--weight-map": weight_map, "--examples": examples}, resume=resume)
    if output is None and not look:
        raise ParameterError("No run folder was given.", hint="Say where the run goes: -o RUN.")
    if again is not None and (image or labels or weights or settings or minutes or steps or seed or threads or resume or start_from or look):
        raise ParameterError("A run that is repeated has its images, settings, budget and seed already.", hint="Give --again and -o alone.")
    if again is not None and output is not None:
        repeating = api.repeat_steps(again, run=output)
        return _tell_model(follow(repeating, as_json=json_progress, title=f"Training {output.name}"), output, as_json=json_progress)
    values = parse_settings(settings, _params_of(learner, output if resume else None), train)
    if resume and (image or labels or weights):
        sys.stderr.write("A run that is resumed has its own copies of its images and labels: those given now are not read.\n")
    check_new(map_files(weight_map, len(image)) if weight_map else [], (".tif", ".tiff"))
    check_new([examples] if examples else [], (".png",))
    pairs = [] if resume else _pairs(image, labels, weights, axes, spacing)
    device = read_settings().device if device == "auto" and not resume else device
    order: dict[str, Any] = dict(labels_are=labels_are, device=device, slices=slices, model=start_from or "", **values)
    if weight_map is not None:
        return write_weight_maps(weight_map, pairs, learner, {**order, "seed": seed}, as_json=json_progress)
    if examples is not None:
        return write_examples(examples, pairs, learner, {**order, "seed": seed}, as_json=json_progress)
    order["threads"] = threads
    if dry_run:
        proposing = api.propose_steps(pairs, learner, minutes=minutes, steps=steps, **order)
        return tell_proposal(follow(proposing, as_json=json_progress, title="Looking"), as_json=json)
    if find_rate:
        source = output if resume and output is not None else pairs
        testing = api.rate_range_steps(source, learner, steps=steps or 100, seed=seed, **order)
        return tell_rates(follow(testing, as_json=json_progress, title="Testing learning rates"), as_json=json)
    assert output is not None
    work = api.train_steps(pairs, learner, run=output, minutes=minutes, steps=steps, seed=seed, resume=resume, **order)
    return _tell_model(follow(work, as_json=json_progress, title=f"Training {output.name}"), output, as_json=json_progress)


def _pairs(image: list[Path], labels: list[Path], weights: list[Path], axes: str, spacing: str) -> list[Any]:
    """Images with their labels and, where given, weights; the images are read."""
    if not image or len(image) != len(labels):
        raise ParameterError(f"{len(image)} image(s) and {len(labels)} label file(s) were given.", hint="Give one -l for each -i, in the same order.")
    if weights and len(weights) != len(image):
        raise ParameterError(f"{len(image)} image(s) and {len(weights)} file(s) of weights were given.", hint="Give one -w for each -i, in the same order.")
    given = zip(image, labels, weights or itertools.repeat(None, len(image)), strict=True)
    return [(load(picture, axes=axes, spacing=spacing), marks, mass) for picture, marks, mass in given]


def _params_of(learner: str, resumed: Path | None) -> type[Params]:
    """What can be set of a learner, or of that of the run that goes on."""
    from napari_segtool.training.runs._run import open_run

    return LEARNERS.get(learner if resumed is None else open_run(resumed).learner).params


def _tell_model(bundle: ModelBundle, output: Path, *, as_json: bool) -> None:
    """Say that the model is there, and how it scores."""
    scores = dict(bundle.card.get("scores", {}))
    told = " · ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in scores.items() if isinstance(value, int | float) and value == value)
    say(f"{output}: model ready{' · ' + told if told else ''}", as_json=as_json, output=str(output), scores=scores)
