"""How much each pixel would count in a training, as a file for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_segtool.cli._report import follow, say


def map_files(path: Path, images: int) -> tuple[Path, ...]:
    """Return the file of each image: the one asked for, or several, numbered in the order of the images.

    Examples
    --------
    >>> [file.name for file in map_files(Path("map.tif"), 2)]
    ['map-1.tif', 'map-2.tif']
    """
    return (path,) if images == 1 else tuple(path.with_stem(f"{path.stem}-{number}") for number in range(1, images + 1))


def write_weight_maps(path: Path, pairs: Sequence[Sequence[Any]], learner: str, order: Mapping[str, Any], *, as_json: bool) -> None:
    """Weigh the pixels as a training would, write a map for each image, and say what is in them."""
    from napari_segtool import api

    found = follow(api.weight_map_steps(pairs, learner, **order), as_json=as_json, title="Weighing pixels")
    files = map_files(path, len(found))
    for made, file in zip(found, files, strict=True):
        api.write(made.weights, file)
    w0, sigma_px, why = found[0].border_weight, found[0].border_sigma_px, found[0].why
    borders = f"border weight of {w0:g} for gaps of about {sigma_px:g} px" if w0 else f"borders are not weighed. {why}"
    lines = [f"{file}: weights up to {float(made.weights.data.max()):.3g}; {borders}" for made, file in zip(found, files, strict=True)]
    say("\n".join(lines), as_json=as_json, output=[str(file) for file in files], border_weight=w0, border_sigma_px=sigma_px, why=why)
