"""``segtool explain MODEL IMAGE --explainer NAME --class K -o OUT``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_segtool.cli._options import Axes, Device, JsonProgress, Output, Settings, Spacing, check_map_fits, check_output, load, parse_index, parse_settings
from napari_segtool.cli._report import follow, say
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.planes import plane_axes
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.core.settings import read_settings
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("explain", help="Show which pixels made a model decide for a class.")(explain)


def explain(
    model: Annotated[Path, typer.Argument(help="Run folder or model.")],
    image: Annotated[Path, typer.Argument(help="Image, or folder of numbered images.")],
    output: Output,
    explainer: Annotated[str, typer.Option("--explainer", help="See: segtool list explainers.", show_default=False)],
    class_value: Annotated[int, typer.Option("--class", help="Label value of the class to explain.", show_default=False)],
    against: Annotated[int, typer.Option("--against", help="Why this class rather than that: explain the difference.", show_default=False)] = -1,
    at: Annotated[str, typer.Option("--at", help="Explain this pixel: Z,Y,X (or Y,X).", show_default=False)] = "",
    slice_number: Annotated[int, typer.Option("--slice", help="Explain this slice; -1 is the one of --at, or the first.")] = -1,
    region: Annotated[str, typer.Option("--region", help="Explain an object: LABELS:ID, a label image and a number in it.", show_default=False)] = "",
    settings: Settings = [],  # noqa: B006
    trust: Annotated[bool, typer.Option("--trust", help="Also check whether the map can be trusted, and say so.")] = False,
    trust_json: Annotated[Path | None, typer.Option("--trust-json", help="The same, with all numbers written here as JSON.", show_default=False)] = None,
    device: Device = "auto",
    axes: Axes = "",
    spacing: Spacing = "",
    slices: Annotated[str, typer.Option("--slices", help="Only slices A:B along the first spatial axis.", show_default=False)] = "",
    json_progress: JsonProgress = False,
) -> None:
    """Show which pixels made a model decide for a class."""
    from napari_segtool import api

    values = parse_settings(settings, EXPLAINERS.get(explainer).params, explain)
    check_output(output)
    if trust_json is not None:
        check_output(trust_json, (".json",))
    stack = load(image, slices=slices, axes=axes, spacing=spacing)
    check_map_fits(output, stack)
    target = Target(class_value, parse_index(at), _plane(stack, slice_number), _region(region, slices) if region else None, against)
    asked: dict[str, Any] = {"device": read_settings().device if device == "auto" else device, **values}
    overlay = follow(api.explain_steps(model, stack, explainer, target, **asked), as_json=json_progress, title=explainer)
    report = None
    if trust or trust_json is not None:
        report = follow(api.trust_steps(model, stack, explainer, target, **asked), as_json=json_progress, title="Checking")
    api.write(overlay, output)
    if report is not None and trust_json is not None:
        from napari_segtool.io._write import write_text

        write_text(json.dumps(report.as_dict(), indent=1, ensure_ascii=False), trust_json)
    text = f"{output}: {overlay.axes} {overlay.shape} float32"
    more = {} if report is None else {"trust": report.as_dict()}
    say(text if report is None else f"{text}\n{report.words}", as_json=json_progress, output=str(output), **more)


def _region(text: str, slices: str) -> Region:
    path, colon, number = text.rpartition(":")
    if not colon or not path or not number.strip().isdigit():
        raise ParameterError(f"--region {text!r} names no object.", hint="Give a label image and a number in it, for example --region objects.tif:12.")
    return Region.of_object(load(Path(path), slices=slices).data, int(number))


def _plane(stack: Stack, slice_number: int) -> tuple[int, ...]:
    if slice_number < 0:
        return ()
    axes = plane_axes(stack)
    if stack.axes[stack.slice_axis] not in axes or slice_number >= stack.slices:
        raise ParameterError(f"There is no slice {slice_number}: the image has {stack.slices}.", hint=f"Choose from 0 to {stack.slices - 1}.")
    return tuple(slice_number if axis == stack.axes[stack.slice_axis] else 0 for axis in axes)
