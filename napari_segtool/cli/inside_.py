"""``segtool inside MODEL [IMAGE…] --what filters|activations|patches|receptive-field|layers|similar``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_segtool.cli._options import Axes, Device, JsonProgress, Slices, Spacing, check_output, load, parse_index
from napari_segtool.cli._report import follow, say
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.settings import read_settings
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_segtool.core.inside import Patch

_WHAT = ("layers", "filters", "activations", "patches", "receptive-field", "similar")
_NO_IMAGE = ("layers", "filters")


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("inside", help="Look inside a network: its layers, filters, activations, favourite patches, how far it sees.")(inside)


def inside(
    model: Annotated[Path, typer.Argument(help="Run folder or model.")],
    images: Annotated[list[Path] | None, typer.Argument(help="Image, or folder of numbered images; several for patches.", show_default=False)] = None,
    what: Annotated[str, typer.Option("--what", help=f"One of: {', '.join(_WHAT)}.", show_default=False)] = "layers",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write: .tif, or .json for similar.", show_default=False)] = None,
    layer: Annotated[str, typer.Option("--layer", help="A block of the network, as --what layers names it.", show_default=False)] = "",
    feature: Annotated[int, typer.Option("--feature", help="Number of a feature of that layer; -1 for all, where that makes sense.")] = -1,
    count: Annotated[int, typer.Option("--count", help="How many patches or similar places.")] = 9,
    at: Annotated[str, typer.Option("--at", help="The pixel whose receptive field is drawn: Z,Y,X.", show_default=False)] = "",
    plane: Annotated[str, typer.Option("--plane", help="Slice whose activations are shown: Z.", show_default=False)] = "",
    region: Annotated[str, typer.Option("--region", help="The object that others shall be like: LABELS:ID.", show_default=False)] = "",
    device: Device = "auto",
    slices: Slices = "",
    axes: Axes = "",
    spacing: Spacing = "",
    json_progress: JsonProgress = False,
) -> None:
    """Look inside a network."""
    from napari_segtool import api

    if what not in _WHAT:
        raise ParameterError(f"--what {what!r} is not known.", hint=f"Choose one of: {', '.join(_WHAT)}.")
    if output is not None:
        check_output(output, (".json",) if what == "similar" else (".tif", ".tiff"))
    elif what not in ("layers", "similar"):
        raise ParameterError(f"--what {what} needs a file to write.", hint="Give it with -o FILE.tif.")
    if not images and what not in _NO_IMAGE:
        raise ParameterError(f"--what {what} needs an image.", hint="Give it after the model.")
    stacks = [load(path, slices=slices, axes=axes, spacing=spacing) for path in images or []]
    asked: dict[str, Any] = {"device": read_settings().device if device == "auto" else device}

    def run(steps: Any) -> Any:
        return follow(steps, as_json=json_progress, title=what)

    if what == "layers":
        found = run(api.layers_steps(model, **asked))
        lines = [f"{one.name:12} {one.features:5} features  {'×'.join(map(str, one.scale_px))} px each  {one.weights:9} weights" for one in found]
        say("\n".join(lines), as_json=json_progress, layers=[vars(one) for one in found])
        return
    if what == "similar":
        places = run(api.similar_places_steps(model, stacks[0], _object(region, slices), layer=layer or "auto", count=count, **asked))
        records = [vars(place) for place in places]
        if output is not None:
            from napari_segtool.io._write import write_text

            write_text(json.dumps(records, indent=1), output)
        lines = [f"{place.plane} y {place.centre[0]} x {place.centre[1]}  alike {place.similarity:.2f}  uncertain {place.uncertainty:.2f}" for place in places]
        say("\n".join(lines), as_json=json_progress, places=records)
        return
    if what == "filters":
        result: Stack = run(api.filters_steps(model, layer=layer, **asked))
    elif what == "activations":
        chosen = (feature,) if feature >= 0 else ()
        result = run(api.activations_steps(model, stacks[0], layer or "auto", plane=parse_index(plane), features=chosen, **asked))
    elif what == "receptive-field":
        field = run(api.receptive_field_steps(model, stacks[0], parse_index(at), **asked))
        result = field.map
        say(f"effective {field.side_px:.0f} px across, {max(field.box[2] - field.box[0], field.box[3] - field.box[1])} px at most", as_json=json_progress)
    else:
        patches = run(api.patches_steps(model, stacks, layer or "auto", max(feature, 0), count=count, **asked))
        result = _sheet(patches, stacks)
        say("\n".join(f"image {one.image} {one.plane} y {one.centre[0]} x {one.centre[1]}: {one.value:.3g}" for one in patches), as_json=json_progress)
    assert output is not None
    api.write(result, output)
    say(f"{output}: {result.axes} {result.shape}", as_json=json_progress, output=str(output))


def _object(text: str, slices: str) -> Region:
    path, colon, number = text.rpartition(":")
    if not colon or not path or not number.strip().isdigit():
        raise ParameterError(f"--region {text!r} names no object.", hint="Give a label image and a number in it, for example --region objects.tif:12.")
    return Region.of_object(load(Path(path), slices=slices).data, int(number))


def _sheet(patches: Sequence[Patch], stacks: list[Stack]) -> Stack:
    """The patches as pages of one size, zero where an image is smaller."""
    import numpy as np

    if not patches:
        raise ParameterError("There is nothing to show: the images have no place that the feature answers to.", hint="Choose another feature.")
    sides = [max(patch.pixels.shape[axis] for patch in patches) for axis in (-2, -1)]
    channels = patches[0].pixels.shape[:-2]
    sheet = np.zeros((len(patches), *channels, *sides), np.result_type(*(patch.pixels.dtype for patch in patches)))
    for page, patch in zip(sheet, patches, strict=True):
        page[..., : patch.pixels.shape[-2], : patch.pixels.shape[-1]] = patch.pixels
    return Stack(sheet, "QCYX" if channels else "QYX", (), stacks[0].name)
