"""What an explainer is given: a network, one plane, and what is asked about it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_segtool import __version__
from napari_segtool.core.errors import DeviceError
from napari_segtool.core.planes import plane_axes
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.core.result import ModelBundle, Step, data_sha
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.core.wanted import Wanted, locate
from napari_segtool.explain._layers import named_layers
from napari_segtool.nets._forward import flushed_denormals, out_of_memory
from napari_segtool.nets._loaded import LoadedModel, Scenes, load_model
from napari_segtool.nets._tiling import Box, Tile, plan_tiles, tile_around


class Part:
    """A piece of the scene that is worked on at once.

    Attributes
    ----------
    tile : Tile
        Where it lies in the scene.
    pixels : Tensor
        float32, ``(1, C, [Z,] Y, X)``: the network's input, on its device.
    """

    def __init__(self, question: Question, tile: Tile, pixels: Tensor) -> None:
        self.tile, self.pixels, self._question = tile, pixels, question

    def score(self, logits: Tensor) -> Tensor:
        """Return what is explained, one number for each entry of the batch: the class's logits summed over the asked-for pixels.

        Parameters
        ----------
        logits
            ``(N, K, [Z,] Y, X)`` of this part, of its pixels or of changed ones.
        """
        return (logits[:, self._question.class_index] * self.mask(logits)).flatten(1).sum(1)

    def mask(self, logits: Tensor) -> Tensor:
        """Return 1 where the part's logits are asked about, else 0: ``([Z,] Y, X)``.

        For a whole class these are the pixels of the core given that class. The first call decides which, for good, and
        so must be given the logits of the unchanged pixels.
        """
        return self._question._mask(self.tile, logits)


class Question:
    """Why this class, here: a network, ready, and the plane it is asked about.

    Parameters
    ----------
    model
        The model in memory.
    stack
        The image.
    target
        Class, and pixel or plane. Without either the first plane is taken.

    Attributes
    ----------
    class_index : int
        Which logit is asked about.
    plane : tuple of int
        The plane, along `core.planes.plane_axes`.
    shape : tuple of int
        Its ``(Y, X)``: the shape of the map to return.
    point : tuple of int or None
        ``(y, x)`` of the pixel asked about; None for every pixel that is given the class, or, where none is, for all.
    network : torch.nn.Module
        In evaluation mode, weights fixed, nothing computed in place; hooks may be put on its modules by name.
    memo : dict
        Whatever an explainer wants to keep while this question is asked.

    Raises
    ------
    ModelError
        If the model has no such class, or the stack does not fit it.
    AxesError
        If the pixel or the plane is outside the stack.
    """

    def __init__(self, model: LoadedModel, stack: Stack, target: Target) -> None:
        self.model, self.target = model, target
        self.class_index = model.index_of(target.class_value)
        self.plane, self.point = locate(stack, target)
        self._scenes = Scenes(stack, model)
        self.shape = self._scenes.shape[-2:]
        position = dict(zip(plane_axes(stack), self.plane, strict=True))
        self._scene = tuple(position[axis] for axis in self._scenes.axes)
        self._depth = (position["Z"],) if len(self._scenes.shape) == 3 else ()
        self.network: nn.Module = model.forward.network
        self.memo: dict[str, Any] = {}
        self._masks: dict[tuple[tuple[int, int], ...], Tensor] = {}
        self._largest_px = model.forward.largest_px(gradient=True)
        self._everywhere = False

    def layers(self) -> dict[str, tuple[int, ...]]:
        """Names of the network's blocks in the order they work, with the pixels of the input one of theirs stands for."""
        return named_layers(self.model.forward)

    def parts(self, *, whole: bool = False) -> Iterator[Part]:
        """Cut the scene into pieces that fit the memory; scores and gradients of all of them add up to the plane's.

        Parameters
        ----------
        whole
            Cover the whole plane even for a question about one pixel. Else only what that pixel's logits can depend on:
            gradients are zero beyond.
        """
        forward, shape = self.model.forward, self._scenes.shape
        if self.point is not None and not whole:
            core = tuple(slice(i, i + 1) for i in (*self._depth, *self.point))
            tiles: tuple[Tile, ...] = (tile_around(core, shape, self.model.halo, forward.multiple),)
        else:
            halo, size = self.model.tile_size(shape, largest_px=self._largest_px)
            region: Box = (*(slice(z, z + 1) for z in self._depth), *(slice(0, n) for n in self.shape))
            tiles = plan_tiles(shape, size, halo, forward.multiple, region)
        for tile in tiles:
            pixels = torch.from_numpy(self._scenes.read(self._scene, tile.outer)[None]).to(forward.device)
            yield Part(self, tile, pixels)

    def logits(self, batch: Tensor) -> Tensor:
        """Return float32 logits of a batch; gradients flow to the batch where it requires them."""
        with flushed_denormals():
            return self.model.forward.differentiable(batch)

    def gradient(self, score: Tensor, of: Tensor) -> Tensor:
        """Return the derivative of a number (or of the sum of a batch's) with respect to a tensor."""
        with flushed_denormals():
            (slope,) = torch.autograd.grad(score.sum(), of)
        return slope

    def input_gradient_steps(self, change: Callable[[Tensor], Tensor] | None = None) -> Steps[Tensor]:
        """Return the derivative of the asked-for logits with respect to the plane's normalised pixels.

        Parameters
        ----------
        change
            Applied to each part's pixels before they are shown to the network, for methods that average over changed
            inputs. Which pixels are asked about is always decided on the unchanged ones.

        Returns
        -------
        Tensor
            float32, ``(C, Y, X)``, on the network's device. Of a 3-D network, the plane itself of the volume's gradient.
        """
        if change is not None and self.point is None:
            yield from self._decide_steps()
        total = torch.zeros(self.model.forward.channels, *self.shape, device=self.model.forward.device)
        while True:
            for part in self.parts():
                pixels = (part.pixels if change is None else change(part.pixels)).detach().requires_grad_()
                logits = self.logits(pixels)
                yield Progress(0, 0, "gradient")
                if part.mask(logits).any():
                    slope = self.gradient(part.score(logits), pixels)[0]
                    self.add(total, part.tile, slope)
                    yield Progress(0, 0, "gradient")
            if not self.ask_everywhere():
                return total

    def add(self, target: Tensor, tile: Tile, values: Tensor) -> None:
        """Add a part's ``(C, [Z,] Y, X)`` values, of all the pixels it shows, to a ``(C, Y, X)`` map of the plane."""
        if self._depth:
            values = values[:, self._depth[0] - tile.outer[0].start]
        target[:, tile.outer[-2], tile.outer[-1]] += values

    def grid(self, maps: Tensor, scale: tuple[int, ...]) -> Tensor:
        """Return an empty ``(F, y, x)`` picture of the plane on a layer's grid.

        Parameters
        ----------
        maps
            What the layer gave for some part, ``(1, F, [z,] y, x)``.
        scale
            Input pixels that one of the layer's spans, from `layers`.
        """
        sides = [-(-n // m) * m // s for n, m, s in zip(self.shape, self.model.forward.multiple[-2:], scale[-2:], strict=True)]
        return torch.zeros(maps.shape[1], *sides, device=maps.device)

    def paste(self, picture: Tensor, tile: Tile, maps: Tensor, scale: tuple[int, ...]) -> None:
        """Put what a layer gave for a part, ``(1, F, [z,] y, x)``, where the part's core lies in a `grid`."""
        depth = [(self._depth[0] - tile.outer[0].start) // scale[0]] if self._depth else []
        there, here = [], []
        for axis, (core, outer, n, step) in enumerate(zip(tile.core[-2:], tile.outer[-2:], self.shape, scale[-2:], strict=True), start=1):
            start, stop = core.start // step, picture.shape[axis] if core.stop == n else core.stop // step
            there.append(slice(start, stop))
            here.append(slice(start - outer.start // step, stop - outer.start // step))
        picture[(slice(None), *there)] = maps[(0, slice(None), *depth, *here)].float()

    def _decide_steps(self) -> Steps[None]:
        while True:
            for part in self.parts():
                if _key(part.tile) not in self._masks:
                    with torch.no_grad():
                        part.mask(self.logits(part.pixels))
                    yield Progress(0, 0, "looking")
            if not self.ask_everywhere():
                return

    def ask_everywhere(self) -> bool:
        """After a walk over the parts: if no pixel was given the class, ask about all pixels; True if the walk must be repeated."""
        if self._everywhere or self.point is not None or any(bool(mask.any()) for mask in self._masks.values()):
            return False
        self._everywhere = True
        self._masks.clear()
        self.memo["note"] = "The class is predicted nowhere here; this shows what speaks for it anywhere."
        return True

    def _mask(self, tile: Tile, logits: Tensor) -> Tensor:
        key = _key(tile)
        if key not in self._masks:
            core = list(tile.inner)
            if self._depth:
                inside = self._depth[0] - tile.outer[0].start
                core[0] = slice(inside, inside + 1)
            mask = torch.zeros(logits.shape[2:], device=logits.device)
            if self.point is not None:
                if all(axis.start <= i < axis.stop for i, axis in zip(self.point, tile.core[-2:], strict=True)):
                    mask[(*core[:-2], *(i - axis.start for i, axis in zip(self.point, tile.outer[-2:], strict=True)))] = 1
            else:
                chosen = (logits[0].detach().argmax(0) == self.class_index) | self._everywhere
                mask[tuple(core)] = chosen[tuple(core)].float()
            self._masks[key] = mask
        return self._masks[key]

    def smaller_parts(self) -> bool:
        """Halve the memory the parts take; False where they are as small as they can be."""
        least = math.prod(2 * n for n in self.model.forward.multiple)
        if self._largest_px <= least:
            return False
        self._largest_px //= 2
        self._masks.clear()
        self.memo.clear()
        self._everywhere = False
        return True


def explain_steps(
    bundle: ModelBundle,
    stack: Stack,
    explainer: str,
    target: Target,
    *,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    threads: int = 0,
    loaded: LoadedModel | None = None,
    **params: Any,
) -> Steps[Stack]:
    """Show which pixels made a model decide; yields `Progress` between passes.

    Parameters
    ----------
    bundle
        The model.
    stack
        The image.
    explainer
        Name from the registry of explainers.
    target
        Class, and pixel or plane; without either, the first plane.
    device, threads
        As for prediction.
    precision
        "float32", "bfloat16", or "auto": as for prediction, but float32 for a single pixel, where rounding does not average
        out, and for explainers with the trait ``"float32"``.
    loaded
        The model in memory where the caller keeps it.
    **params
        The explainer's parameters.

    Returns
    -------
    Stack
        float32 map of the explained plane, with the axes of the stack's labels, one entry long along the axes that
        planes are counted along (``(1, Y, X)`` for ``ZYX``), so that it lines up when shifted to the plane. Its ``memo``
        holds ``plane`` (the plane's index), ``history`` (the recipe) and, where there is something to say, ``note``.

    Raises
    ------
    ParameterError
        If the explainer or one of its parameters is unknown.
    ModelError, AxesError
        If the class, the pixel or the plane does not exist, or the stack does not fit the model.
    DeviceError
        If the device is absent or its memory is too small.
    """
    entry = EXPLAINERS.get(explainer)
    values = entry.params.build(**params)
    if loaded is None:
        yield Progress(0, 0, "loading the model")
        loaded = load_model(bundle, device=device, precision=precision, threads=threads)
    if precision == "auto" and ("float32" in entry.traits or target.point):
        loaded = replace(loaded, forward=loaded.forward.in_float32())
    question = Question(loaded, stack, target)
    drawn: NDArray[np.float32] | None = None
    with _out_of_place(question.network):
        while drawn is None:
            try:
                drawn = yield from entry.function(question, values)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            if drawn is None:
                loaded.forward.free_cache()
                if not question.smaller_parts():
                    raise DeviceError(
                        f"The memory of {loaded.forward.device} is too small to explain this.", hint="Close other programs that use it, or choose --device cpu."
                    )
    wanted = Wanted(stack, [question.plane])
    overlay = np.zeros(wanted.shape, np.float32)
    wanted.put(overlay, question.plane, np.asarray(drawn, np.float32))
    facts = {
        "model": str(bundle.path),
        "model_sha": str(bundle.card.get("weights_sha256", ""))[:16],
        "precision": loaded.forward.precision,
        "class": target.class_value,
        "point": list(target.point),
        "plane": list(question.plane),
        **values.model_dump(mode="json"),
    }
    step = Step(f"explain:{entry.name}", facts, __version__, data_sha(wanted.cut().data))
    memo = {"plane": question.plane, "history": (step,), **({"note": question.memo["note"]} if "note" in question.memo else {})}
    return Stack(overlay, stack.label_axes, stack.spacing_um, f"{stack.name} · {entry.title}".strip(" ·"), memo)


def _key(tile: Tile) -> tuple[tuple[int, int], ...]:
    return tuple((axis.start, axis.stop) for axis in (*tile.core, *tile.outer))


@contextlib.contextmanager
def _out_of_place(network: nn.Module) -> Iterator[None]:
    """Compute nothing in place for a while: hooks must see what a layer gave, not what the next made of it."""
    changed: list[Any] = [module for module in network.modules() if getattr(module, "inplace", False)]
    for module in changed:
        module.inplace = False
    try:
        yield
    finally:
        for module in changed:
            module.inplace = True
