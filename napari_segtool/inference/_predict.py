"""Predict a stack tile by tile; memory is bounded by the tile, whatever the stack."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_segtool import __version__
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.result import ModelBundle, Prediction, Step, data_sha_steps
from napari_segtool.core.stack import Stack
from napari_segtool.core.wanted import Wanted
from napari_segtool.inference._canvas import Allocate, Canvas
from napari_segtool.inference._work import Work
from napari_segtool.nets._forward import flushed_denormals, out_of_memory
from napari_segtool.nets._loaded import LoadedModel, Scenes, load_model
from napari_segtool.nets._pixel_size import image_pixel_um, learned_pixel_um, resampling_text, zoom_between
from napari_segtool.nets._tiling import plan_tiles
from napari_segtool.nets._turns import Mirror, Turn, turns_of


def predict_steps(
    bundle: ModelBundle,
    stack: Stack,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    probabilities: bool = False,
    uncertainty: bool = False,
    mirror: Literal["auto", "on", "off"] = "auto",
    close_gaps: bool = True,
    resample: Literal["auto", "off"] = "auto",
    planes: Iterable[Sequence[int]] | None = None,
    allocate: Allocate = np.empty,
    loaded: LoadedModel | None = None,
) -> Steps[Prediction]:
    """Say the class of every pixel of a stack; yields `Progress` after each tile.

    Parameters
    ----------
    bundle
        The model.
    stack
        Any axes; a 2-D model takes it plane by plane, a 2.5-D one each plane with its neighbours (mirrored at the ends),
        a 3-D one volume by volume. NaN and infinite pixels are shown to the network as the median of their plane, and get
        a class like all others.
    device
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision
        "auto", "float32" or "bfloat16". With "float32" tiles overlap by the whole reach of the network, and the result
        is that of the untiled picture. With "auto" they do where that is cheap, else by half the reach: that changes
        less than the rounding of bfloat16 does.
    threads
        Processor cores for torch in this process; 0 leaves them as they are.
    probabilities, uncertainty
        Whether to return them too. Without them only the most probable class of each tile is kept.
    mirror
        "on": average over the eight mirrorings and quarter turns of each tile, eight times the work. "auto": as the
        model card says under ``mirror`` (``"sides"``: the tile and its mirror image), else off.
    close_gaps
        Whether to draw a boundary on through places where it is faint, with a line as strong as the boundary is on average (`methods._closed_contours`).
        Only models do it whose training found that it parts touching objects better (``separator`` on the model card).
    resample
        "auto": where the stack's pixel size is known and differs from the one the model learned at by more than 15 %, planes are
        shown to the network at the model's pixel size, and its probabilities are brought back to the stack's pixels; a
        `Progress` says so. Planes only: the distance of slices stays as it is. "off": pixels are shown as they are.
    planes
        Predict only these planes, indices along `core.planes.plane_axes`. The result then holds those planes alone:
        the shape of the stack's labels with as many entries along the plane axes as were asked for (``(1, Y, X)`` for
        one plane of ``ZYX``).
    allocate
        Makes each array of the result from a shape and a dtype.
    loaded
        The model in memory where the caller keeps it; ``device``, ``precision`` and ``threads`` are then its own.

    Returns
    -------
    Prediction
        Labels in the numbering of the training labels, in the smallest unsigned dtype; probabilities float32, class
        axis first; uncertainty float32, the entropy of the probabilities divided by its maximum. Labels are the largest
        probability; where the model card has a ``class_bias``, the probabilities hold it.

    Raises
    ------
    ModelError
        If the stack's channels or axes do not fit the model, or its files are damaged.
    DeviceError
        If the device is absent, or has no memory even for the smallest tile.
    """
    planes = None if planes is None else [tuple(plane) for plane in planes]
    if loaded is None:
        yield Progress(0, 0, "loading the model")
        loaded = load_model(bundle, device=device, precision=precision, threads=threads)
    wanted = Wanted(stack, planes)
    if resample not in ("auto", "off"):
        raise ParameterError(f"resample = {resample!r} is not known.", hint="Choose auto or off.")
    own_um, learned_um = image_pixel_um(stack), learned_pixel_um(bundle.card) if resample == "auto" else ()
    scenes = Scenes(stack, loaded, zoom_between(own_um, learned_um))
    told = resampling_text(own_um, learned_um)
    if told:
        yield Progress(0, 0, told)
    if mirror not in ("auto", "on", "off"):
        raise ParameterError(f"mirror = {mirror!r} is not known.", hint="Choose auto, on or off.")
    mirrored: Mirror = bundle.card.get("mirror", False) if mirror == "auto" else mirror == "on"
    turns = turns_of(mirrored)
    halo, core = loaded.tile_size(scenes.shape, exact=precision == "float32")
    if not scenes.grid.same:
        halo = (*halo[:-2], *(reach + margin for reach, margin in zip(halo[-2:], scenes.grid.margin, strict=True)))
    canvas = Canvas(loaded, scenes, wanted, allocate, probabilities=probabilities, uncertainty=uncertainty, close_gaps=close_gaps)
    work = Work(loaded.forward, scenes.shape, halo, placed=not scenes.grid.same)
    tiles = plan_tiles(scenes.shape, core, halo, loaded.forward.multiple, _region(scenes, wanted))
    for scene in wanted.indices(scenes.axes):
        work.add(scene, tiles)
    yield from _fill(canvas, scenes, work, turns, loaded)
    sha = yield from data_sha_steps(wanted.data)
    facts = {
        "model": str(bundle.path),
        "model_sha": str(bundle.card.get("weights_sha256", ""))[:16],
        "precision": loaded.forward.precision,
        "mirror": mirrored,
        "close_gaps": canvas.closes_gaps,
        "halo_px": list(halo),
        **({"resampled": not scenes.grid.same, "image_pixel_um": list(own_um), "model_pixel_um": list(learned_um)} if told else {}),
        **wanted.facts,
    }
    return canvas.finish(stack, Step(f"predict:{bundle.card['learner']}", facts, __version__, sha))


def _region(scenes: Scenes, wanted: Wanted) -> tuple[slice, ...]:
    """The part of a volume that holds the planes asked for; everything in 2-D."""
    if len(scenes.shape) == 2:
        return ()
    depths = wanted.along("Z")
    return (slice(min(depths), max(depths) + 1), *(slice(0, n) for n in scenes.shape[1:]))


def _fill(canvas: Canvas, scenes: Scenes, work: Work, turns: Sequence[Turn], model: LoadedModel) -> Steps[None]:
    forward, grid = work.forward, scenes.grid
    chances = canvas.wants_probabilities or len(turns) > 1 or not grid.same  # probabilities can be interpolated, numbers that rank classes cannot
    for batch in work.batches():
        total: Tensor | None = None
        slowest_s = 0.0
        try:
            pixels = torch.from_numpy(np.stack([scenes.read(scene, tile.outer) for scene, tile in batch]))
            pixels, decided = forward.prepared(pixels, [grid.decided(tile.core, tile.outer) for _, tile in batch])
            for turn in turns:
                begin = time.perf_counter()
                scores = turn.undo(_scores(model, turn.apply(pixels), chances=chances))
                total = scores if total is None else total + scores
                slowest_s = max(slowest_s, time.perf_counter() - begin)
                if len(turns) > 1:
                    yield Progress(work.done_px, work.total_px, "tile")
            assert total is not None
            for (scene, tile), box, scores in zip(batch, decided, total / len(turns), strict=True):
                place, known = grid.back(tile.core, grid.grown(tile.core, tile.outer), scores[(slice(None), *box)])
                if any(part.start == part.stop for part in place):  # of pixels larger than the tile none may have its centre there
                    continue
                for _ in canvas.put_steps(scene, place, known, chances=chances):
                    yield Progress(work.done_px, work.total_px, "closing gaps")
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            total = None
            forward.free_cache()
            work.again(batch)
            yield Progress(work.done_px, work.total_px, "out of memory; smaller tiles")
            continue
        work.done(batch, slowest_s)
        yield Progress(work.done_px, work.total_px, "tile")


def _scores(model: LoadedModel, batch: Tensor, *, chances: bool) -> Tensor:
    logits = model.forward.decided(batch)
    with torch.inference_mode(), flushed_denormals():
        return model.chances(logits) if chances else model.ranks(logits)
