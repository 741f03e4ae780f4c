"""What an explainer is given: a network, one plane, and what is asked about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.planes import plane_axes
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.core.wanted import locate, place_region
from napari_segtool.explain._asked import NOWHERE, Asked
from napari_segtool.explain._layers import named_layers
from napari_segtool.nets._forward import flushed_denormals
from napari_segtool.nets._loaded import LoadedModel, Scenes
from napari_segtool.nets._tiling import Box, Tile, fitting_core, plan_tiles, tile_around

_LARGEST_GRID_BYTES = 1 << 30
_NEARER = (0.8, 0.65, 0.5, 0.4, 0.3, 0.2, 0.1)
"""Shares of the network's reach that are tried where all of it does not fit the memory: attention falls off from the centre."""


class Part:
    """A piece of the scene that is worked on at once.

    Attributes
    ----------
    tile : Tile
        Where it lies in the scene.
    pixels : Tensor
        float32, ``(1, C, [Z,] Y, X)``: the network's input, on its device.
    """

    def __init__(self, asked: Asked, tile: Tile, pixels: Tensor) -> None:
        self.tile, self.pixels, self._asked = tile, pixels, asked

    def score(self, logits: Tensor) -> Tensor:
        """Return what is explained, one number for each entry of the batch: the class's logits summed over the asked-for pixels.

        Where another class is compared with, it is the difference of both logits.

        Parameters
        ----------
        logits
            ``(N, K, [Z,] Y, X)`` of this part, of its pixels or of changed ones.
        """
        return (self._asked.values(logits) * self.mask(logits)).flatten(1).sum(1)

    def mask(self, logits: Tensor) -> Tensor:
        """Return 1 where the part's logits are asked about, else 0: ``([Z,] Y, X)``.

        For a whole class these are the pixels of the core given that class. The first call decides which, for good, and
        so must be given the logits of the unchanged pixels.
        """
        return self._asked.mask(self.tile, logits)


class Question:
    """Why this class, here: a network, ready, and the plane it is asked about.

    Parameters
    ----------
    model
        The model in memory.
    stack
        The image.
    target
        Class, and pixel, region or plane. Without any the first plane is taken.

    Attributes
    ----------
    asked : Asked
        Which logits are asked about.
    plane : tuple of int
        The plane, along `core.planes.plane_axes`.
    shape : tuple of int
        Its ``(Y, X)``: the shape of the map to return.
    point : tuple of int or None
        ``(y, x)`` of the pixel asked about; None for a region, or for every pixel that is given the class, or, where none is, for all.
    network : torch.nn.Module
        In evaluation mode, weights fixed, nothing computed in place; hooks may be put on its modules by name.
    memo : dict
        Whatever an explainer wants to keep while this question is asked.

    Raises
    ------
    ModelError
        If the model has no such class, or the stack does not fit it.
    AxesError
        If the pixel, the region or the plane is outside the stack.
    """

    def __init__(self, model: LoadedModel, stack: Stack, target: Target) -> None:
        self.model, self.target = model, target
        self.plane, self.point = locate(stack, target)
        self._scenes = Scenes(stack, model)
        self.shape = self._scenes.shape[-2:]
        position = dict(zip(plane_axes(stack), self.plane, strict=True))
        self._scene = tuple(position[axis] for axis in self._scenes.axes)
        self._depth = (position["Z"],) if len(self._scenes.shape) == 3 else ()
        box: Box | None = None
        inside: NDArray[np.bool_] | None = None
        if self.point is not None:
            inside = np.ones((1,) * len(self._scenes.shape), bool)
            box = tuple(slice(i, i + 1) for i in (*self._depth, *self.point))
        elif target.region is not None:
            start, inside = place_region(stack, target.region, self.plane, "ZYX" if self._depth else "YX")
            box = tuple(slice(first, first + n) for first, n in zip(start, inside.shape, strict=True))
        self.asked = Asked(model, target.class_value, target.against, box, inside, self._depth)
        self.network: nn.Module = model.forward.network
        self.memo: dict[str, Any] = {}
        self._largest_px = model.forward.largest_px(gradient=True)

    @property
    def class_index(self) -> int:
        """Which logit is asked about."""
        return self.asked.index

    def layers(self) -> dict[str, tuple[int, ...]]:
        """Names of the network's blocks in the order they work, with the pixels of the input one of theirs stands for."""
        return named_layers(self.model.forward)

    def tiles(self, *, whole: bool = False) -> tuple[Tile, ...]:
        """Cut the scene into pieces that fit the memory; scores and gradients of all of them add up to the plane's.

        Parameters
        ----------
        whole
            Cover the whole plane even for a question about one pixel or a region. Else only what their logits can depend on:
            gradients are zero beyond. Where that does not fit, as in volumes, the nearer part of it, which has nearly all of the effect.
        """
        forward, shape = self.model.forward, self._scenes.shape
        box = self.asked.box
        if box is not None and not whole:
            for share in (1.0, *_NEARER):
                tile = tile_around(box, shape, self._reach(share), forward.multiple)
                if math.prod(tile.outer_shape) <= self._largest_px and (share >= 0.5 or self.point is not None):
                    return (tile,)
            if self.point is not None:
                return (tile,)
        halo, size = self.model.tile_size(shape, largest_px=self._largest_px)
        tiles = plan_tiles(shape, size, halo, forward.multiple, self._covered(whole))
        for share in _NEARER:
            if max(math.prod(tile.outer_shape) for tile in tiles) <= self._largest_px:
                break
            if share < 0.5:
                size = fitting_core(shape, self._reach(share), forward.multiple, self._largest_px)
                tiles = plan_tiles(shape, size, self._reach(share), forward.multiple, self._covered(whole))
        return tiles

    def parts(self, *, whole: bool = False) -> Iterator[Part]:
        """Read the scene piece by piece, as `tiles` cuts it."""
        for tile in self.tiles(whole=whole):
            yield Part(self.asked, tile, self.pixels(tile.outer))

    def pixels(self, box: Box) -> Tensor:
        """Return what the network is shown of a box of the scene: float32, ``(1, C, [Z,] Y, X)``, on its device."""
        return torch.from_numpy(self._scenes.read(self._scene, box)[None]).to(self.model.forward.device)

    def plane_pixels(self) -> NDArray[np.float32]:
        """Return the plane as the network is shown it: ``(C, Y, X)``, normalised."""
        whole = (*(slice(z, z + 1) for z in self._depth), *(slice(0, n) for n in self.shape))
        pixels = self._scenes.read(self._scene, whole)
        return pixels[:, 0] if self._depth else pixels

    def logits(self, batch: Tensor) -> Tensor:
        """Return float32 logits of a batch; gradients flow to the batch where it requires them."""
        with flushed_denormals():
            return self.model.forward.differentiable(batch)

    def gradient(self, score: Tensor, of: Tensor) -> Tensor:
        """Return the derivative of a number (or of the sum of a batch's) with respect to a tensor."""
        with flushed_denormals():
            (slope,) = torch.autograd.grad(score.sum(), of)
        return slope

    def input_gradient_steps(
        self,
        change: Callable[[Part, int], Tensor] | None = None,
        weights: Sequence[float] = (1.0,),
        rule: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> Steps[Tensor]:
        """Return the derivative of the asked-for logits with respect to the plane's normalised pixels.

        Parameters
        ----------
        change
            Returns what the network is shown instead of a part's pixels, ``(1, C, [Z,] Y, X)``, given the part and a number from 0 up, for
            methods that add up the derivatives at changed inputs. Which pixels are asked about is always decided on the unchanged ones.
        weights
            What each of the changed inputs counts: there are as many as weights.
        rule
            Entered while the network computes, to make derivatives obey other rules. These need not add up over the asked-for pixels, so
            each piece of the map is made from all the pixels that it can depend on.

        Returns
        -------
        Tensor
            float32, ``(C, Y, X)``, on the network's device. Of a 3-D network, the plane itself of the volume's gradient.
        """
        if change is not None:
            yield from self._decide_steps()
        total = torch.zeros(self.model.forward.channels, *self.shape, device=self.model.forward.device)
        passes = 2 * len(weights)
        while True:
            pieces = self._pieces(additive=rule is None)
            for number, (tile, wanted) in enumerate(pieces):
                part = Part(self.asked, tile, self.pixels(tile.outer))
                at_once = max(1, min(len(weights), self._largest_px // math.prod(tile.outer_shape)))
                for first in range(0, len(weights), at_once):
                    counts, done = weights[first : first + at_once], number * passes + 2 * first
                    shown = part.pixels if change is None else torch.cat([change(part, first + i) for i in range(len(counts))])
                    pixels = shown.detach().requires_grad_()
                    with rule() if rule is not None else nullcontext():
                        logits = self.logits(pixels)
                    yield Progress(done + len(counts), passes * len(pieces), "gradient")
                    if not part.mask(logits).any():
                        break
                    slope = self.gradient(part.score(logits) * torch.tensor(counts, device=logits.device), pixels)
                    self.add(total, tile, slope.sum(0), wanted)
                    yield Progress(done + 2 * len(counts), passes * len(pieces), "gradient")
            if not self.ask_everywhere():
                return total

    def add(self, target: Tensor, tile: Tile, values: Tensor, wanted: Box = ()) -> None:
        """Add a part's ``(C, [Z,] Y, X)`` values, of all the pixels it shows or of a box of them, to a ``(C, Y, X)`` map of the plane."""
        if self._depth:
            if not tile.outer[0].start <= self._depth[0] < tile.outer[0].stop:
                return
            values = values[:, self._depth[0] - tile.outer[0].start]
        rows, columns = (wanted or tile.outer)[-2:]
        top, left = (axis.start for axis in tile.outer[-2:])
        target[:, rows, columns] += values[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]

    def grid(self, maps: Tensor, scale: tuple[int, ...]) -> Tensor:
        """Return an empty ``(F, y, x)`` picture of the plane on a layer's grid.

        Parameters
        ----------
        maps
            What the layer gave for some part, ``(1, F, [z,] y, x)``.
        scale
            Input pixels that one of the layer's spans, from `layers`.

        Raises
        ------
        ParameterError
            If it would be larger than a gigabyte.
        """
        sides = [-(-n // m) * m // s for n, m, s in zip(self.shape, self.model.forward.multiple[-2:], scale[-2:], strict=True)]
        size = 4 * maps.shape[1] * math.prod(sides)
        if size > _LARGEST_GRID_BYTES:
            raise ParameterError(
                f"The {maps.shape[1]} feature maps of this layer over the whole slice would take {size / 2**30:.1f} GB of memory.",
                hint="Choose a deeper layer (auto is the deepest), whose maps are smaller, or a part of the image.",
            )
        return torch.zeros(maps.shape[1], *sides, device=maps.device)

    def paste(self, picture: Tensor, tile: Tile, maps: Tensor, scale: tuple[int, ...]) -> None:
        """Put what a layer gave for a part, ``(1, F, [z,] y, x)``, where the part's core lies in a `grid`."""
        if self._depth and not tile.core[0].start <= self._depth[0] < tile.core[0].stop:
            return
        depth = [(self._depth[0] - tile.outer[0].start) // scale[0]] if self._depth else []
        there, here = [], []
        for axis, (core, outer, n, step) in enumerate(zip(tile.core[-2:], tile.outer[-2:], self.shape, scale[-2:], strict=True), start=1):
            start, stop = core.start // step, picture.shape[axis] if core.stop == n else core.stop // step
            there.append(slice(start, stop))
            here.append(slice(start - outer.start // step, stop - outer.start // step))
        picture[(slice(None), *there)] = maps[(0, slice(None), *depth, *here)].float()

    def add_on_grid(self, picture: Tensor, tile: Tile, maps: Tensor, scale: tuple[int, ...]) -> None:
        """Add what belongs to a layer's maps for a part, ``(1, F, [z,] y, x)``, of all the pixels it shows, to a `grid`."""
        if self._depth:
            if not tile.outer[0].start <= self._depth[0] < tile.outer[0].stop:
                return
            maps = maps[:, :, (self._depth[0] - tile.outer[0].start) // scale[0]]
        rows, columns = (axis.start // step for axis, step in zip(tile.outer[-2:], scale[-2:], strict=True))
        place = picture[:, rows : rows + maps.shape[-2], columns : columns + maps.shape[-1]]
        place += maps[0, :, : place.shape[1], : place.shape[2]]

    def ask_everywhere(self) -> bool:
        """After a walk over the parts: if no pixel was given the class, ask about all pixels; True if the walk must be repeated."""
        if not self.asked.everywhere():
            return False
        self.memo["note"] = NOWHERE
        return True

    def smaller_parts(self) -> bool:
        """Halve the memory the parts take; False where they are as small as they can be."""
        least = math.prod(2 * n for n in self.model.forward.multiple)
        if self._largest_px <= least:
            return False
        self._largest_px //= 2
        self.asked.forget()
        self.memo.clear()
        return True

    def _pieces(self, *, additive: bool) -> list[tuple[Tile, Box]]:
        """Cut the work on a map of pixels: what to look at and to ask about, and which of the pixels looked at are then known.

        Where contributions do not add up, a pixel's is known only when all that is asked about within its reach is asked at
        once, on logits that are themselves right: twice the reach is looked at.
        """
        tiles = self.tiles()
        if additive or len(tiles) == 1:
            return [(tile, tile.outer) for tile in tiles]
        shape, multiple = self._scenes.shape, self.model.forward.multiple
        reach, _ = self.model.tile_size(shape, largest_px=self._largest_px)
        twice = tuple(2 * n for n in reach)
        depth = [slice(z, z + 1) for z in self._depth]
        region = (*depth, *_grown(self._covered(whole=False), reach, shape)[-2:])
        cut = plan_tiles(shape, fitting_core(shape, twice, multiple, self._largest_px), twice, multiple, region)
        return [(Tile(_grown(tile.core, reach, shape), tile.outer), tile.core) for tile in cut]

    def _decide_steps(self) -> Steps[None]:
        while True:
            for part in self.parts():
                if not self.asked.known(part.tile):
                    with torch.no_grad():
                        part.mask(self.logits(part.pixels))
                    yield Progress(0, 0, "looking")
            if not self.ask_everywhere():
                return

    def _reach(self, share: float) -> tuple[int, ...]:
        return tuple(math.ceil(share * n) for n in self.model.halo)

    def _covered(self, whole: bool) -> Box:
        """The box whose logits must be computed: what is asked about, or the whole plane and whatever depths are asked about."""
        box = self.asked.box
        if box is not None and not whole:
            return box
        depth = [slice(min(z, box[0].start), max(z + 1, box[0].stop)) if box is not None else slice(z, z + 1) for z in self._depth]
        return (*depth, *(slice(0, n) for n in self.shape))


def _grown(box: Box, by: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    return tuple(slice(max(0, axis.start - n), min(most, axis.stop + n)) for axis, n, most in zip(box, by, shape, strict=True))
